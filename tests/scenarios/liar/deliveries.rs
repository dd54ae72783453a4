//! Deliveries, shares and acknowledgements of something else.

use std::fs;
use std::sync::{Arc, Mutex};

use escrow_vault::wire::v1::retrieve_response::Part;
use escrow_vault::wire::v1::{Contributions, FetchResponse, RetrieveResponse, SubmitResponse};
use prost::Message;

use super::replies::{AGENT, Stage, said};
use super::{History, Lie};

impl Stage {
    /// What a requester is handed, as the vault would tell it.
    fn delivery(&self, request: &str) -> Vec<Vec<u8>> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        let lie = Lie::new("Retrieve", move |truth| {
            *told.lock().unwrap() = truth.clone();
            said(truth)
        });
        let out = self.world.path("out-of-lie").display().to_string();
        drop(fs::remove_dir_all(&out));
        let words = ["retrieve", request, "--out", &out, "--yes"];
        assert_eq!(self.run("orient-display", Some(lie), &words).0, 0);
        heard.lock().unwrap().clone()
    }
}

fn part(part: Part) -> Vec<u8> {
    RetrieveResponse { part: Some(part) }.encode_to_vec()
}

fn contributions(delivery: &[Vec<u8>]) -> Contributions {
    match RetrieveResponse::decode(&delivery[0][..]).unwrap().part {
        Some(Part::Contributions(contributions)) => contributions,
        other => panic!("{other:?}"),
    }
}

#[test]
fn promise_13_a_delivery_of_something_else_is_refused() {
    let stage = Stage::set();
    let other = stage.delivery(&stage.other);
    let out = stage.world.path("out").display().to_string();
    let retrieve = ["retrieve", &stage.released, "--out", &out, "--yes"];
    let theirs = contributions(&other);
    let their_bundle = other[1..].to_vec();
    let rows: Vec<(&str, Lie, &str)> = vec![
        (
            "the bundle of another deposit",
            Lie::new("Retrieve", move |mine| said([&mine[..1], &their_bundle].concat())),
            // Longer or shorter, as its header's grease happens to be.
            "a bundle ",
        ),
        (
            "the contributions to another request",
            Lie::new("Retrieve", move |mine| {
                let told = Contributions {
                    contributions: theirs.contributions.clone(),
                    ..contributions(&mine)
                };
                let first = part(Part::Contributions(told));
                said([vec![first], mine[1..].to_vec()].concat())
            }),
            "a contribution nobody stated",
        ),
        (
            "the whole delivery of another request",
            Lie::new("Retrieve", move |_| said(other.clone())),
            "a contribution nobody stated",
        ),
        (
            "the bundle first",
            Lie::new("Retrieve", |mut mine| {
                mine.reverse();
                said(mine)
            }),
            "a delivery without contributions",
        ),
        (
            "the contributions again behind it",
            Lie::new("Retrieve", |mine| said([&mine[..], &mine[..1]].concat())),
            "something else than a bundle",
        ),
        (
            "only its beginning",
            Lie::new("Retrieve", |mine| said(mine[..1].to_vec())),
            "a bundle that is not the one deposited",
        ),
        ("nothing", Lie::new("Retrieve", |_| said(vec![])), "a delivery without contributions"),
        (
            "the bundle without end",
            Lie::new("Retrieve", |mine| {
                let chunk = mine[1].clone();
                Ok(Box::new(mine.into_iter().chain(std::iter::repeat(chunk))))
            }),
            "a bundle larger than was deposited",
        ),
        (
            "empty pieces without end",
            Lie::new("Retrieve", |mine| {
                let nothing = part(Part::Chunk(Vec::new().into()));
                Ok(Box::new(mine.into_iter().take(1).chain(std::iter::repeat(nothing))))
            }),
            "something else than a bundle",
        ),
    ];
    for (what, lie, reason) in rows {
        let (code, error, message) = stage.run("orient-display", Some(lie), &retrieve);
        assert_eq!((code, error.as_str()), (1, "UNTRUE"), "{what}: {message}");
        assert!(message.contains(reason), "{what}: {message}");
        assert!(!stage.world.path("out").exists(), "{what}: nothing half is left");
    }
    // Contributions that are handed out before the release are not even asked for.
    let retrieve = ["retrieve", &stage.unfinished, "--out", &out, "--yes"];
    let lie = Lie::new("Retrieve", said);
    let (code, error, message) = stage.run("orient-display", Some(lie), &retrieve);
    assert_eq!((code, error.as_str()), (3, "NOT_YET"), "{message}");
    assert_eq!(stage.liar.heard(), [""; 0]);
}

#[test]
fn promise_13_another_share_is_not_taken_for_ones_own() {
    let stage = Stage::set();
    let deposits = stage.world.escrow("orient-display", &["deposits", &stage.agreement]).records();
    let deposit = crate::scenarios::id(&deposits[0]);
    let request = ["request", &deposit, "--rule", "joint", "--purpose", "an audit", "--yes"];
    let own = stage.run("orient-display", None, &request);
    assert_eq!(own.0, 0, "{own:?}");
    let kept = |home: &str, agreement: &str| {
        let file = stage.world.home(home).join("shares").join(format!("{agreement}.age"));
        fs::read(file).unwrap()
    };
    for (what, share) in [
        ("another holder's", kept(AGENT, &stage.agreement)),
        ("of another agreement", kept("orient-display", &stage.other_agreement)),
    ] {
        let lie = Lie::new("Fetch", move |_| {
            said(vec![FetchResponse { sealed_share: share.clone().into() }.encode_to_vec()])
        });
        let (code, error, message) = stage.run("orient-display", Some(lie), &request);
        assert_eq!((code, error.as_str()), (1, "UNTRUE"), "{what}: {message}");
        assert!(message.contains("another sealed share"), "{what}: {message}");
        assert_eq!(stage.liar.heard(), [""; 0], "{what}");
    }
}

#[test]
fn promise_13_what_is_acknowledged_has_to_be_shown() {
    let stage = Stage::set();
    let mut history = History::seen_by(&stage.world, AGENT);
    history.is_forgetful = true;
    stage.liar.show(Some(history));
    let end = ["agreement", "terminate", &stage.agreement, "--yes"];
    let (code, error, message) = stage.run(AGENT, None, &end);
    assert_eq!((code, error.as_str()), (1, "UNTRUE"), "{message}");
    assert!(message.contains("was acknowledged, but is not shown"), "{message}");
    assert_eq!(stage.liar.heard(), ["escrow-vault/termination/v1"]);
    // Found out as well by a later command, where the one that signed had no more to read.
    let invite = ["invite", "--member", "yuna", "--yes"];
    let (code, _, message) = stage.run(AGENT, None, &invite);
    assert_eq!(code, 0, "{message}");
    let ended = stage.world.escrow("copy", &["members"]);
    assert_eq!(ended.refusal(), "UNTRUE");
    assert!(ended.err.contains("was acknowledged, but is not shown"), "{}", ended.err);
    stage.liar.show(None);
    // An acknowledgement of what another member stated, or of the same at another time.
    let past = Mutex::new(None::<SubmitResponse>);
    let lie = Lie::new("Submit", move |truth| {
        let told = SubmitResponse::decode(&truth[0][..]).unwrap();
        let before = past.lock().unwrap().get_or_insert(told).clone();
        said(vec![before.encode_to_vec()])
    });
    stage.run(AGENT, Some(lie.clone()), &["invite", "--member", "bora", "--yes"]);
    let again = stage.run(AGENT, Some(lie), &["invite", "--member", "bora", "--yes"]);
    assert_eq!((again.0, again.1.as_str()), (1, "UNTRUE"), "{}", again.2);
    assert!(again.2.contains("an acknowledgement of something else"), "{}", again.2);
}
