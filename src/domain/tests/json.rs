//! Statements as text: one way to write each, nothing unknown, nothing missing.

use serde_json::{Value, json};

use super::scenario::{JUN, KENJI, MINJI, SORA, YUKI, consented};
use super::terms::{second_format, stamped_terms, terms, three_party};
use super::triggers::{insolvency, triggered};
use super::world::{OPERATOR, bytes};
use crate::domain::statement::{
    Acknowledged, Attested, Basis, Reason, Sealing, Statement, Withdrawn,
};

/// One statement of every type.
pub(crate) fn one_of_each() -> Vec<Statement> {
    let (mut world, case) = consented("bankruptcy");
    let (agreement, deposit) = (case.agreement.clone(), world.seen(&case).deposit.clone());
    let invitation = world.invitation(OPERATOR, "newco/ann");
    let mut elsewhere = world.deposit(MINJI, &agreement);
    elsewhere.sealing = Sealing::Elsewhere;
    let triggered = TRIGGERS.map(|trigger| -> Statement {
        let trigger = serde_json::from_str(trigger).unwrap();
        world.proposal(MINJI, &terms(triggered(trigger))).into()
    });
    let others: Vec<Statement> = vec![
        invitation.clone().into(),
        world.organisation("newco/ann").into(),
        world.join("newco/ann", &invitation).into(),
        world.confirmation(MINJI, JUN, bytes("a join"), true).into(),
        world.revocation(MINJI, JUN, Reason::Left).into(),
        world.revocation(MINJI, JUN, Reason::CompromisedSince(world.now)).into(),
        world.revocation_notice(MINJI, &agreement, JUN, bytes("a revocation")).into(),
        world.renewal(MINJI).into(),
        world.registration(MINJI).into(),
        world.proposal(MINJI, &terms(three_party())).into(),
        world.proposal(MINJI, &terms(second_format())).into(),
        world.proposal(MINJI, &terms(stamped_terms())).into(),
        world.release_key(MINJI, &agreement).into(),
        world.acceptance(YUKI, &agreement).into(),
        world.declination(YUKI, &agreement).into(),
        world.amendment(MINJI, &agreement, &terms(second_format())).into(),
        world.countersignature(SORA, &agreement, bytes("an amendment")).into(),
        world.termination(YUKI, &agreement).into(),
        world.resumption(YUKI, &agreement).into(),
        world.reseal(KENJI, &agreement, YUKI).into(),
        world.deposit(MINJI, &agreement).into(),
        elsewhere.into(),
        world.request(YUKI, &deposit, "joint").into(),
        world.consent(SORA, &case).into(),
        world.contribution(SORA, &case).into(),
        world.sight(JUN, &case).into(),
        world.notification(SORA, &case).into(),
        world.objection(MINJI, &case).into(),
        world.reminder(SORA, &agreement, "hanbit-parts").into(),
        world.attestation(SORA, &case, &insolvency()).into(),
        world.attestation(SORA, &case, &Attested::Order).into(),
        world.settlement(SORA, &case, Basis::Award).into(),
        world.withdrawal(MINJI, &case, Withdrawn::Objection).into(),
        world.retrieval(YUKI, &case).into(),
        world.acknowledgement(YUKI, &case, Acknowledged::Destroyed).into(),
        world.time_stamp(SORA, &case).into(),
    ];
    triggered.into_iter().chain(others).collect()
}

/// One trigger of each kind.
const TRIGGERS: [&str; 5] = [
    r#"{"event":{"kind":"insolvency","attested":"1@agent"}}"#,
    r#"{"order":{"attested":"2@agent"}}"#,
    r#"{"missed":{"deposits":3,"interval":"30d","grace":"10d"}}"#,
    r#"{"silence":{"role":"depositor","lasts":"180d","reminders":3,"every":"14d"}}"#,
    r#"{"date":"2030-01-01T00:00:00.000Z"}"#,
];

fn read(value: Value) -> Result<Statement, serde_json::Error> {
    serde_json::from_str(&value.to_string())
}

#[test]
fn statements_read_as_they_are_written_with_the_type_first() {
    let mut seen = std::collections::BTreeSet::new();
    for statement in one_of_each() {
        let text = serde_json::to_string(&statement).unwrap();
        let first = format!(r#"{{"type":"{}","made":{{"by":""#, statement.tag());
        assert!(text.starts_with(&first), "{text}");
        assert_eq!(serde_json::from_str::<Statement>(&text).unwrap(), statement, "{text}");
        seen.insert(statement.tag());
    }
    assert_eq!(seen, Statement::TYPES.iter().copied().collect(), "one of each type");
}

/// Every object within, by JSON pointer.
fn objects(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.push(at.clone());
            for (name, value) in fields {
                objects(value, format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                objects(value, format!("{at}/{i}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn unknown_and_missing_fields_are_refused_at_every_depth() {
    // Maps by role and by organisation have no fields of their own.
    let maps = ["/terms/parties", "/terms/fingerprints"];
    let (mut unknown, mut missing) = (0, 0);
    for statement in one_of_each() {
        let written = serde_json::to_value(&statement).unwrap();
        let mut found = Vec::new();
        objects(&written, String::new(), &mut found);
        for at in found.iter().filter(|at| !maps.contains(&at.as_str())) {
            let mut more = written.clone();
            more.pointer_mut(at).unwrap()["misspelt"] = json!(1);
            assert!(read(more).is_err(), "{}{at}/misspelt", statement.tag());
            unknown += 1;
            let names: Vec<_> =
                written.pointer(at).unwrap().as_object().unwrap().keys().cloned().collect();
            // What may be left out.
            let optional = [
                "contract_sha256",
                "duty",
                "format",
                "calendar",
                "amend",
                "term",
                "time_stamps",
                "distinct_organisations",
                "vote",
                "access",
                "grants",
                "within",
                "times",
                "trigger",
                "reviewers",
                "settled_by",
                "joint",
                "award",
                "order",
            ];
            for name in names.iter().filter(|name| !optional.contains(&name.as_str())) {
                let mut less = written.clone();
                less.pointer_mut(at).unwrap().as_object_mut().unwrap().remove(name);
                assert!(read(less).is_err(), "{}{at}/{name}", statement.tag());
                missing += 1;
            }
        }
    }
    assert!(unknown > 60 && missing > 200, "{unknown} and {missing} tried");
}

#[test]
fn a_statement_under_another_type_or_twice_the_same_field_is_refused() {
    let mut alike = 0;
    for statement in one_of_each() {
        let text = serde_json::to_string(&statement).unwrap();
        for other in Statement::TYPES.iter().filter(|other| **other != statement.tag()) {
            let swapped = text.replacen(statement.tag(), other, 1);
            match serde_json::from_str::<Statement>(&swapped) {
                Err(_) => {}
                // Told apart by their type alone, which is what the signature covers first.
                Ok(read) => {
                    assert_eq!(read.tag(), *other);
                    assert!(ALIKE.contains(&statement.tag()) && ALIKE.contains(other), "{swapped}");
                    alike += 1;
                }
            }
        }
        for unknown in ["escrow-vault/consent/v2", "consent", ""] {
            let swapped = text.replacen(statement.tag(), unknown, 1);
            assert!(serde_json::from_str::<Statement>(&swapped).is_err(), "{swapped}");
        }
        let twice = text.replacen(r#""made":"#, r#""made":null,"made":"#, 1);
        assert!(serde_json::from_str::<Statement>(&twice).is_err(), "{twice}");
        let twice = text.replacen(r#"{"type":"#, r#"{"type":"x","type":"#, 1);
        assert!(serde_json::from_str::<Statement>(&twice).is_err(), "{twice}");
        let untyped = text.replacen(&format!(r#""type":"{}","#, statement.tag()), "", 1);
        assert!(serde_json::from_str::<Statement>(&untyped).is_err(), "{untyped}");
    }
    assert_eq!(alike, 12, "consent, sight, retrieval; declination, termination, resumption");
}

/// Types with the same fields.
const ALIKE: [&str; 6] = [
    "escrow-vault/consent/v1",
    "escrow-vault/seen/v1",
    "escrow-vault/retrieval/v1",
    "escrow-vault/declination/v1",
    "escrow-vault/termination/v1",
    "escrow-vault/resumption/v1",
];
