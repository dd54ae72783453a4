//! Exports by a vault that has accepted what its own rules forbid, and hides it from nobody: its log is
//! signed and bears out every event. What is left is to decide every step anew.

use std::fs;
use std::time::SystemTime;

use escrow_vault::client::export::{Export, write};
use escrow_vault::client::home::Home;
use escrow_vault::client::mirror::log_key;
use escrow_vault::crypto::signature::SigningKey;
use escrow_vault::crypto::statement;
use escrow_vault::domain::event::{Act, Note};
use escrow_vault::domain::id::Bytes;
use escrow_vault::domain::statement::{Statement, Withdrawal, Withdrawn};
use escrow_vault::domain::stream::Stream;
use escrow_vault::domain::time::Timestamp;
use escrow_vault::ledger::LabelKey;
use escrow_vault::ledger::edge::Edge;
use escrow_vault::ledger::merkle::leaf_hash;
use rand_core::OsRng;

use super::histories::{AGENT, Stage, organisation};
use super::people::{consent, sign};
use super::{History, reword};
use crate::scenarios::exports::verify_alone;

/// What a vault accepts that must not.
type Acceptance = fn(&Stage, &mut History);

/// Writes an export of this history, with a log that is signed and has all of it.
fn export(stage: &Stage, history: &History, name: &str) -> std::path::PathBuf {
    let vault = Home::open(&stage.world.home(AGENT)).unwrap().vault().unwrap();
    let Stream::Agreement(agreement) = stage.agreement.clone() else { unreachable!() };
    let is_its = |stream: &&Stream| match stream {
        Stream::Agreement(id) | Stream::AgreementAccesses(id) => *id == agreement,
        Stream::Organisation(_) => true,
        Stream::Vault | Stream::OrganisationAccesses(_) | Stream::OrganisationRegistrations(_) => {
            false
        }
    };
    let streams = history.streams().keys().filter(is_its);
    let streams: std::collections::BTreeMap<_, _> =
        streams.map(|stream| (stream.clone(), history.streams()[stream].clone())).collect();
    let size = streams.values().flatten().map(|entry| entry.position + 1).max().unwrap();
    // Entries of streams that nobody here knows.
    let mut leaves: Vec<_> = (0..size).map(|at| Bytes([at as u8; 48])).collect();
    for entry in streams.values().flatten() {
        leaves[usize::try_from(entry.position).unwrap()] = entry.leaf();
    }
    let mut edge = Edge::default();
    leaves.iter().for_each(|leaf| edge.push(leaf_hash(&leaf.0), |_, _| ()));
    let export = Export {
        agreement,
        log: vault.log.clone(),
        operator_key: vault.operator_key,
        key: log_key(&vault).unwrap(),
        handovers: vault.handovers,
        checkpoint: history.checkpoint(size, edge.root()),
        witnessed: None,
        streams,
    };
    let path = stage.world.path(name);
    let leaves: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
    write(&export, size, leaves.as_slice(), fs::File::create(&path).unwrap()).unwrap();
    path
}

#[test]
fn promise_13_an_export_of_what_a_vault_must_not_have_accepted_is_refused_at_that_step() {
    let stage = Stage::set("contested");
    let object = ["object", &stage.request, "--reason", "not due", "--yes"];
    stage.world.escrow("hanbit-parts", &object).record();
    let audit = ["audit", &stage.agreement.to_string()];
    stage.world.escrow(AGENT, &audit).records();
    let rows: &[(&str, Acceptance, &str)] = &[
        (
            "the requester consents to its own request",
            |s, h| {
                let consented = consent(h, s, &s.key("orient-display"), "orient-display/junho");
                h.state(&s.agreement, consented);
            },
            "who requests never consents to it",
        ),
        (
            "a consent is signed with a key of the vault's",
            |s, h| {
                let key = SigningKey::generate(&mut OsRng);
                let consented = consent(h, s, &key, "trade-secret-center/sora");
                h.state(&s.agreement, consented);
            },
            "is not signed by the key of trade-secret-center/sora",
        ),
        (
            "jun consents before anybody has confirmed the key",
            |s, h| {
                let consented = consent(h, s, &s.key("jun"), "hanbit-parts/jun");
                h.state(&s.agreement, consented);
            },
            "not been confirmed by a colleague",
        ),
        (
            "the depositor's consent counts a second time",
            |s, h| {
                let place = h.place(&s.agreement, "escrow-vault/consent/v1");
                let event = statement::event(&h.entries(&s.agreement)[place].payload).unwrap();
                let Act::Stated(signed) = event.act else { unreachable!() };
                h.state(&s.agreement, signed);
            },
            "made this statement",
        ),
        (
            "the agent takes back the depositor's objection",
            |s, h| {
                let key = s.key(AGENT);
                let consented = consent(h, s, &key, "trade-secret-center/sora");
                let Statement::Consent(c) = statement::parse(&consented).unwrap().statement else {
                    unreachable!()
                };
                let (made, ground, request) = (c.made, c.ground, c.request);
                let withdrawn = Withdrawn::Objection;
                let taken = sign(&key, Withdrawal { made, ground, request, withdrawn });
                h.state(&s.agreement, taken);
            },
            "an objection of trade-secret-center is not known here",
        ),
        (
            "a consent comes a year late",
            |s, h| {
                let key = s.key(AGENT);
                let consented = consent(h, s, &key, "trade-secret-center/sora");
                let late = SystemTime::now() + std::time::Duration::from_secs(365 * 86_400);
                h.append(&s.agreement, Act::Stated(consented), late.into());
            },
            "the statement was good until",
        ),
        (
            "a consent rests on a history that is not this one",
            |s, h| {
                let mut other = h.clone();
                other.entries(&s.agreement).last_mut().unwrap().salt.0[0] ^= 1;
                let consented = consent(&other, s, &s.key(AGENT), "trade-secret-center/sora");
                h.state(&s.agreement, consented);
            },
            "is not this vault's",
        ),
        (
            "a consent that has not seen the objection",
            |s, h| {
                let mut other = h.clone();
                let place = other.place(&s.agreement, "escrow-vault/objection/v1");
                other.entries(&s.agreement).truncate(place);
                let consented = consent(&other, s, &s.key(AGENT), "trade-secret-center/sora");
                h.state(&s.agreement, consented);
            },
            "changed what it is about",
        ),
        (
            "the vault lets the agreement go on in its generation again",
            |s, h| {
                let Stream::Agreement(agreement) = s.agreement.clone() else { unreachable!() };
                let resumed = Note::Resumed { agreement, generation: 1, by: Vec::new() };
                h.append(&s.agreement, Act::Noted(resumed), SystemTime::now().into());
            },
            "the agreement waits to be resumed by",
        ),
        (
            "the vault changes itself among the agreement's events",
            |s, h| {
                let recovered = Note::Recovered { generation: 2, size: 1 };
                h.append(&s.agreement, Act::Noted(recovered), SystemTime::now().into());
            },
            "it concerns the vault itself",
        ),
    ];
    let truth = export(&stage, &stage.truth(), "truth.tgz");
    let verified = verify_alone(&truth, &[]).record();
    assert_eq!(verified["requests"][0]["state"], "objected");
    for (what, accept, reason) in rows {
        let mut history = stage.truth();
        accept(&stage, &mut history);
        let last = history.stands(&stage.agreement).sequence;
        let refused = verify_alone(&export(&stage, &history, "forbidden.tgz"), &[]);
        assert_eq!(refused.refusal(), "NOT_VERIFIED", "{what}");
        let why = refused.error()["message"].as_str().unwrap().to_owned();
        let step = format!("event {last} of {} breaks the rules: ", stage.agreement);
        assert!(why.contains(&step) && why.contains(reason), "{what}: {why}");
    }
}

#[test]
fn promise_9_an_export_with_a_stream_that_was_rewritten_is_refused_though_its_log_is_signed() {
    let stage = Stage::set("joint");
    let audit = ["audit", &stage.agreement.to_string()];
    stage.world.escrow(AGENT, &audit).records();
    let rows: &[(&str, Acceptance, &str)] = &[
        (
            "a consent was never there",
            |s, h| {
                let place = h.place(&s.agreement, "escrow-vault/consent/v1");
                let last = h.entries(&s.agreement).len() - 1;
                assert_eq!(place, last, "and nothing rests on it");
                h.hide(&s.agreement, place);
                let key = s.key(AGENT);
                let consented = consent(h, s, &key, "trade-secret-center/sora");
                h.state(&s.agreement, consented);
            },
            // Which nobody can know who was not shown it.
            "",
        ),
        (
            "the request was reworded",
            |s, h| {
                let place = h.place(&s.agreement, "escrow-vault/request/v1");
                h.forge(&s.agreement, place, |event| reword(event, "an audit", "a sale"));
            },
            "carries a statement with a bad signature",
        ),
        (
            "an event does not follow on the one before",
            |s, h| {
                let last = h.entries(&s.agreement).len() - 1;
                h.entries(&s.agreement)[last - 1].salt.0[0] ^= 1;
            },
            "does not follow on the one before",
        ),
        (
            "time runs backwards",
            |s, h| {
                let last = h.entries(&s.agreement).len() - 1;
                h.forge(&s.agreement, last, |event| event.at = Timestamp::EPOCH);
            },
            "goes back in time",
        ),
        (
            "events are decided by rules that nobody has",
            |s, h| h.forge(&s.agreement, 2, |event| event.engine = 9),
            "rules of version 9",
        ),
        (
            "an event is of a later generation",
            |s, h| h.forge(&s.agreement, 2, |event| event.log.generation = 9),
            "is of a later generation",
        ),
        (
            "an event is of another log",
            |s, h| {
                let other = "other.example".parse().unwrap();
                h.forge(&s.agreement, 2, |event| event.log.origin = other);
            },
            "belongs to another log",
        ),
        (
            "labels change within a stream",
            |s, h| h.entries(&s.agreement)[2].label_key = LabelKey([7; 32]),
            "is not in its log where it is said to be",
        ),
        (
            "an organisation's stream begins later",
            |_, h| h.hide(&organisation("orient-display"), 0),
            "breaks the rules",
        ),
    ];
    for (what, lie, reason) in rows {
        let mut history = stage.truth();
        lie(&stage, &mut history);
        let ended = verify_alone(&export(&stage, &history, "rewritten.tgz"), &[]);
        if reason.is_empty() {
            assert_eq!(ended.record()["requests"][0]["state"], "open", "{what}");
            continue;
        }
        assert_eq!(ended.refusal(), "NOT_VERIFIED", "{what}");
        let why = ended.error()["message"].as_str().unwrap().to_owned();
        assert!(why.contains(reason), "{what}: {why}");
    }
}
