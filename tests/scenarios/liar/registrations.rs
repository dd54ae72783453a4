//! What a vault can do to an organisation's registrations: it has its own keys and the operator's.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use escrow_vault::crypto::signature::SigningKey;
use escrow_vault::crypto::statement;
use escrow_vault::domain::event::{Act, Look, Note, SignedText};
use escrow_vault::domain::id::Bytes;
use escrow_vault::domain::statement::{Made, Registration};
use escrow_vault::domain::stream::Stream;
use escrow_vault::domain::time::Timestamp;
use rand_core::OsRng;

use super::histories::{Row, organisation, path};
use super::history::statements;
use super::replies::status;
use super::{History, Liar, Lie, reword};
use crate::scenarios::World;

const REGISTRATION: &str = "escrow-vault/registration/v1";

/// Hanbit Parts has registered three pages, and minji's home has seen them. Jun is a colleague who
/// has seen nothing yet.
struct Stage {
    world: World,
    liar: Liar,
    registrations: Stream,
    file: String,
}

impl Stage {
    fn set() -> Self {
        let world = World::new();
        world.join("hanbit-parts", "minji");
        world.join("orient-display", "junho");
        world.join_colleague("hanbit-parts", "jun");
        for page in ["page-1", "page-2", "page-3"] {
            world.register("hanbit-parts", page, page);
        }
        world.register("orient-display", "theirs", "theirs");
        let liar = Liar::beside(&world);
        let registrations = "org_hanbit-parts/registrations".parse().unwrap();
        let file = world.file("page-4", "page-4");
        Self { world, liar, registrations, file }
    }

    fn truth(&self) -> History {
        History::seen_by(&self.world, "hanbit-parts")
    }

    /// Somebody registers while this is shown; why nothing was believed, and nothing signed.
    #[track_caller]
    fn unbelieved(&self, home: &str, what: &str, history: History) -> String {
        self.liar.show(Some(history));
        self.liar.copy(&self.world, home, "copy");
        let ended = self.world.escrow("copy", &["register", &self.file, "--yes"]);
        assert_eq!((ended.code, self.liar.heard()), (1, vec![]), "{what}: {:?}", ended.out);
        assert_eq!(ended.refusal(), "UNTRUE", "{what}: {}", ended.err);
        ended.error()["message"].as_str().unwrap().to_owned()
    }
}

/// What a vault can do to a history.
type Rewriting = fn(&Stage, &mut History);

/// A registration in minji's name, signed by whoever.
fn registration(history: &History, key: &SigningKey) -> SignedText {
    let (by, log) = (path("hanbit-parts/minji"), history.log().clone());
    let made = Made { by, at: SystemTime::now().into(), nonce: Bytes([9; 16]), log };
    let sha256 = Bytes([8; 32]);
    let stated = Registration { made, label: "invented".parse().unwrap(), size: 1, sha256 };
    statement::sign(key, &stated.into()).unwrap()
}

#[test]
fn promise_9_registrations_cut_short_or_rewritten_are_refused() {
    let stage = Stage::set();
    let rows: &[Row<Rewriting>] = &[
        (
            "there are fewer than there were",
            |s, h| drop(h.entries(&s.registrations).pop()),
            "are remembered",
        ),
        ("there are none", |s, h| h.entries(&s.registrations).clear(), "are remembered"),
        ("one that was seen is left out", |s, h| h.hide(&s.registrations, 1), "of which"),
        (
            "one that was seen has been another one",
            |s, h| h.entries(&s.registrations)[2].salt.0[0] ^= 1,
            "as its last, but",
        ),
    ];
    for (what, lie, reason) in rows {
        let mut history = stage.truth();
        lie(&stage, &mut history);
        let why = stage.unbelieved("hanbit-parts", what, history);
        assert!(why.contains(reason), "{what}: {why}");
    }
    // Who has not seen them yet is shown what no honest vault would have accepted.
    let rows: &[Row<Rewriting>] = &[
        (
            "another document was registered",
            |s, h| h.forge(&s.registrations, 1, |event| reword(event, "page-2", "page-9")),
            "bad signature",
        ),
        (
            "one was registered before the one before it",
            |s, h| h.forge(&s.registrations, 1, |event| event.at = Timestamp::EPOCH),
            "goes back in time",
        ),
        (
            "all were registered long before whoever did had joined",
            |s, h| {
                for place in 0..3 {
                    h.forge(&s.registrations, place, |event| event.at = Timestamp::EPOCH);
                }
            },
            "breaks the rules: the statement is dated",
        ),
        (
            "one is numbered twice",
            |s, h| {
                let again = h.entries(&s.registrations)[1].clone();
                h.entries(&s.registrations).insert(1, again);
            },
            "is out of order",
        ),
        (
            "minji registers, with a key of the vault's",
            |s, h| {
                let invented = registration(h, &SigningKey::generate(&mut OsRng));
                h.state(&s.registrations, invented);
            },
            "is not signed by the key of hanbit-parts/minji",
        ),
        (
            "what another organisation has registered is shown here",
            |s, h| {
                let theirs = Stream::OrganisationRegistrations("orient-display".parse().unwrap());
                let mut seen = History::seen_by(&s.world, "orient-display");
                let theirs = statements(seen.entries(&theirs)).next().unwrap();
                h.state(&s.registrations, theirs);
            },
            "a statement of another stream",
        ),
        (
            "who registered is withheld",
            |_, h| h.entries(&organisation("hanbit-parts")).truncate(1),
            "breaks the rules",
        ),
    ];
    for (what, lie, reason) in rows {
        let mut history = stage.truth();
        lie(&stage, &mut history);
        let home = if what.contains("withheld") { stage.newcomer() } else { "jun" };
        let why = stage.unbelieved(home, what, history);
        assert!(why.contains(reason), "{what}: {why}");
    }
}

impl Stage {
    /// A copy of jun's home that has not even seen its own organisation.
    fn newcomer(&self) -> &'static str {
        let newcomer = self.liar.copy(&self.world, "jun", "newcomer");
        fs::remove_dir_all(newcomer.dir().join("streams")).unwrap();
        fs::create_dir(newcomer.dir().join("streams")).unwrap();
        "newcomer"
    }

    /// Somebody registers while this is shown, which cannot be told from the truth.
    #[track_caller]
    fn believed(&self, home: &str, history: History) {
        self.liar.show(Some(history));
        self.liar.copy(&self.world, home, "copy");
        self.world.escrow("copy", &["register", &self.file, "--yes"]).record();
        assert_eq!(self.liar.heard(), [REGISTRATION]);
    }
}

/// A registration rests on nothing but itself, so a vault can withhold some from a colleague who has
/// not seen them. Whoever registered remembers them; and the heads that the vault signs for its two
/// histories prove the lie to whoever is shown both.
#[test]
fn promise_9_who_is_shown_two_histories_of_registrations_knows_it() {
    let stage = Stage::set();
    let mut shown = stage.truth();
    shown.hide(&stage.registrations, 1);
    stage.believed("jun", shown);
    // The same home is shown what the others see.
    stage.liar.show(Some(stage.truth()));
    let ended = stage.world.escrow("copy", &["registrations"]);
    assert_eq!((ended.code, ended.refusal().as_str()), (1, "UNTRUE"), "{}", ended.err);
    // And minji's what jun was shown.
    let mut shown = stage.truth();
    shown.hide(&stage.registrations, 2);
    let by = path("hanbit-parts/jun");
    let look = Act::Noted(Note::Access { by, look: Look::Registrations });
    shown.append(&stage.registrations, look, SystemTime::now().into());
    let why = stage.unbelieved("hanbit-parts", "another third", shown);
    assert!(why.contains("as its last, but"), "{why}");
}

#[test]
fn promise_9_a_registration_that_was_acknowledged_has_to_be_shown() {
    let stage = Stage::set();
    let mut history = stage.truth();
    history.is_forgetful = true;
    stage.liar.show(Some(history));
    stage.liar.copy(&stage.world, "hanbit-parts", "copy");
    let ended = stage.world.escrow("copy", &["register", &stage.file, "--yes"]);
    assert_eq!((ended.code, ended.refusal().as_str()), (1, "UNTRUE"), "{}", ended.err);
    assert!(ended.err.contains("was acknowledged, but is not shown"), "{}", ended.err);
    assert_eq!(stage.liar.heard(), [REGISTRATION]);
    // Nor is it forgotten that it was: not by the next command either.
    let ended = stage.world.escrow("copy", &["registrations"]);
    assert_eq!(ended.refusal(), "UNTRUE", "{}", ended.err);
    stage.liar.show(None);

    // That there are no registrations at all, said to who has seen some.
    let nothing = || status("NOT_FOUND", "not known here");
    let lie = Lie::new("Read of another", move |_| Err(nothing()));
    stage.liar.copy(&stage.world, "hanbit-parts", "copy");
    stage.liar.tell(Some(lie));
    let ended = stage.world.escrow("copy", &["register", &stage.file, "--yes"]);
    assert_eq!((ended.refusal(), stage.liar.heard()), ("UNTRUE".to_owned(), vec![]));
    assert!(ended.err.contains("is not shown any more"), "{}", ended.err);

    // And said to who was just told that the first one is registered.
    stage.world.join("lean-works", "ann");
    let reads = AtomicUsize::new(0);
    let lie =
        Lie::new("Read of another", move |truth| match reads.fetch_add(1, Ordering::SeqCst) {
            // The registrations, of which there are none, and the organisation.
            0 | 1 => Ok(Box::new(truth.into_iter())),
            _ => Err(nothing()),
        });
    stage.liar.copy(&stage.world, "lean-works", "copy");
    stage.liar.tell(Some(lie));
    let ended = stage.world.escrow("copy", &["register", &stage.file, "--yes"]);
    assert_eq!((ended.code, ended.refusal().as_str()), (1, "UNTRUE"), "{}", ended.err);
    assert!(ended.err.contains("was acknowledged, but is not shown"), "{}", ended.err);
    assert_eq!(stage.liar.heard(), [REGISTRATION]);
}
