//! Certificates over the years: another name, another certificate, another CA, while people work.

use std::fs;

use escrow_vault::client::authorities::is_of_issuing_ca;
use escrow_vault::client::connect::connect;
use escrow_vault::client::home::Home;
use escrow_vault::client::trust::Trust;
use escrow_vault::client::{ConnectFault, Refusal};
use escrow_vault::crypto::keyring::Keyring;
use escrow_vault::crypto::pem::pem;
use escrow_vault::crypto::{signature, statement};
use escrow_vault::domain::event::{Act, CaEdition, Note, TsaEdition};
use escrow_vault::domain::id::Digest;
use escrow_vault::domain::stream::Stream;
use escrow_vault::server::ca::Authority;
use escrow_vault::store::{DiskStore, Options, Store as _};
use escrow_vault::vault::DomainProjector;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{Beside, World, copy_dir};

/// What comes of connecting to the vault, by the fingerprint of a CA, with the keys of a home or
/// of nobody.
fn connected(world: &World, ca: Digest, home: Option<&str>) -> Result<(), ConnectFault> {
    let open = |name: &str| Home::open(&world.home(name)).unwrap();
    let address = open("operator").vault().unwrap().address;
    let keys = home.map(|name| (open(name).certificate().unwrap(), open(name).keys().unwrap()));
    let shown = keys.as_ref().map(|(der, keys)| (vec![der.clone().into()], &keys.tls));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let trust = Trust::CaFingerprint(ca);
    runtime.block_on(async { connect(&address, trust, shown).await.map(drop) })
}

fn ca(world: &World, number: u32) -> Authority {
    Authority::load(&Keyring::at(&world.data().join("keys")), number).unwrap()
}

fn status(world: &World, home: &str) -> serde_json::Value {
    world.escrow(home, &["status"]).record()
}

/// Somebody who watches, and has seen a request come.
fn watcher(world: &World, agreement: &str, home: &str) -> (Beside, String) {
    let request = world.request(&world.deposit(agreement, "recipe"), "joint");
    let mut watching = world.escrow_aloud_beside(home, &["watch"]);
    assert!(watching.next_line().unwrap().contains("open"));
    (watching, request)
}

/// The watcher is told that the request was released, and its stream has never been lost.
fn is_told(mut watching: Beside) {
    while !watching.next_line().unwrap().contains("released") {}
    assert_eq!(watching.end(), "", "it had to connect again");
}

#[test]
fn names_are_read_again_while_people_work() {
    let (world, agreement) = World::with_agreement();
    let (watching, request) = watcher(&world, &agreement, "trade-secret-center");
    let path = world.data().join("escrowd.toml");
    let config = fs::read_to_string(&path).unwrap();
    let hosts = config.lines().find(|line| line.starts_with("hosts = ")).unwrap();
    let fingerprint = ca(&world, 1).fingerprint();

    fs::write(&path, config.replace(hosts, "hosts = [\"vault.example\"]")).unwrap();
    connected(&world, fingerprint, None).unwrap();
    assert!(world.reload());
    match connected(&world, fingerprint, None) {
        Err(ConnectFault::WrongName { presented, .. }) => {
            assert!(presented.iter().any(|name| name.contains("vault.example")), "{presented:?}");
        }
        other => panic!("the old certificate is shown still: {other:?}"),
    }
    fs::write(&path, &config).unwrap();
    assert!(world.reload());
    connected(&world, fingerprint, None).unwrap();

    // What cannot be taken up changes nothing.
    for wrong in ["hosts = []", "hosts = [\"no host at all\"]", "host = \"a\""] {
        fs::write(&path, config.replace(hosts, wrong)).unwrap();
        assert!(!world.reload(), "{wrong}");
        connected(&world, fingerprint, None).unwrap();
    }
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    is_told(watching);
}

#[test]
fn another_ca_takes_over_and_nobody_has_to_join_again() {
    let (mut world, agreement) = World::with_agreement();
    let early = world.invite("operator", &["--org", "late-works", "--member", "ann"]);
    let (watching, request) = watcher(&world, &agreement, "hanbit-parts");
    // sora sleeps through all of it, in a home as they were made before there was a second CA.
    let path = world.home("trade-secret-center").join("vault.json");
    let mut known: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    known.as_object_mut().unwrap().remove("ca_edition").unwrap();
    fs::write(&path, known.to_string()).unwrap();
    copy_dir(&world.home("trade-secret-center"), &world.home("asleep"));
    copy_dir(&world.data().join("keys"), &world.path("stolen"));
    let old = ca(&world, 1).fingerprint();

    let too_early = world.escrowd(&["rotate-ca", "--finish"]);
    assert!(too_early.code == 1 && too_early.err.contains("no next CA"), "{}", too_early.err);
    assert_eq!(world.escrowd(&["rotate-ca"]).code, 0);
    let twice = world.escrowd(&["rotate-ca"]);
    assert!(twice.code == 1 && twice.err.contains("already"), "{}", twice.err);
    assert_eq!(status(&world, "orient-display")["next_ca_sha256"], serde_json::Value::Null);
    assert!(world.reload());
    let new = ca(&world, 2).fingerprint();
    let during = status(&world, "orient-display");
    assert_eq!(during["ca_sha256"], old.to_string());
    assert_eq!(during["next_ca_sha256"], new.to_string());
    let home = Home::open(&world.home("orient-display")).unwrap();
    let certificate = home.certificate().unwrap();
    assert!(is_of_issuing_ca(&home.vault().unwrap(), &certificate).unwrap());
    connected(&world, old, Some("orient-display")).unwrap();
    connected(&world, old, Some("asleep")).unwrap();
    let midway = world.invite("orient-display", &["--member", "haerin"]);

    assert_eq!(world.escrowd(&["rotate-ca", "--finish"]).code, 0);
    assert!(world.reload());
    let told = connected(&world, old, None);
    assert!(matches!(told, Err(ConnectFault::NotTrusted { .. })), "{told:?}");
    connected(&world, new, Some("orient-display")).unwrap();
    let refusal = connected(&world, new, Some("asleep"));
    let unknown = Refusal::UnknownCa;
    match refusal {
        Err(ConnectFault::ClientCertificate { refusal, .. }) => assert_eq!(refusal, unknown),
        other => panic!("a certificate of the old CA is accepted still: {other:?}"),
    }

    world.approve("trade-secret-center", &request);
    assert_eq!(world.approve("hanbit-parts", &request), "released");
    is_told(watching);
    for (home, invitation) in [("ann", early), ("haerin", midway)] {
        world.escrow_with(home, &["join", "--yes"], invitation.as_bytes()).record();
    }
    for home in ["operator", "hanbit-parts", "orient-display", "trade-secret-center", "ann"] {
        let after = status(&world, home);
        assert_eq!(after["ca_sha256"], new.to_string(), "{home}");
        assert_eq!(after["next_ca_sha256"], serde_json::Value::Null, "{home}");
    }
    world.stop();
    assert!(
        !world.data().join("keys/ca.key").exists() && !world.data().join("keys/ca.crt").exists()
    );
    assert_eq!(world.escrowd(&["check"]).code, 0);
    world.serve();
    status(&world, "orient-display");

    // Whoever has stolen the old CA sets up a vault in this one's place.
    world.stop();
    fs::rename(world.data(), world.path("genuine")).unwrap();
    let address = home.vault().unwrap().address;
    assert_eq!(world.escrowd(&["init", "--public-address", &address]).code, 0);
    for file in ["ca.key", "ca.crt"] {
        fs::copy(world.path("stolen").join(file), world.data().join("keys").join(file)).unwrap();
    }
    world.serve();
    let fooled = world.escrow("orient-display", &["status"]);
    assert_eq!(fooled.code, 4);
    assert!(fooled.error()["message"].as_str().unwrap().contains("not of the pinned CA"));
    let fooled = world.escrow("asleep", &["status"]);
    assert_eq!(fooled.refusal(), "UNTRUE", "it has the CA that is known there, but no ledger key");
}

#[test]
fn a_vault_restored_to_an_older_ca_is_noticed() {
    let mut world = World::new();
    world.join("hanbit-parts", "minji");
    copy_dir(&world.data().join("keys"), &world.path("backup"));
    for step in [&["rotate-ca"][..], &["rotate-ca", "--finish"]] {
        assert_eq!(world.escrowd(step).code, 0);
        assert!(world.reload());
        world.escrow("hanbit-parts", &["status"]).record();
    }
    world.stop();
    fs::remove_file(world.data().join("keys/ca-2.crt")).unwrap();
    copy_dir(&world.path("backup"), &world.data().join("keys"));
    world.serve();
    let noticed = world.escrow("hanbit-parts", &["status"]);
    assert_eq!(noticed.refusal(), "UNTRUE");
    assert!(noticed.error()["message"].as_str().unwrap().contains("old backup"));
}

/// What a vault that is stopped has noted in its own stream, in order.
fn noted(world: &World) -> Vec<Note> {
    let store = DiskStore::open(&world.data(), &DomainProjector, &Options::default()).unwrap();
    let entries = store.read_stream(&Stream::Vault, 1, 1_000).unwrap();
    let acts = entries.iter().map(|entry| statement::event(&entry.payload).unwrap().act);
    let noted = acts.filter_map(|act| match act {
        Act::Noted(note) => Some(note),
        Act::Stated(_) => None,
    });
    noted.collect()
}

/// What it told of its CAs.
fn told(world: &World) -> Vec<CaEdition> {
    let told = noted(world).into_iter().filter_map(|note| {
        if let Note::Founded { ca_sha256, .. } = note {
            return Some(CaEdition::first(ca_sha256));
        }
        let Note::AuthoritiesChanged(authorities) = note else { return None };
        Some(authorities)
    });
    told.collect()
}

/// What it told of the keys that stamp times.
fn told_timestampers(world: &World) -> Vec<TsaEdition> {
    let told = noted(world).into_iter().filter_map(|note| {
        let Note::TimestamperChanged(timestamper) = note else { return None };
        Some(timestamper)
    });
    told.collect()
}

#[test]
fn the_ledger_tells_every_edition_of_the_cas_once_before_anybody_is_shown_it() {
    let mut world = World::new();
    let rotate = |world: &World, steps: &[&[&str]]| {
        for step in steps {
            assert_eq!(world.escrowd(step).code, 0, "{step:?}");
        }
    };
    let (begin, finish): (&[&str], &[&str]) = (&["rotate-ca"], &["rotate-ca", "--finish"]);
    let restart = |world: &mut World| {
        world.stop();
        world.serve();
    };
    let cas = |edition, ca_sha256, next_ca_sha256| CaEdition { edition, ca_sha256, next_ca_sha256 };
    let first = ca(&world, 1).fingerprint();
    assert!(world.reload());
    restart(&mut world);

    // What is made and not taken up is shown to nobody, and told to nobody.
    rotate(&world, &[begin]);
    let path = world.data().join("escrowd.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("host = \"a\"\n{config}")).unwrap();
    assert!(!world.reload());
    fs::write(&path, &config).unwrap();
    connected(&world, first, None).unwrap();
    world.stop();
    let mut expected = vec![cas(1, first, None)];
    assert_eq!(told(&world), expected);

    let second = ca(&world, 2).fingerprint();
    world.serve();
    assert!(world.reload());
    restart(&mut world);
    rotate(&world, &[finish]);
    assert!(world.reload());
    assert!(world.reload());
    restart(&mut world);
    expected.extend([cas(2, first, Some(second)), cas(3, second, None)]);

    // One that came and went while nobody looked was shown to nobody.
    rotate(&world, &[begin, finish, begin]);
    let [third, fourth] = [3, 4].map(|number| ca(&world, number).fingerprint());
    assert!(world.reload());
    world.stop();
    expected.push(cas(6, third, Some(fourth)));
    assert_eq!(told(&world), expected);

    // Nor is it told again by an index that was made anew.
    assert_eq!(world.escrowd(&["rebuild"]).code, 0);
    world.serve();
    world.stop();
    assert_eq!(told(&world), expected);
    assert_eq!(world.escrowd(&["check"]).code, 0);
}

#[test]
fn the_ledger_tells_every_key_that_stamps_times_once_and_a_damaged_one_is_not_replaced_in_silence()
{
    let mut world = World::new();
    world.join("hanbit-parts", "minji");
    let restart = |world: &mut World| {
        world.stop();
        world.serve();
    };
    let edition = |world: &World, number| {
        let name = match number {
            1 => "keys/tsa.crt".to_owned(),
            _ => format!("keys/tsa-{number}.crt"),
        };
        let der = CertificateDer::from_pem_file(world.data().join(name)).unwrap();
        TsaEdition { number, certificate_sha256: signature::sha256(&der) }
    };
    let mut stamped = vec![world.register("hanbit-parts", "page-1", "one")];
    restart(&mut world);
    assert!(world.reload());
    // Made, and taken up with the reload: whoever signs until then is the one that was told.
    assert_eq!(world.escrowd(&["rotate-tsa"]).code, 0);
    stamped.push(world.register("hanbit-parts", "page-2", "two"));
    world.kill();
    let mut expected = vec![edition(&world, 1)];
    assert_eq!(told_timestampers(&world), expected);
    world.serve();
    assert!(world.reload());
    restart(&mut world);
    expected.push(edition(&world, 2));
    assert_eq!(world.escrowd(&["rotate-tsa"]).code, 0);
    assert!(world.reload());
    expected.push(edition(&world, 3));
    // So is the one that comes with another CA.
    assert_eq!(world.escrowd(&["rotate-ca"]).code, 0);
    assert!(world.reload());
    expected.push(edition(&world, 4));
    stamped.push(world.register("hanbit-parts", "page-3", "three"));
    world.kill();
    assert_eq!(told_timestampers(&world), expected);
    assert_eq!(world.escrowd(&["rebuild"]).code, 0);
    world.serve();
    world.stop();
    assert_eq!(told_timestampers(&world), expected);
    assert_eq!(world.escrowd(&["check"]).code, 0);

    // A bit that leaves it a certificate: of its signature, which comes last.
    let path = world.data().join("keys/tsa-4.crt");
    let mut der = CertificateDer::from_pem_file(&path).unwrap().to_vec();
    *der.last_mut().unwrap() ^= 1;
    fs::write(&path, pem("CERTIFICATE", &der)).unwrap();
    for told in [world.try_serve().unwrap_err(), world.escrowd(&["check"]).err] {
        let way_out = told.contains("restore it from a backup") && told.contains("rotate-tsa");
        assert!(told.contains("tsa-4.crt") && way_out, "{told}");
    }
    assert_eq!(world.escrowd(&["rotate-tsa"]).code, 0);
    world.serve();
    stamped.push(world.register("hanbit-parts", "page-4", "four"));
    world.stop();
    expected.push(edition(&world, 5));
    assert_eq!(told_timestampers(&world), expected);
    let keys = fs::read_dir(world.data().join("keys")).unwrap();
    let keys = keys.map(|item| item.unwrap().file_name().into_string().unwrap());
    let of_tsa = keys.filter(|name| name.starts_with("tsa") && name.ends_with(".key"));
    assert_eq!(of_tsa.collect::<Vec<_>>(), ["tsa-5.key"]);
    // What all of them signed verifies still.
    world.serve();
    assert_eq!(world.escrow("hanbit-parts", &["registrations"]).records(), stamped);
}
