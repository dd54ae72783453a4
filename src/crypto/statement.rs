//! Statements as signed bytes: made, verified, and read back from the ledger.

use crate::crypto::signature::{self, SignatureFault, SigningKey};
use crate::crypto::strict_json::{self, JsonFault};
use crate::domain::event::{Event, SignedText};
use crate::domain::statement::{Stated, Statement};

/// Why bytes are not a statement by the key they come with.
#[derive(Debug, thiserror::Error)]
pub enum StatementFault {
    /// They are not a statement at all.
    #[error("not a statement of a known type")]
    Json(#[from] JsonFault),
    /// They are, but this key did not sign them.
    #[error("the signature is not by the key it names")]
    Signature(#[from] SignatureFault),
}

/// Signs a statement.
pub fn sign(key: &SigningKey, statement: &Statement) -> Result<SignedText, serde_json::Error> {
    let text = serde_json::to_string(statement)?;
    let signature = key.sign(statement.tag(), text.as_bytes());
    Ok(SignedText { statement: text, key: key.public(), signature })
}

/// Reads a statement and verifies its signature over its exact bytes.
pub fn verify(signed: &SignedText) -> Result<Stated, StatementFault> {
    let stated = parse(signed)?;
    let bytes = signed.statement.as_bytes();
    signature::verify(&signed.key, stated.statement.tag(), bytes, &signed.signature)?;
    Ok(stated)
}

/// Reads a statement that was verified before, when it was accepted.
pub fn parse(signed: &SignedText) -> Result<Stated, JsonFault> {
    let bytes = signed.statement.as_bytes();
    let statement = strict_json::parse(bytes, Statement::BYTES_MAX)?;
    Ok(Stated { statement, digest: signature::sha256(bytes), key: signed.key })
}

/// Reads the payload of a ledger entry.
pub fn event(payload: &[u8]) -> Result<Event, JsonFault> {
    strict_json::parse(payload, Event::BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;
    use crate::crypto::strict_json::tests::second_spellings_are_refused;
    use crate::domain::event::{Act, ENGINE, EventType};
    use crate::domain::id::{AgreementId, Bytes};
    use crate::domain::needs::{All, Needs, TooComplex};
    use crate::domain::statement::{self as say, Evidence, Log};
    use crate::domain::stream::Stream;
    use crate::domain::terms::SettledBy;
    use crate::domain::tests::json::one_of_each;
    use crate::domain::tests::terms::{second_format, terms};
    use crate::domain::text::Text;
    use crate::domain::time::Timestamp;
    use crate::domain::trigger::Trigger;
    use crate::ledger::head::Head;

    #[test]
    fn the_deepest_sound_needs_are_readable_in_a_statement() {
        let key = SigningKey::generate(&mut OsRng);
        let mut statements = one_of_each().into_iter();
        let Some(Statement::Proposal(mut proposal)) =
            statements.find(|statement| matches!(statement, Statement::Proposal(_)))
        else {
            panic!("no proposal");
        };
        let mut needs: Needs = serde_json::from_str("\"1@agent\"").unwrap();
        for _ in 1..Needs::DEPTH_MAX {
            needs = Needs::All(All { all: vec![needs] });
        }
        assert!(needs.alternatives().is_ok());
        proposal.terms.rules[0].needs = needs.clone();
        let proposal = Statement::from(proposal);
        let read = verify(&sign(&key, &proposal).unwrap()).map(|stated| stated.statement);
        assert_eq!(read.unwrap(), proposal);
        let deeper = Needs::All(All { all: vec![needs] });
        assert_eq!(deeper.alternatives(), Err(TooComplex::Depth));
    }

    #[test]
    fn the_deepest_sound_needs_within_something_else_are_readable_too() {
        let key = SigningKey::generate(&mut OsRng);
        let nested = |levels: usize| {
            let seat: Needs = serde_json::from_str("\"1@agent\"").unwrap();
            (1..levels).fold(seat, |needs, _| Needs::All(All { all: vec![needs] }))
        };
        let deepest = nested(Needs::DEPTH_WITHIN_MAX);
        assert!(deepest.alternatives_within().is_ok());
        let mut written = terms(second_format());
        written.amend = Some(deepest.clone());
        written.rules[0].settled_by =
            Some(SettledBy { award: Some(deepest.clone()), ..SettledBy::default() });
        written.rules[1].trigger = Trigger::Order { attested: deepest };
        let Some(Statement::Proposal(proposal)) =
            one_of_each().into_iter().find(|one| matches!(one, Statement::Proposal(_)))
        else {
            panic!("no proposal");
        };
        let proposal = Statement::from(say::Proposal { terms: written, ..proposal });
        let read = verify(&sign(&key, &proposal).unwrap()).map(|stated| stated.statement);
        assert_eq!(read.unwrap(), proposal);
        let deeper = nested(Needs::DEPTH_WITHIN_MAX + 1);
        assert_eq!(deeper.alternatives_within(), Err(TooComplex::DepthWithin));
    }

    /// A request whose evidence makes it exactly this long.
    fn request_of(bytes: usize) -> Statement {
        let mut statements = one_of_each().into_iter();
        let Some(Statement::Request(mut request)) =
            statements.find(|statement| matches!(statement, Statement::Request(_)))
        else {
            panic!("no request");
        };
        let length = |request: &say::Request| {
            serde_json::to_string(&Statement::from(request.clone())).unwrap().len()
        };
        let one = request.evidence[0].clone();
        // Of characters that are written as two.
        let named = |length| Evidence { name: "\\".repeat(length).parse().unwrap(), ..one.clone() };
        while length(&request) + 2_000 < bytes {
            request.evidence.push(named(900));
        }
        request.purpose = "x".parse().unwrap();
        request.evidence.push(named(1));
        let missing = bytes - length(&request);
        request.evidence.pop();
        request.evidence.push(named(1 + missing / 2));
        request.purpose = "x".repeat(1 + missing % 2).parse().unwrap();
        assert_eq!(length(&request), bytes);
        request.into()
    }

    #[test]
    fn promise_11_a_statement_is_no_longer_than_it_may_be_and_has_room_in_an_event() {
        let key = SigningKey::generate(&mut OsRng);
        let most = Statement::BYTES_MAX;
        let (longest, longer) = (request_of(most), request_of(most + 1));
        let signed = sign(&key, &longest).unwrap();
        assert_eq!(verify(&signed).unwrap().statement, longest);
        let refused = verify(&sign(&key, &longer).unwrap()).unwrap_err();
        let StatementFault::Json(JsonFault::TooLong { bytes, bytes_max }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((bytes, bytes_max), (most + 1, most));

        // However much there is to escape in it.
        let event = Event {
            kind: EventType::V1,
            log: Log { origin: "o".repeat(Text::BYTES_MAX).parse().unwrap(), generation: u32::MAX },
            engine: ENGINE,
            stream: Stream::AgreementAccesses(AgreementId::of(&Bytes([1; 32]))),
            sequence: u64::MAX >> 11,
            previous: Bytes([1; 32]),
            at: Timestamp::MAX,
            act: Act::Stated(signed),
        };
        let payload = serde_json::to_vec(&event).unwrap();
        assert!(payload.len() > most * 3 / 2, "nothing was escaped: {}", payload.len());
        assert_eq!(super::event(&payload).unwrap(), event);
    }

    #[test]
    fn promise_11_an_event_is_no_longer_than_it_may_be() {
        let event_of = |bytes: usize| {
            let signed = SignedText {
                statement: String::new(),
                key: Bytes([1; 32]),
                signature: Bytes([2; 64]),
            };
            let mut event = Event {
                kind: EventType::V1,
                log: Log { origin: "vault.example/escrow".parse().unwrap(), generation: 1 },
                engine: ENGINE,
                stream: Stream::Vault,
                sequence: 1,
                previous: Bytes([0; 32]),
                at: Timestamp::EPOCH,
                act: Act::Stated(signed.clone()),
            };
            let room = bytes - serde_json::to_vec(&event).unwrap().len();
            event.act = Act::Stated(SignedText { statement: "x".repeat(room), ..signed });
            event
        };
        let most = Event::BYTES_MAX;
        let payload = serde_json::to_vec(&event_of(most)).unwrap();
        assert_eq!(event(&payload).unwrap(), event_of(most));
        let payload = serde_json::to_vec(&event_of(most + 1)).unwrap();
        let refused = event(&payload).unwrap_err();
        let is_too_long = matches!(refused, JsonFault::TooLong { bytes, bytes_max }
            if (bytes, bytes_max) == (most + 1, most));
        assert!(is_too_long, "{refused:?}");
    }

    #[test]
    fn what_is_left_out_is_not_written_as_null() {
        let key = SigningKey::generate(&mut OsRng);
        let Some(Statement::Request(mut request)) =
            one_of_each().into_iter().find(|statement| matches!(statement, Statement::Request(_)))
        else {
            panic!("no request");
        };
        request.duty = None;
        let mut signed = sign(&key, &Statement::from(request.clone())).unwrap();
        assert_eq!(verify(&signed).unwrap().statement, request.clone().into());
        assert!(!signed.statement.contains("duty"), "as it was written before there were duties");
        signed.statement = signed.statement.replacen(r#""point":"#, r#""duty":null,"point":"#, 1);
        signed.signature = key.sign(Statement::from(request).tag(), signed.statement.as_bytes());
        let refused = verify(&signed).unwrap_err();
        assert!(matches!(refused, StatementFault::Json(_)), "a second spelling: {refused:?}");
    }

    #[test]
    fn every_type_is_accepted_under_its_own_tag_only() {
        let key = SigningKey::generate(&mut OsRng);
        let signed = |text: &str, tag: &str| {
            let signature = key.sign(tag, text.as_bytes());
            SignedText { statement: text.to_owned(), key: key.public(), signature }
        };
        let others = ["escrow-vault/head/v1", "escrow-vault/consent/v2", ""];
        let tags: Vec<&str> = Statement::TYPES.iter().copied().chain(others).collect();
        for statement in one_of_each() {
            let (text, own) = (serde_json::to_string(&statement).unwrap(), statement.tag());
            for tag in &tags {
                let verified = verify(&signed(&text, tag)).map(|stated| stated.statement);
                assert_eq!(verified.ok(), (*tag == own).then(|| statement.clone()), "{tag} {own}");
                // Called by another name after it was signed.
                let renamed =
                    SignedText { statement: text.replacen(own, tag, 1), ..signed(&text, own) };
                assert_eq!(verify(&renamed).is_ok(), *tag == own, "{own} called {tag}");
                let head = text.replacen(own, "escrow-vault/head/v1", 1);
                assert!(verify(&signed(&head, tag)).is_err(), "a head is no statement");
            }
        }
    }

    #[test]
    fn nothing_has_a_second_spelling() {
        let mut tried = 0;
        for statement in one_of_each() {
            tried += second_spellings_are_refused(&statement);
        }
        let [stream, log] = ["vault", r#"{"origin":"vault.example","generation":1}"#];
        let zeros = |bytes: usize| "0".repeat(2 * bytes);
        let (key, digest, signature) = (zeros(32), zeros(32), zeros(64));
        let acts = [
            format!(r#"{{"stated":{{"statement":"","key":"{key}","signature":"{signature}"}}}}"#),
            format!(
                r#"{{"noted":{{"founded":{{"ledger_key":"{key}","operator_key":"{key}","ca_sha256":"{digest}"}}}}}}"#
            ),
            r#"{"noted":{"access":{"by":"newco/ann","look":"stream"}}}"#.to_owned(),
            format!(
                r#"{{"noted":{{"authorities_changed":{{"edition":2,"ca_sha256":"{digest}","next_ca_sha256":null}}}}}}"#
            ),
        ];
        for act in acts {
            let text = format!(
                r#"{{"type":"escrow-vault/event/v1","log":{log},"engine":1,"stream":"{stream}","sequence":1,"previous":"{digest}","at":"2026-01-01T00:00:00.000Z","act":{act}}}"#
            );
            tried += second_spellings_are_refused(&event(text.as_bytes()).unwrap());
        }
        let head = format!(
            r#"{{"type":"escrow-vault/head/v1","log":{log},"stream":"{stream}","saw":{{"sequence":1,"commitment":"{digest}"}},"at":"2026-01-01T00:00:00.000Z"}}"#
        );
        let head: Head = strict_json::parse(head.as_bytes(), 1 << 10).unwrap();
        tried += second_spellings_are_refused(&head);
        assert!(tried > 300, "{tried} tried");
    }
}
