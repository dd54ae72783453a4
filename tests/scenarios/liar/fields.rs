//! Every field of every reply, changed in every way it can be. What a command does about it stands
//! in one table, and a field that is missing there fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use escrow_vault::client::home::Home;
use escrow_vault::client::invitation::Invitation;
use escrow_vault::crypto::keyring::Keyring;
use escrow_vault::domain::time::Span;
use escrow_vault::server::ca::Authority;
use escrow_vault::server::peer::Subject;
use serde_json::Value;

use super::message::{Change, every_field};
use super::{Liar, Lie, three_shares};
use crate::scenarios::witnesses::{shown_until, size_of};
use crate::scenarios::{Ended, World, copy_dir};

use Change::{Altered, Dropped, Reordered, Repeated};
use Ends::{Refused, RefusedAs, Weightless};

/// How a command ends that was told a lie.
enum Ends {
    /// With exit code 1 and `UNTRUE`, for this reason.
    Refused(&'static str),
    /// With exit code 1 and another code, for this reason.
    RefusedAs(&'static str, &'static str),
    /// As it would have without: the field carries no weight, because …
    Weightless(&'static str),
}

const WHERE: &str = "the order of events in different streams is the vault's word anyway; what was \
                     acknowledged is compared by number and commitment when it is shown";
const LABELS: &str = "it finds entries in a public log; what was acknowledged is compared by number \
                      and commitment when it is shown, and the key with every other entry's then";
const ONCE: &str = "a share counts once, however often it is handed out";
const ANY_ORDER: &str = "shares are combined by their holders' places";
const HINT: &str = "a hint ends a wait, after which everything is looked at, whatever it says";
const SIGNED: &str = "what the ledger key has signed says it as well, and that counts";
const INVITED: &str = "the invitation has it, and the home keeps it";
const CERTIFICATE: &str = "whatever it says, it is thrown away";

const TABLE: &[(&str, Change, Ends)] = &[
    ("Checkpoint checkpoint", Dropped, Refused("a checkpoint of its log that is none")),
    ("Checkpoint checkpoint", Altered, Refused("a checkpoint of its log that is none")),
    ("Checkpoint proof", Dropped, Refused("does not continue")),
    ("Checkpoint proof", Altered, Refused("does not continue")),
    ("Checkpoint proof", Repeated, Refused("does not continue")),
    ("Checkpoint proof", Reordered, Refused("does not continue")),
    ("Deposit entry", Dropped, Refused("an acknowledgement of something else")),
    ("Checkpoint witnessed", Dropped, Refused("a checkpoint of its log that is none")),
    ("Checkpoint witnessed", Altered, Refused("a checkpoint of its log that is none")),
    ("Checkpoint witnessed_proof", Dropped, Refused("a log which is not its own")),
    ("Checkpoint witnessed_proof", Altered, Refused("a log which is not its own")),
    ("Checkpoint witnessed_proof", Repeated, Refused("a log which is not its own")),
    ("Checkpoint witnessed_proof", Reordered, Refused("a log which is not its own")),
    ("Deposit entry.position", Dropped, Weightless(WHERE)),
    ("Deposit entry.position", Altered, Weightless(WHERE)),
    ("Deposit entry.stream", Dropped, Refused("the field stream is missing")),
    ("Deposit entry.stream", Altered, Refused("an acknowledgement of something else")),
    ("Deposit entry.sequence", Dropped, Refused("an acknowledgement of something else")),
    ("Deposit entry.sequence", Altered, Refused("an acknowledgement of something else")),
    ("Deposit entry.label_key", Dropped, Refused("the field label_key is missing")),
    ("Deposit entry.label_key", Altered, Weightless(LABELS)),
    ("Deposit entry.salt", Dropped, Refused("the field salt is missing")),
    ("Deposit entry.salt", Altered, Refused("a head of before")),
    ("Deposit entry.payload", Dropped, Refused("an acknowledgement of something else")),
    ("Deposit entry.payload", Altered, Refused("an acknowledgement of something else")),
    ("Deposit head", Dropped, Refused("the field head is missing")),
    ("Deposit head.head", Dropped, Refused("a head that its ledger key did not sign")),
    ("Deposit head.head", Altered, Refused("a head that its ledger key did not sign")),
    ("Deposit head.signature", Dropped, Refused("the field signature is missing")),
    ("Deposit head.signature", Altered, Refused("a head that its ledger key did not sign")),
    ("Describe vault", Dropped, Refused("the field vault is missing")),
    ("Describe vault.origin", Dropped, Weightless(SIGNED)),
    ("Describe vault.origin", Altered, Weightless(SIGNED)),
    ("Describe vault.generation", Dropped, Weightless(SIGNED)),
    ("Describe vault.generation", Altered, Weightless(SIGNED)),
    ("Describe vault.ledger_key", Dropped, Weightless(INVITED)),
    ("Describe vault.ledger_key", Altered, Weightless(INVITED)),
    ("Describe vault.operator_key", Dropped, Refused("the field operator_key is missing")),
    ("Describe vault.operator_key", Altered, Refused("event 1 of org_hanbit-parts breaks")),
    ("Describe vault.ca_certificate", Dropped, Refused("CAs that its ledger key did not sign now")),
    ("Describe vault.ca_certificate", Altered, Refused("CAs that its ledger key did not sign now")),
    ("Describe authorities", Dropped, Refused("the field authorities is missing")),
    ("Describe authorities.authorities", Dropped, Refused("CAs that its ledger key did not sign")),
    ("Describe authorities.authorities", Altered, Refused("CAs that its ledger key did not sign")),
    ("Describe authorities.signature", Dropped, Refused("the field signature is missing")),
    ("Describe authorities.signature", Altered, Refused("CAs that its ledger key did not sign")),
    ("Fetch sealed_share", Dropped, Refused("another sealed share than the statement names")),
    ("Fetch sealed_share", Altered, Refused("another sealed share than the statement names")),
    ("Join certificate", Dropped, Refused("a certificate that cannot be read")),
    ("Join certificate", Altered, Refused("a certificate")),
    ("ListAgreements agreements", Dropped, Refused("is not shown any more")),
    // Out of order, or one is not shown any more: that depends on the ids.
    ("ListAgreements agreements", Altered, Refused("agr")),
    ("ListAgreements agreements", Repeated, Refused("agreements out of order")),
    ("ListAgreements agreements", Reordered, Refused("agreements out of order")),
    ("Prove proof", Dropped, Refused("proofs of its log")),
    ("Prove proof", Altered, Refused("proofs of its log")),
    ("Read entries", Dropped, Refused("event 2 of")),
    ("Read entries", Repeated, Refused("event 3 of")),
    ("Read entries", Reordered, Refused("event 1 of")),
    ("Read entries.position", Dropped, Refused("goes back in the ledger")),
    ("Read entries.position", Altered, Refused("goes back in the ledger")),
    ("Read entries.stream", Dropped, Refused("the field stream is missing")),
    ("Read entries.stream", Altered, Refused("belongs to another stream")),
    ("Read entries.sequence", Dropped, Refused("is out of order")),
    ("Read entries.sequence", Altered, Refused("is out of order")),
    ("Read entries.label_key", Dropped, Refused("the field label_key is missing")),
    ("Read entries.label_key", Altered, Refused("has another label key")),
    ("Read entries.salt", Dropped, Refused("the field salt is missing")),
    ("Read entries.salt", Altered, Refused("does not follow on the one before")),
    ("Read entries.payload", Dropped, Refused("is not readable")),
    ("Read entries.payload", Altered, Refused("event 2 of")),
    ("Read head", Dropped, Refused("the field head is missing")),
    ("Read head.head", Dropped, Refused("a head that its ledger key did not sign")),
    ("Read head.head", Altered, Refused("a head that its ledger key did not sign")),
    ("Read head.signature", Dropped, Refused("the field signature is missing")),
    ("Read head.signature", Altered, Refused("a head that its ledger key did not sign")),
    ("Renew certificate", Dropped, Weightless(CERTIFICATE)),
    ("Renew certificate", Altered, Weightless(CERTIFICATE)),
    ("Retrieve contributions", Dropped, Refused("a delivery without contributions")),
    ("Retrieve contributions.contributions", Dropped, RefusedAs("KEY_CHECK_FAILED", "2 different")),
    ("Retrieve contributions.contributions", Altered, Refused("a contribution nobody stated")),
    ("Retrieve contributions.contributions", Repeated, Weightless(ONCE)),
    ("Retrieve contributions.contributions", Reordered, Weightless(ANY_ORDER)),
    ("Retrieve contributions.entry", Dropped, Refused("an acknowledgement of something else")),
    ("Retrieve contributions.entry.position", Dropped, Weightless(WHERE)),
    ("Retrieve contributions.entry.position", Altered, Weightless(WHERE)),
    ("Retrieve contributions.entry.stream", Dropped, Refused("the field stream is missing")),
    ("Retrieve contributions.entry.stream", Altered, Refused("an acknowledgement of something")),
    ("Retrieve contributions.entry.sequence", Dropped, Refused("an acknowledgement of something")),
    ("Retrieve contributions.entry.sequence", Altered, Refused("an acknowledgement of something")),
    ("Retrieve contributions.entry.label_key", Dropped, Refused("the field label_key is missing")),
    ("Retrieve contributions.entry.label_key", Altered, Weightless(LABELS)),
    ("Retrieve contributions.entry.salt", Dropped, Refused("the field salt is missing")),
    ("Retrieve contributions.entry.salt", Altered, Refused("a head of before")),
    ("Retrieve contributions.entry.payload", Dropped, Refused("an acknowledgement of something")),
    ("Retrieve contributions.entry.payload", Altered, Refused("an acknowledgement of something")),
    ("Retrieve contributions.head", Dropped, Refused("the field head is missing")),
    ("Retrieve contributions.head.head", Dropped, Refused("its ledger key did not sign")),
    ("Retrieve contributions.head.head", Altered, Refused("its ledger key did not sign")),
    ("Retrieve contributions.head.signature", Dropped, Refused("the field signature is missing")),
    ("Retrieve contributions.head.signature", Altered, Refused("its ledger key did not sign")),
    ("Retrieve chunk", Dropped, Refused("something else than a bundle in it")),
    ("Retrieve chunk", Altered, Refused("a bundle that is not the one deposited")),
    ("Scan leaves", Dropped, Refused("a log without all of its leaves")),
    ("Scan leaves", Altered, Refused("leaves that are not those of its signed log")),
    ("Stamp response", Dropped, Refused("a time-stamp that does not count")),
    ("Stamp response", Altered, Refused("a time-stamp that does not count")),
    ("Submit entries", Dropped, Refused("an acknowledgement of something else")),
    ("Submit entries", Repeated, Refused("an acknowledgement of something else")),
    ("Submit entries", Reordered, Refused("an acknowledgement of something else")),
    ("Submit entries.position", Dropped, Weightless(WHERE)),
    ("Submit entries.position", Altered, Weightless(WHERE)),
    ("Submit entries.stream", Dropped, Refused("the field stream is missing")),
    ("Submit entries.stream", Altered, Refused("an acknowledgement of something else")),
    ("Submit entries.sequence", Dropped, Refused("an acknowledgement of something else")),
    ("Submit entries.sequence", Altered, Refused("an acknowledgement of something else")),
    ("Submit entries.label_key", Dropped, Refused("the field label_key is missing")),
    ("Submit entries.label_key", Altered, Weightless(LABELS)),
    ("Submit entries.salt", Dropped, Refused("the field salt is missing")),
    ("Submit entries.salt", Altered, Refused("a head of before")),
    ("Submit entries.payload", Dropped, Refused("an acknowledgement of something else")),
    ("Submit entries.payload", Altered, Refused("an acknowledgement of something else")),
    ("Submit head", Dropped, Refused("the field head is missing")),
    ("Submit head.head", Dropped, Refused("a head that its ledger key did not sign")),
    ("Submit head.head", Altered, Refused("a head that its ledger key did not sign")),
    ("Submit head.signature", Dropped, Refused("the field signature is missing")),
    ("Submit head.signature", Altered, Refused("a head that its ledger key did not sign")),
    ("Upload durable", Dropped, Refused("of a bundle")),
    ("Upload durable", Altered, Refused("of a bundle")),
    ("Watch stream", Altered, Weightless(HINT)),
];

/// What may be done to a field, but says nothing.
const EMPTY: &[(&str, Change)] = &[
    // The first hint is about everything, and so empty.
    ("Watch stream", Dropped),
    // There is a next CA only while one is being replaced; `authorities` tries that.
    ("Describe vault.next_ca_certificate", Altered),
    ("Describe vault.next_ca_certificate", Dropped),
    // There is none before the ledger key was changed; `client::authorities` tries these.
    ("Describe handovers", Altered),
    ("Describe handovers", Dropped),
    ("Describe handovers", Repeated),
    ("Describe handovers", Reordered),
];

/// What a vault says that was recovered, and what comes of it for somebody who remembers more.
const RECOVERED: &[(&str, Change, Comes)] = &[
    ("Reach sequence", Dropped, Comes::Nothing("FORKED")),
    ("Reach sequence", Altered, Comes::Told),
    ("Reach leads_there", Dropped, Comes::Told),
    // Whatever is not 0 is true.
    ("Reach leads_there", Altered, Comes::Back),
    ("HandIn handed_in", Dropped, Comes::Back),
    ("HandIn handed_in", Altered, Comes::Back),
];

/// What comes of lost events.
#[derive(Debug, PartialEq, Eq)]
enum Comes {
    /// The command is refused with this code, and can be run again.
    Nothing(&'static str),
    /// They are not handed in; that they are lost is told, and they are kept as evidence.
    Told,
    /// The vault has them back, whatever it says.
    Back,
}

/// What everything is tried on.
struct Stage {
    world: World,
    liar: Liar,
    agreement: String,
    deposit: String,
    open: String,
    released: String,
}

impl Stage {
    fn set() -> Self {
        let (mut world, _) = World::with_agreement();
        world.stop();
        let (address, witnesses) = world.with_witnesses("quorum orient\n");
        world.serve();
        // One checkpoint that the log goes on from: the witnesses end with it. A proof from a power of
        // two can have one hash, whose order nobody can change.
        shown_until(&address, |note| {
            let is_one = size_of(note).is_power_of_two();
            if is_one {
                world.grow();
            }
            !is_one
        });
        drop(witnesses);
        let agreement = world.agree(&three_shares());
        let deposit = world.deposit(&agreement, "etch for 90 s");
        let released = world.request(&deposit, "joint");
        for home in ["trade-secret-center", "hanbit-parts", "trade-secret-center"] {
            world.approve(home, &released);
        }
        assert_eq!(world.state("trade-secret-center", &released), "released");
        let open = world.request(&deposit, "joint");
        while world.newest_size("trade-secret-center").is_power_of_two() {
            world.grow();
        }
        let liar = Liar::beside(&world);
        Self { world, liar, agreement, deposit, open, released }
    }

    /// The command that asks for a reply of this call, in a fresh copy of somebody's home.
    fn run(&self, (call, several): (&str, bool), is_refused: bool) -> Ended {
        let Self { world, liar, agreement, deposit, open, released } = self;
        let copy = |home: &str| liar.copy(world, home, "copy");
        let run = |arguments: &[&str]| world.escrow("copy", arguments);
        let request = ["request", deposit, "--rule", "joint", "--purpose", "an audit", "--yes"];
        match call {
            "Describe" | "Join" => self.join(),
            // Only terms and their key are handed in together.
            "Submit" if several => {
                copy("hanbit-parts");
                let terms = world.file("terms.toml", three_shares());
                run(&["agreement", "propose", &terms, "--yes"])
            }
            "Renew" => {
                self.let_expire(&copy("trade-secret-center"));
                run(&["whoami"])
            }
            "Submit" => {
                copy("orient-display");
                run(&request)
            }
            "Fetch" => {
                let home = copy("orient-display");
                fs::remove_dir_all(home.dir().join("shares")).unwrap();
                fs::create_dir(home.dir().join("shares")).unwrap();
                run(&request)
            }
            "Deposit" => {
                copy("hanbit-parts");
                let file = world.file("bundle/more.txt", "etch for 120 s");
                run(&["deposit", agreement, &file, "--yes"])
            }
            "Upload" => {
                copy("hanbit-parts");
                let file = world.file("bundle/large.bin", vec![7; 100_000]);
                run(&["deposit", agreement, &file, "--yes"])
            }
            // The home knows the log as it was before; it has grown since.
            "Checkpoint" => {
                let home = copy("trade-secret-center");
                let known = world.home("trade-secret-center").join("log");
                copy_dir(&known, &home.dir().join("log"));
                run(&["agreement", "list"])
            }
            "Stamp" => {
                copy("hanbit-parts");
                let file = world.file("notebook", "anneal at 412");
                run(&["register", &file, "--yes"])
            }
            "Prove" => {
                copy("trade-secret-center");
                let out = world.path("receipt.tgz");
                drop(fs::remove_file(&out));
                run(&["receipt", deposit, "--out", out.to_str().unwrap()])
            }
            "ListAgreements" | "Scan" => {
                copy("trade-secret-center");
                run(&["agreement", "list"])
            }
            "Read" => {
                let home = copy("trade-secret-center");
                fs::remove_dir_all(home.dir().join("streams")).unwrap();
                fs::create_dir(home.dir().join("streams")).unwrap();
                // Whatever is believed is signed for; what is not to be believed must not be.
                match is_refused {
                    true => run(&["approve", open, "--yes"]),
                    false => run(&["show", open]),
                }
            }
            "Watch" => {
                copy("trade-secret-center");
                run(&["watch", released, "--until", "released"])
            }
            "Retrieve" => {
                copy("orient-display");
                let out = world.path("out");
                drop(fs::remove_dir_all(&out));
                run(&["retrieve", released, "--out", out.to_str().unwrap(), "--yes"])
            }
            other => panic!("nothing asks for {other}"),
        }
    }

    /// The statements that stand in the agreement.
    fn stated(&self) -> usize {
        let audit = self.world.escrow("hanbit-parts", &["audit", &self.agreement]).records();
        audit.iter().filter(|event| !event["statement_sha256"].is_null()).count()
    }

    /// A colleague joins through the liar.
    fn join(&self) -> Ended {
        let Self { world, liar, .. } = self;
        static JOINED: AtomicU8 = AtomicU8::new(0);
        let name = format!("jun-{}", JOINED.fetch_add(1, Ordering::Relaxed));
        let invitation = world.invite("hanbit-parts", &["--member", &name]);
        let mut invitation = Invitation::parse(&invitation).unwrap();
        invitation.address = liar.address().to_owned();
        liar.serve(&invitation.member, &world.home(&name));
        world.escrow_with(&name, &["join", "--yes"], invitation.to_text().as_bytes())
    }

    /// Gives a home a certificate that is about to expire.
    fn let_expire(&self, home: &Home) {
        let keys = Keyring::at(&self.world.data().join("keys"));
        let authority = Authority::load(&keys, 1).unwrap();
        let owner = home.owner().unwrap();
        let subject = Subject::Member { id: owner.id.unwrap(), path: owner.path };
        let csr = home.keys().unwrap().tls.csr_der().unwrap();
        let now = std::time::SystemTime::now().into();
        let soon = authority.issue_client(&csr, &subject, now, Span::days(10)).unwrap();
        home.set_certificate(&soon).unwrap();
    }
}

#[test]
fn promise_13_a_lie_about_any_field_is_refused_or_changes_nothing() {
    let stage = Stage::set();
    let fields = every_field();
    let named = |name: &str| fields.iter().find(|field| field.name == name).unwrap().clone();
    let (before, mut taken) = (stage.stated(), 0);
    let mut untold = BTreeMap::new();
    for (name, change, ends) in TABLE {
        let row = format!("{name} {change:?}");
        let call = name.split(' ').next().unwrap();
        let lied = named(name);
        let changed = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&changed);
        let lie = Lie::new(call, move |truth| {
            let told = lied.change(&truth, *change);
            counted.fetch_add(usize::from(told.is_some()), Ordering::Relaxed);
            Ok(Box::new(told.unwrap_or(truth).into_iter()))
        });
        let asked = (call, *change == Reordered);
        if let Weightless(_) = ends {
            // How it ends without a lie.
            untold.entry(asked).or_insert_with(|| {
                stage.liar.tell(None);
                let ended = stage.run(asked, false);
                taken += stage.liar.heard().iter().filter(|tag| is_agreements(tag)).count();
                (ended.code, shape(&ended))
            });
        }
        stage.liar.tell(Some(lie));
        let ended = stage.run(asked, !matches!(ends, Weightless(_)));
        assert!(changed.load(Ordering::Relaxed) > 0, "{row}: nobody was lied to: {}", ended.err);
        match ends {
            Weightless(why) => {
                assert_eq!((ended.code, shape(&ended)), untold[&asked], "{row}: {why}");
            }
            Refused(reason) => refused(&row, &ended, "UNTRUE", reason),
            RefusedAs(code, reason) => refused(&row, &ended, code, reason),
        }
        // Whatever was signed was signed before the lie; after it, nothing.
        let heard = stage.liar.heard();
        let is_reply_to_one =
            ["Submit", "Stamp", "Deposit", "Retrieve", "Join", "Renew"].contains(&call);
        let may_join = call == "Describe" && heard == ["escrow-vault/join/v1"];
        let is_proposal = call == "Submit" && *change == Reordered;
        let signed = if is_proposal { 2 } else { usize::from(is_reply_to_one || may_join) };
        assert!(heard.len() <= signed || ended.code == 0, "{row}: {heard:?}");
        taken += heard.iter().filter(|tag| is_agreements(tag)).count();
        taken -= if is_proposal { 2 } else { 0 };
    }
    assert_eq!(stage.stated(), before + taken, "what was not handed in does not stand there");
}

#[test]
fn promise_13_lies_of_a_recovered_vault_lose_nothing_unseen() {
    for (name, change, comes) in RECOVERED {
        let (mut world, agreement) = World::with_agreement();
        let backup = world.path("backup").display().to_string();
        assert_eq!(world.escrowd(&["backup", "--to", &backup]).code, 0);
        let deposit = world.deposit(&agreement, "recipe");
        world.kill();
        fs::remove_dir_all(world.data()).unwrap();
        assert_eq!(world.escrowd(&["restore", "--from", &backup]).code, 0);
        assert_eq!(world.escrowd(&["recover"]).code, 0);
        world.serve();
        let liar = Liar::beside(&world);
        let home = liar.copy(&world, "hanbit-parts", "copy");
        let fields = every_field();
        let lied = fields.iter().find(|field| field.name == *name).unwrap().clone();
        let (call, change) = (name.split(' ').next().unwrap(), *change);
        liar.tell(Some(Lie::new(call, move |truth| {
            let told = lied.change(&truth, change);
            Ok(Box::new(told.unwrap_or(truth).into_iter()))
        })));
        let resumed = world.escrow("copy", &["resume", "--yes"]);
        let row = format!("{name} {change:?}: {resumed:?}");
        match comes {
            Comes::Nothing(code) => {
                assert_eq!(resumed.code, 1, "{row}");
                assert_eq!(resumed.refusal(), *code, "{row}");
            }
            Comes::Told => {
                assert_eq!(resumed.code, 3, "{row}");
                assert!(resumed.out[0]["lost"][0]["sequence"].is_number(), "{row}");
                assert!(home.dir().join("evidence/generation-1").is_dir(), "{row}");
            }
            Comes::Back => {
                assert_eq!((resumed.code, resumed.out[0]["lost"].to_string()), (3, "[]".into()));
            }
        }
        // Whatever a liar did, whoever remembers it can still hand it in.
        let honest = world.escrow("hanbit-parts", &["resume", "--yes"]);
        assert_eq!(honest.code, 3, "{row}: {}", honest.err);
        let shown = world.escrow("hanbit-parts", &["show", &deposit]).record();
        assert_eq!(shown["id"], deposit.as_str(), "{row}");
    }
}

#[test]
fn promise_13_no_field_is_without_a_row() {
    let every: BTreeSet<_> = every_field()
        .iter()
        .flat_map(|field| field.changes().into_iter().map(|change| (field.name.clone(), change)))
        .collect();
    let rows = TABLE.iter().map(|(name, change, _)| (name.to_string(), *change));
    let recovered = RECOVERED.iter().map(|(name, change, _)| (name.to_string(), *change));
    let empty = EMPTY.iter().map(|(name, change)| (name.to_string(), *change));
    let listed: BTreeSet<_> = rows.chain(recovered).chain(empty).collect();
    let missing: Vec<_> = every.difference(&listed).collect();
    let invented: Vec<_> = listed.difference(&every).collect();
    assert!(missing.is_empty() && invented.is_empty(), "missing {missing:?}, gone {invented:?}");
    assert_eq!(listed.len(), TABLE.len() + RECOVERED.len() + EMPTY.len(), "one row each");
}

fn refused(row: &str, ended: &Ended, code: &str, reason: &str) {
    assert_eq!(ended.code, 1, "{row}: {:?} {}", ended.out, ended.err);
    let error = ended.error();
    assert_eq!(error["code"], code, "{row}: {error}");
    assert!(error["message"].as_str().unwrap().contains(reason), "{row}: {error}");
}

fn is_agreements(tag: &&str) -> bool {
    let others = ["/join/v1", "/renewal/v1", "/registration/v1"];
    !others.iter().any(|other| tag.ends_with(other))
}

/// What a command put out, without what is new every time.
fn shape(ended: &Ended) -> Vec<Value> {
    fn masked(value: &Value) -> Value {
        match value {
            Value::String(text) if text.chars().any(|c| c.is_ascii_digit()) => Value::from("…"),
            Value::String(_) | Value::Null | Value::Bool(_) => value.clone(),
            Value::Number(_) => Value::from(0),
            Value::Array(items) => items.iter().map(masked).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), masked(value))).collect()
            }
        }
    }
    ended.out.iter().map(masked).collect()
}
