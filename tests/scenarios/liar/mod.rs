//! A server between the programs and a real vault, which lies. It has whatever the vault's
//! operator has: the CA, the ledger key, the connections. What it has not is anybody else's key.
//!
//! Calls are forwarded in their caller's name, over the caller's own certificate, and the reply is
//! changed by the lie in force. An invented history is shown in place of the vault's; what is
//! stated against it is acknowledged and never reaches the vault.

mod deliveries;
mod exports;
mod fields;
mod histories;
mod history;
mod log;
mod message;
mod notice;
mod people;
mod registrations;
mod replies;
mod services;
mod stamps;

pub(crate) use history::{History, reword};

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use escrow_vault::client::channel::Channel;
use escrow_vault::client::connect::connect;
use escrow_vault::client::home::{Home, VaultInfo};
use escrow_vault::client::trust::Trust;
use escrow_vault::crypto::keyring::Keyring;
use escrow_vault::crypto::statement;
use escrow_vault::domain::event::SignedText;
use escrow_vault::domain::id::MemberPath;
use escrow_vault::ledger::entry::Leaf;
use escrow_vault::server::accept::{Limits, accept};
use escrow_vault::server::ca::Authority;
use escrow_vault::server::tls::{server_config, shared};
use escrow_vault::server::transport::configure;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::Status;
use tonic::transport::Server;

use super::{JOINT, World, copy_dir};

/// Terms by which three shares open a bundle: a release takes two contributions.
fn three_shares() -> String {
    JOINT.replace("quorum = 2", "quorum = 3")
}

/// A reply's parts, encoded, as they are told.
pub(crate) type Told = Result<Box<dyn Iterator<Item = Vec<u8>> + Send>, Status>;

/// What is told in place of the truth.
#[derive(Clone)]
pub(crate) struct Lie {
    /// Which call's reply it changes: "Read".
    call: &'static str,
    /// Which stream, where it is about one.
    stream: Option<String>,
    tell: Arc<dyn Fn(Vec<Vec<u8>>) -> Told + Send + Sync>,
}

impl Lie {
    /// A lie about the reply of one call.
    pub(crate) fn new(
        call: &'static str,
        tell: impl Fn(Vec<Vec<u8>>) -> Told + Send + Sync + 'static,
    ) -> Self {
        Self { call, stream: None, tell: Arc::new(tell) }
    }

    /// The same, about one stream only.
    pub(crate) fn about(self, stream: &str) -> Self {
        Self { stream: Some(stream.to_owned()), ..self }
    }
}

/// The server. It ends when dropped.
pub(crate) struct Liar {
    desk: Arc<Desk>,
    address: String,
    _runtime: Runtime,
}

/// What its services share.
struct Desk {
    vault: VaultInfo,
    homes: Mutex<BTreeMap<MemberPath, PathBuf>>,
    channels: Mutex<BTreeMap<Option<MemberPath>, Channel>>,
    lie: Mutex<Option<Lie>>,
    history: Mutex<Option<History>>,
    /// The log that is shown with it, as far as it was signed.
    log: Mutex<Vec<Leaf>>,
    heard: Mutex<Vec<SignedText>>,
    /// The last request for a time-stamp.
    asked: Mutex<Vec<u8>>,
}

impl Liar {
    /// Begins to listen beside the vault, under the same name.
    pub(crate) fn beside(world: &World) -> Self {
        let vault = Home::open(&world.home("operator")).unwrap().vault().unwrap();
        let (host, _) = vault.address.rsplit_once(':').unwrap();
        let address = format!("{host}:7444");
        let authority = Authority::load(&Keyring::at(&world.data().join("keys")), 1).unwrap();
        let identity = authority.issue_server(&[host.to_owned()], SystemTime::now().into());
        let tls = server_config(&[authority.certificate().clone()], &identity.unwrap()).unwrap();
        let desk = Arc::new(Desk {
            vault,
            homes: Mutex::default(),
            channels: Mutex::default(),
            lie: Mutex::default(),
            history: Mutex::default(),
            log: Mutex::default(),
            heard: Mutex::default(),
            asked: Mutex::default(),
        });
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind(&address)).unwrap();
        let routes = services::routes(&desk);
        let _inside = runtime.enter();
        let incoming = accept(listener, shared(tls), Limits::default());
        let server = configure(Server::builder()).add_routes(routes);
        runtime.spawn(server.serve_with_incoming(incoming));
        drop(_inside);
        Self { desk, address, _runtime: runtime }
    }

    /// A copy of a home that takes this server for its vault.
    pub(crate) fn copy(&self, world: &World, home: &str, copy: &str) -> Home {
        let (from, to) = (world.home(home), world.home(copy));
        if to.exists() {
            fs::remove_dir_all(&to).unwrap();
        }
        copy_dir(&from, &to);
        // Its vault has lied from the beginning: what comes of a log that becomes another one is
        // told elsewhere.
        drop(fs::remove_dir_all(to.join("log")));
        let copied = Home::open(&to).unwrap();
        let VaultInfo { log, .. } = copied.vault().unwrap();
        copied
            .set_vault(&VaultInfo { address: self.address.clone(), log, ..self.vault() })
            .unwrap();
        self.serve(&copied.owner().unwrap().path, &to);
        copied
    }

    /// Forwards a member's calls with the keys of this home.
    pub(crate) fn serve(&self, member: &MemberPath, home: &Path) {
        self.desk.homes.lock().unwrap().insert(member.clone(), home.to_owned());
    }

    /// The vault behind it.
    pub(crate) fn vault(&self) -> VaultInfo {
        self.desk.vault.clone()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Tells this lie from now on, or the truth, and forgets what was heard.
    pub(crate) fn tell(&self, lie: Option<Lie>) {
        *self.desk.lie.lock().unwrap() = lie;
        self.desk.heard.lock().unwrap().clear();
    }

    /// Shows these streams in place of the vault's from now on, and forgets what was heard.
    pub(crate) fn show(&self, history: Option<History>) {
        *self.desk.history.lock().unwrap() = history;
        self.desk.log.lock().unwrap().clear();
        self.desk.heard.lock().unwrap().clear();
    }

    /// The invented history, with what was stated against it meanwhile.
    pub(crate) fn shown(&self) -> History {
        self.desk.history.lock().unwrap().clone().unwrap()
    }

    /// The types of the statements that were handed in meanwhile, in order.
    pub(crate) fn heard(&self) -> Vec<&'static str> {
        let heard = self.desk.heard.lock().unwrap();
        heard.iter().map(|signed| statement::parse(signed).unwrap().statement.tag()).collect()
    }
}

impl Desk {
    /// A connection to the vault in somebody's name, or in nobody's.
    async fn forward(&self, caller: Option<MemberPath>) -> Channel {
        if let Some(channel) = self.channels.lock().unwrap().get(&caller) {
            return channel.clone();
        }
        let trust = Trust::Cas(vec![hex::decode(&self.vault.ca_certificate).unwrap().into()]);
        let home = caller.as_ref().map(|path| self.homes.lock().unwrap()[path].clone());
        let shown = home.map(|home| {
            let home = Home::open(&home).unwrap();
            (vec![home.certificate().unwrap().into()], home.keys().unwrap().tls)
        });
        let shown = shown.as_ref().map(|(chain, key)| (chain.clone(), key));
        let channel = connect(&self.vault.address, trust, shown).await.unwrap().channel;
        // A stranger has few calls, and everybody without a certificate is another one.
        if caller.is_some() {
            self.channels.lock().unwrap().insert(caller, channel.clone());
        }
        channel
    }
}
