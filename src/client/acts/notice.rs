//! Notice, as it runs for a holder: by nobody's word that the vault could make up.

use std::time::SystemTime;

use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::domain::request::Request;
use crate::domain::time::Timestamp;

/// Until when notice runs in this home: see [`Request::notice_ends_for`].
pub fn ends(session: &Session, request: &Request) -> Result<Timestamp, ClientError> {
    Ok(request.notice_ends_for(first_sight(session, request)?))
}

/// Remembers when a request was first known here. Nobody has looked at it, and nothing is signed.
pub fn remember(session: &Session, request: &Request) -> Result<(), ClientError> {
    first_sight(session, request).map(|_| ())
}

/// Refuses while it runs.
pub fn has_run(session: &Session, request: &Request, now: Timestamp) -> Result<(), ClientError> {
    refuse_before(ends(session, request)?, request, now)
}

/// Since when a request is known here, which is now if it was not before.
pub fn first_sight(session: &Session, request: &Request) -> Result<Timestamp, ClientError> {
    session.home.first_sight(&request.id, Timestamp::from(SystemTime::now()))
}

fn refuse_before(until: Timestamp, request: &Request, now: Timestamp) -> Result<(), ClientError> {
    if now >= until {
        return Ok(());
    }
    Err(ClientError::NotYet {
        message: format!(
            "{} has not been known here for long enough, whatever the vault says: notice runs here \
             until {until}",
            request.id
        ),
        hint: format!("run `escrow approve {}` again after that", request.id),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::domain::agreement::Agreement;
    use crate::domain::id::{AgreementId, Bytes};
    use crate::domain::request::{Act, Notified, Objection, Sight, Stamped};
    use crate::domain::statement::{Evidence, Statement};
    use crate::domain::tests::json::one_of_each;
    use crate::domain::tests::terms::{terms, three_party};

    const MINJI: &str = "hanbit-parts/minji";
    const JUN: &str = "hanbit-parts/jun";
    const YUKI: &str = "orient-display/yuki";
    const SORA: &str = "trade-secret-center/sora";

    /// So many days after the request was made.
    fn day(days: i64) -> Timestamp {
        let made: Timestamp = "2026-03-02T09:00:00.000Z".parse().unwrap();
        Timestamp::from_millis(made.as_millis() + days * 86_400_000)
    }

    /// A request of yuki's; the two other organisations may object for ten days.
    fn request() -> Request {
        let mut written = three_party();
        written["rules"][1]["objection"] = json!(["depositor", "agent"]);
        let (mut proposal, mut request) = (None, None);
        for statement in one_of_each() {
            if let Statement::Proposal(s) = statement {
                proposal = Some(s);
            } else if let Statement::Request(s) = statement {
                request = Some(s);
            }
        }
        let (mut proposal, mut request) = (proposal.unwrap(), request.unwrap());
        proposal.terms = terms(written);
        request.rule = "bankruptcy".parse().unwrap();
        assert_eq!(request.made.by.to_string(), YUKI);
        let id = AgreementId::of(&Bytes([1; 32]));
        let agreement = Agreement::proposed(id, &proposal, Bytes([1; 32]), day(0), 1);
        Request::opened(&agreement, &request, Bytes([2; 32]), day(0))
    }

    /// The authority says that it was there on this day; it was handed in at once.
    fn stamp(request: &mut Request, days: i64) {
        let (by, at) = (YUKI.parse().unwrap(), day(days));
        request.stamped = Some(Stamped { by, at, stamped_at: at });
    }

    /// Who has seen it, when by the vault's time, and when by their own.
    type Seen = (&'static str, i64, i64);

    /// What is so, who has seen it, what else was done, the first sight in this home, and the day on
    /// which notice has run.
    type Row = (&'static str, &'static [Seen], fn(&mut Request), i64, i64);

    #[test]
    fn promise_13_notice_runs_from_what_the_vault_cannot_make_alone() {
        let as_it_is: fn(&mut Request) = |_| {};
        let rows: [Row; 28] = [
            ("nobody has seen it but this home", &[], as_it_is, 3, 13),
            ("this home saw it first", &[(MINJI, 5, 5), (SORA, 6, 6)], as_it_is, 3, 13),
            ("all have seen it before", &[(MINJI, 1, 1), (SORA, 4, 4)], as_it_is, 9, 14),
            ("in whatever order", &[(SORA, 4, 4), (MINJI, 1, 1)], as_it_is, 9, 14),
            ("one's sight runs not the other's notice", &[(MINJI, 1, 1)], as_it_is, 9, 19),
            ("nor do two of one house", &[(MINJI, 1, 1), (JUN, 1, 1)], as_it_is, 9, 19),
            (
                "of a house the first counts",
                &[(MINJI, 6, 6), (JUN, 2, 2), (SORA, 3, 3)],
                as_it_is,
                9,
                13,
            ),
            ("the requester's house objects to nothing", &[(YUKI, 1, 1)], as_it_is, 9, 19),
            (
                "nor does it delay the others",
                &[(YUKI, 8, 8), (MINJI, 1, 1), (SORA, 2, 2)],
                as_it_is,
                9,
                12,
            ),
            (
                "a sight is from when its signer says, not the vault",
                &[(MINJI, 0, 5), (SORA, 0, 6)],
                as_it_is,
                9,
                16,
            ),
            ("however late it was handed in", &[(MINJI, 8, 1), (SORA, 8, 2)], as_it_is, 9, 12),
            ("a signer's clock runs ahead", &[(MINJI, 1, 30), (SORA, 2, 2)], as_it_is, 9, 19),
            ("this home's clock ran ahead", &[], as_it_is, 400, 410),
            ("and others' did not", &[(MINJI, 1, 1), (SORA, 2, 2)], as_it_is, 400, 12),
            ("this home's clock was behind: its own word", &[], as_it_is, -400, -390),
            (
                "evidence that they were notified lets it be released, and runs nothing",
                &[],
                |request| {
                    let name = "registered-letter.pdf".parse().unwrap();
                    let evidence = Evidence { name, sha256: Bytes([3; 32]), size: 10 };
                    let by = SORA.parse().unwrap();
                    request.notifications.push(Notified { by, at: day(1), evidence });
                    assert!(request.unaware().is_empty());
                },
                9,
                19,
            ),
            (
                "nor does a consent, or an objection taken back",
                &[(MINJI, 1, 1)],
                |request| {
                    let act = |by: &str| Act { by: by.parse().unwrap(), at: day(1) };
                    request.consents.push(act(SORA));
                    let Act { by, at } = act(SORA);
                    let reason = "no such event".parse().unwrap();
                    let (settlements, withdrawn) = (Vec::new(), Some(act(SORA)));
                    request.objections.push(Objection { by, at, reason, settlements, withdrawn });
                    assert!(request.unaware().is_empty());
                },
                9,
                19,
            ),
            (
                "the vault dates it back",
                &[],
                |request| (request.opened_at, request.notice_ends_at) = (day(-90), day(-80)),
                3,
                13,
            ),
            (
                "a vault that was recovered opens it anew, and sights are as they were signed",
                &[(MINJI, 30, 1), (SORA, 30, 2)],
                |request| (request.opened_at, request.notice_ends_at) = (day(30), day(40)),
                9,
                12,
            ),
            (
                "nobody may object: this home's sight alone",
                &[(MINJI, 1, 1), (SORA, 1, 1)],
                |request| Arc::make_mut(&mut request.terms).rules[1].objection.clear(),
                3,
                13,
            ),
            (
                "nobody may object: a time-stamp from before this home saw it",
                &[],
                |request| {
                    Arc::make_mut(&mut request.terms).rules[1].objection.clear();
                    stamp(request, 1);
                },
                9,
                11,
            ),
            (
                "this home had seen it before it was stamped",
                &[],
                |request| {
                    Arc::make_mut(&mut request.terms).rules[1].objection.clear();
                    stamp(request, 5);
                },
                3,
                13,
            ),
            (
                "the vault dates the request back, and cannot date the time-stamp",
                &[],
                |request| {
                    Arc::make_mut(&mut request.terms).rules[1].objection.clear();
                    stamp(request, 2);
                    (request.opened_at, request.notice_ends_at) = (day(-90), day(-80));
                },
                9,
                12,
            ),
            (
                "the vault dates back when the time-stamp was handed in",
                &[],
                |request| {
                    Arc::make_mut(&mut request.terms).rules[1].objection.clear();
                    stamp(request, 4);
                    request.stamped.as_mut().unwrap().at = day(-90);
                },
                9,
                14,
            ),
            (
                "only the requester's house could object, which it does not to its own",
                &[],
                |request| {
                    Arc::make_mut(&mut request.terms).rules[1].objection =
                        vec!["beneficiary".parse().unwrap()];
                    stamp(request, 1);
                },
                9,
                11,
            ),
            (
                "somebody may object, from whom it may have been withheld",
                &[(MINJI, 5, 5)],
                |request| stamp(request, 1),
                9,
                19,
            ),
            (
                "all who may object have seen it, later than it was stamped",
                &[(MINJI, 5, 5), (SORA, 6, 6)],
                |request| stamp(request, 1),
                9,
                16,
            ),
            (
                "nor where they were notified, whenever that was",
                &[],
                |request| {
                    stamp(request, 1);
                    let name = "registered-letter.pdf".parse().unwrap();
                    let evidence = Evidence { name, sha256: Bytes([3; 32]), size: 10 };
                    let by = SORA.parse().unwrap();
                    request.notifications.push(Notified { by, at: day(1), evidence });
                },
                9,
                19,
            ),
        ];
        for (why, seen, change, own, expected) in rows {
            let mut request = request();
            for (by, at, seen_at) in seen {
                let (by, at, seen_at) = (by.parse().unwrap(), day(*at), day(*seen_at));
                request.sights.push(Sight { by, at, seen_at });
            }
            change(&mut request);
            let until = request.notice_ends_for(day(own));
            assert_eq!(until, day(expected), "{why}");
            assert!(refuse_before(until, &request, until).is_ok(), "{why}");
            let just_before = Timestamp::from_millis(until.as_millis() - 1);
            let refused = refuse_before(until, &request, just_before).unwrap_err();
            assert!(matches!(refused, ClientError::NotYet { .. }), "{why}: {refused}");
            assert!(refused.to_string().contains(&until.to_string()), "{why}: {refused}");
        }
    }

    #[test]
    fn notice_is_as_long_as_the_rule_says_and_never_ends_without_a_rule() {
        let mut request = request();
        for (rule, expected) in [("bankruptcy", day(13)), ("joint", day(3))] {
            request.statement.rule = rule.parse().unwrap();
            assert_eq!(request.notice_ends_for(day(3)), expected, "{rule}");
        }
        request.statement.rule = "insolvency".parse().unwrap();
        assert_eq!(
            request.notice_ends_for(day(3)),
            Timestamp::MAX,
            "such a request is never accepted"
        );
    }
}
