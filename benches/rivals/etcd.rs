//! etcd, one node, driven over gRPC without TLS: puts of 1 KiB.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::common::served::{Served, addresses, until};
use crate::load::Caller;

/// The two fields of `etcdserverpb.PutRequest` that a put of a key has.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// `etcdserverpb.PutResponse`, of which nothing is looked at: a put that failed is a status.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

/// A running etcd.
pub(crate) struct Etcd {
    pub(crate) served: Served,
    url: String,
}

impl Etcd {
    pub(crate) fn start(dir: &Path) -> Option<Self> {
        let [url, peer] = addresses().map(|address| format!("http://{address}"));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(dir.join("etcd")).args(["--log-level", "error"]);
        for (name, value) in [
            ("--listen-client-urls", &url),
            ("--advertise-client-urls", &url),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--initial-cluster", &format!("default={peer}")),
        ] {
            command.arg(name).arg(value);
        }
        let served = Served::start(&mut command, &dir.join("etcd.log"), "apt install etcd-server")?;
        Some(Self { served, url })
    }

    /// Somebody who puts, on a connection of its own.
    pub(crate) async fn putter(&self, number: usize) -> Putter {
        let endpoint = Endpoint::from_shared(self.url.clone()).unwrap();
        let channel = loop {
            match endpoint.connect().await {
                Ok(channel) => break channel,
                Err(_) => until("etcd listens", || {
                    std::net::TcpStream::connect(self.url.trim_start_matches("http://")).ok()
                }),
            };
        };
        let mut putter = Putter { grpc: Grpc::new(channel), number, puts: 0 };
        // The first comes back when there is a leader.
        putter.call().await;
        putter
    }
}

/// One of etcd's clients.
pub(crate) struct Putter {
    grpc: Grpc<Channel>,
    number: usize,
    puts: usize,
}

impl Caller for Putter {
    async fn call(&mut self) {
        self.puts += 1;
        let key = format!("deposit/{}/{}", self.number, self.puts).into();
        let put = PutRequest { key, value: vec![b'x'; 1024].into() };
        self.grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
        let codec = ProstCodec::<PutRequest, PutResponse>::default();
        self.grpc.unary(Request::new(put), path, codec).await.unwrap();
    }
}
