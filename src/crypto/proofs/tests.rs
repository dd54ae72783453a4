//! What a time-stamp of a request proves under the terms, and what does not count.

use std::sync::Arc;

use super::*;
use crate::crypto::timestamp::tests::{World, ca_params, params, root};
use crate::domain::der::Der;
use crate::domain::id::{AgreementId, Bytes, RequestId};
use crate::domain::statement::{Proposal, RequestRef};
use crate::domain::terms::TimeStamps;
use crate::domain::tests::json::one_of_each;

fn pinned(ca: &[u8]) -> TimeStamps {
    let authority = "http://tsa.example/tsr".parse().unwrap();
    TimeStamps { authority, ca: Der::new(ca.to_vec()).unwrap() }
}

fn stated(statement: impl Into<Statement>) -> Stated {
    Stated { statement: statement.into(), digest: Bytes([1; 32]), key: Bytes([2; 32]) }
}

/// The last statement of this kind among one of each.
fn one<T>(pick: impl Fn(Statement) -> Option<T>) -> T {
    one_of_each().into_iter().filter_map(pick).next_back().unwrap()
}

fn proposal() -> Proposal {
    one(|statement| {
        let Statement::Proposal(s) = statement else { return None };
        Some(s)
    })
}

/// States with a request under terms that pin this CA, and a time-stamp of it that says nothing yet.
fn asked(ca: &[u8]) -> (States, TimeStamp) {
    let mut proposal = proposal();
    proposal.terms.time_stamps = Some(pinned(ca));
    let asked = one(|statement| {
        let Statement::Request(s) = statement else { return None };
        Some(s)
    });
    let mut stamp = one(|statement| {
        let Statement::TimeStamp(s) = statement else { return None };
        Some(s)
    });
    let at = asked.made.at;
    let id = AgreementId::of(&Bytes([1; 32]));
    let agreement = Agreement::proposed(id, &proposal, Bytes([1; 32]), at, 1);
    let sha256 = Bytes([7; 32]);
    let request = Request::opened(&agreement, &asked, sha256, at);
    stamp.request = RequestRef { id: RequestId::of(&sha256), sha256 };
    let mut states = States::default();
    states.put_request(request.id.clone(), request);
    (states, stamp)
}

/// Whole seconds, as our own authority writes them.
fn at() -> Timestamp {
    "2026-03-02T09:00:01.000Z".parse().unwrap()
}

fn second_later() -> Timestamp {
    "2026-03-02T09:00:02.000Z".parse().unwrap()
}

#[test]
fn a_time_stamp_counts_under_the_pinned_ca_over_this_request_at_its_own_time() {
    let (office, other) = (World::new(), World::new());
    let of = |office: &World, sha256: [u8; 32]| {
        let query = timestamp::request(&Imprint::sha256(&Bytes(sha256)), Some(&[9; 8]), true);
        office.answer_at(&query, at())
    };
    let good = of(&office, [7; 32]);
    let mut bent = good.clone();
    *bent.last_mut().unwrap() ^= 1;
    let none = office.answer_at(b"no request", at());
    let rows: [(&str, Vec<u8>, Timestamp, &str); 9] = [
        ("it is as it should be", good.clone(), at(), ""),
        ("another time is stated", good.clone(), second_later(), "stated to be of"),
        ("of another request", of(&office, [8; 32]), at(), "another document"),
        ("of another authority", of(&other, [7; 32]), at(), "not certified by a CA that is pinned"),
        ("a bit is bent", bent, at(), "does not verify"),
        ("cut off", good[..good.len() - 1].to_vec(), at(), "neither a token nor a response"),
        ("something behind it", [good.as_slice(), &[0]].concat(), at(), "neither a token nor"),
        ("a response without a token", none, at(), "gave no token"),
        ("garbage, as much as there may be", vec![0x30; 32 * 1024], at(), "neither a token nor"),
    ];
    for (why, token, at, says) in rows {
        let (states, mut stamp) = asked(&office.ca.der);
        (stamp.at, stamp.token) = (at, Der::new(token).unwrap());
        let checked = check(&states, &stated(stamp));
        let said = checked.map_err(|fault| crate::domain::chain::chain(&fault));
        match says {
            "" => assert_eq!(said, Ok(()), "{why}"),
            says => {
                assert!(said.as_ref().is_err_and(|said| said.contains(says)), "{why}: {said:?}")
            }
        }
    }
    let (states, mut stamp) = asked(&other.ca.der);
    (stamp.at, stamp.token) = (at(), Der::new(good.clone()).unwrap());
    let under_another = check(&states, &stated(stamp.clone()));
    assert!(matches!(under_another, Err(Unproven::Stamp(StampRefused::Untrusted))));
    // Whoever has no such request knows nothing of its terms.
    let unknown = check(&States::default(), &stated(stamp.clone()));
    assert!(matches!(unknown, Err(Unproven::Unknown)));
    let (mut states, _) = asked(&office.ca.der);
    let request = states.request_mut(&stamp.request.id).unwrap();
    Arc::make_mut(&mut request.terms).time_stamps = None;
    assert!(matches!(check(&states, &stated(stamp)), Err(Unproven::Unknown)));
}

#[test]
fn a_token_is_bounded_and_the_terms_pin_a_ca_that_vouches_for_something() {
    assert!(
        Der::<{ crate::domain::statement::REQUEST_TOKEN_BYTES_MAX }>::new(vec![0; 32_769])
            .is_none()
    );
    for (ca, expected) in [
        (root(ca_params("root")).der, None),
        (root(params("server", 2020..2040)).der, Some(NoCa::MayNot)),
        (b"no certificate".to_vec(), Some(NoCa::NoCertificate)),
    ] {
        let mut proposal = proposal();
        proposal.terms.fingerprints.clear();
        proposal.terms.time_stamps = Some(pinned(&ca));
        match check(&States::default(), &stated(proposal)) {
            Ok(()) => assert_eq!(expected, None),
            Err(Unproven::Authority(why)) => assert_eq!(Some(why), expected),
            Err(other) => panic!("{other}"),
        }
    }
}
