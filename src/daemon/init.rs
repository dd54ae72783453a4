//! `escrowd init`: a vault is made beside its place and moved there whole.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use age::secrecy::SecretString;
use rand_core::{OsRng, RngCore as _};

use crate::cli::failure::{Exit, Failure};
use crate::cli::passphrase;
use crate::client::connect;
use crate::client::home::{Home, Owner, VaultInfo};
use crate::crypto::keyfile;
use crate::crypto::signature::SigningKey;
use crate::daemon::config::{Config, Place, failed, not_opened};
use crate::daemon::ledger_key;
use crate::domain::event::Note;
use crate::domain::id::MemberPath;
use crate::domain::statement::Log;
use crate::domain::time::{Span, Timestamp};
use crate::server::authorities::Authorities;
use crate::server::peer::Subject;
use crate::server::timestamper;
use crate::store::{DiskStore, Options};
use crate::vault::{DomainProjector, SystemClock, Vault};

const PORT: u16 = 7443;
/// How long the operator's certificate is good for; the operator's client renews it.
const OPERATOR_LIFETIME: Span = Span::days(365);

pub(super) async fn run(
    data: &Path,
    hosts: Vec<String>,
    public_address: Option<String>,
    passphrase_file: Option<&Path>,
) -> Result<Exit, Failure> {
    let passphrase = passphrase_file.map(passphrase::from_file).transpose()?;
    let taken = fs::read_dir(data).is_ok_and(|mut listing| listing.next().is_some());
    if taken || data.is_file() {
        let message = format!("{} is not empty", data.display());
        let hint = "a vault is never overwritten; name another directory with --data";
        return Err(Failure::failed("EXISTS", message, hint).about(data.display()));
    }
    let parent = data.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let disk = |fault: std::io::Error| {
        let message = format!("{}: {fault}", data.display());
        Failure::failed("DISK", message, "name a place that you may write to")
    };
    fs::create_dir_all(parent).map_err(disk)?;
    let building = tempfile::Builder::new().prefix(".escrowd-init-").tempdir_in(parent);
    let building = building.map_err(disk)?;
    let dir = building.path().join("vault");
    keyfile::private_dir(&dir).map_err(failed)?;
    let made = build(&Place::new(&dir), hosts, public_address, passphrase.as_ref()).await?;
    if data.exists() {
        fs::remove_dir(data).map_err(disk)?;
    }
    fs::rename(&dir, data).map_err(disk)?;
    fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(disk)?;
    let shown = data.display();
    eprintln!("A vault was made in {shown}; its log is {}.", made.origin);
    if passphrase.is_some() {
        eprintln!(
            "Its keys are sealed: `serve` and the operator need the passphrase, which nobody can recover."
        );
    }
    eprintln!("Back up {shown}/keys and {shown}/operator: they are made once.");
    eprintln!("Next: escrowd serve --data {shown}");
    eprintln!("Then: escrow --home {shown}/operator invite --org ORGANISATION --member NAME");
    Ok(Exit::Done)
}

async fn build(
    place: &Place,
    hosts: Vec<String>,
    public_address: Option<String>,
    passphrase: Option<&SecretString>,
) -> Result<Config, Failure> {
    let mut hosts = hosts;
    if let Some(address) = &public_address {
        let host = connect::host(address).ok_or_else(|| {
            let message = format!("{address} is not a host and a port");
            Failure::failed("BAD_HOST", message, "write it like vault.example:7443")
        })?;
        if !hosts.contains(&host) {
            hosts.insert(0, host);
        }
    }
    if hosts.is_empty() {
        hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    }
    let host = hosts.first().cloned().unwrap_or_default();
    let mut random = [0; 8];
    OsRng.fill_bytes(&mut random);
    let origin = format!("{host}/escrow-vault/{}", hex::encode(random)).parse();
    let origin = origin.map_err(|fault| {
        Failure::failed("BAD_HOST", fault, "give a name or IP address with --host")
    })?;
    let address = match host.contains(':') {
        true => format!("[{host}]:{PORT}"),
        false => format!("{host}:{PORT}"),
    };
    let public_address = public_address.unwrap_or(address);
    let listen = format!("127.0.0.1:{PORT}");
    let config = Config::new(listen, public_address, hosts, origin);
    let now = Timestamp::from(SystemTime::now());

    let keys = place.make_keys(passphrase)?;
    let authorities = Authorities::found(&keys, now).map_err(failed)?;
    let authority = authorities.current();
    // A host that no certificate can carry is found now, not at the first start.
    authority.issue_server(&config.hosts, now).map_err(|fault| {
        let message = crate::client::error::chain(&fault);
        Failure::failed("BAD_HOST", message, "give a name or IP address with --host")
    })?;
    let timestamper = timestamper::take_up(&keys, authority, now).map_err(failed)?;
    let first = SigningKey::generate(&mut OsRng);
    ledger_key::write_first(&keys, &first)?;
    place.write_config(&config)?;

    let log = Log { origin: config.origin.clone(), generation: 1 };
    let mut home = Home::create(&place.operator())?;
    if passphrase.is_some() {
        home.set_passphrase(passphrase)?;
    }
    let keys = home.make_keys()?;
    let csr = keys.tls.csr_der().map_err(failed)?;
    let certificate = authority.issue_client(&csr, &Subject::Operator, now, OPERATOR_LIFETIME);
    home.set_certificate(&certificate.map_err(failed)?)?;
    home.set_vault(&VaultInfo {
        address: config.public_address.clone(),
        log,
        ledger_key: first.public(),
        handovers: Vec::new(),
        operator_key: keys.statement.public(),
        ca_certificate: hex::encode(authority.certificate()),
        next_ca_certificate: None,
        ca_edition: authorities.edition(),
    })?;
    home.set_owner(&Owner { path: MemberPath::operator(), id: None })?;

    let founded = Note::Founded {
        ledger_key: first.public(),
        operator_key: keys.statement.public(),
        ca_sha256: authority.fingerprint(),
    };
    let options = Options { may_begin: true, ..Options::default() };
    let store = DiskStore::open(place.store(), &DomainProjector, &options).map_err(not_opened)?;
    let (origin, clock) = (config.origin.clone(), Arc::new(SystemClock));
    let vault = Vault::open(store, origin, first, clock, config.quota).map_err(failed)?;
    vault.found(founded).await.map_err(failed)?;
    vault.tell_timestamper(&timestamper.edition).await.map_err(failed)?;
    vault.close().await;
    Ok(config)
}
