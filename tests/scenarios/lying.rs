//! What a vault might show, and what a client believes of it. The entries are real ones, from the
//! memory of a home; each lie changes them as a vault could that keeps no promise.

use std::collections::BTreeMap;

use escrow_vault::client::chronicle::{Followed, Replay};
use escrow_vault::client::home::Home;
use escrow_vault::crypto::signature::SigningKey;
use escrow_vault::crypto::statement;
use escrow_vault::domain::event::{Act, Event};
use escrow_vault::domain::request::State;
use escrow_vault::domain::states::{States, Vault};
use escrow_vault::domain::stream::Stream;
use escrow_vault::domain::time::{Span, Timestamp};
use escrow_vault::ledger::Entry;
use rand_core::OsRng;

use super::World;
use super::liar::{History, reword};

/// What a home remembers, and what it takes to judge it.
struct Shown {
    home: Home,
    agreement: Stream,
    history: History,
}

impl Shown {
    fn to(world: &World, home: &str, agreement: &str) -> Self {
        let history = History::seen_by(world, home);
        let home = Home::open(&world.home(home)).unwrap();
        Self { home, agreement: agreement.parse().unwrap(), history }
    }

    /// What a client makes of it, or why it believes nothing.
    fn believed(&self) -> Result<States, String> {
        let vault = self.home.vault().unwrap();
        let mut followed = BTreeMap::new();
        for (stream, entries) in self.history.streams() {
            let mut so_far = Followed::default();
            for entry in entries {
                let next = so_far.follow(&vault.log, stream, entry.clone());
                next.map_err(|untrue| untrue.to_string())?;
            }
            followed.insert(stream.clone(), so_far);
        }
        let keys = Vault {
            ledger_key: vault.ledger_key,
            operator_key: vault.operator_key,
            generation: 1,
            began_at: 0,
            handovers: vault.handovers.clone(),
        };
        let mut replayed = Replay::default();
        let believed = replayed.go_on(&keys, &followed);
        believed.map_err(|untrue| untrue.to_string())?;
        Ok(replayed.states().clone())
    }

    fn entries(&mut self) -> &mut Vec<Entry> {
        self.history.entries(&self.agreement)
    }

    fn place(&mut self, tag: &str) -> usize {
        self.history.place(&self.agreement, tag)
    }

    fn forge(&mut self, place: usize, change: impl FnOnce(&mut Event)) {
        self.history.forge(&self.agreement, place, change);
    }
}

/// Signs a statement anew, with a key that nobody ever confirmed.
fn sign_anew(event: &mut Event) {
    let Act::Stated(signed) = &mut event.act else { panic!("nobody stated this") };
    let stated = statement::parse(signed).unwrap();
    *signed = statement::sign(&SigningKey::generate(&mut OsRng), &stated.statement).unwrap();
}

type Lie = fn(&mut Shown);

const CONSENT: &str = "escrow-vault/consent/v1";
const CONTRIBUTION: &str = "escrow-vault/contribution/v1";
const REQUEST: &str = "escrow-vault/request/v1";

#[test]
fn promise_13_what_a_lying_vault_shows_is_not_believed() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let home = "trade-secret-center";
    assert_eq!(world.state(home, &request), "released");
    let lies: [(&str, Lie, &str); 16] = [
        ("an event is left out", |s| drop(s.entries().remove(2)), "is out of order"),
        ("the first event is left out", |s| drop(s.entries().remove(0)), "is out of order"),
        (
            "an event is shown twice",
            |s| {
                let again = s.entries()[3].clone();
                s.entries().insert(3, again);
            },
            "is out of order",
        ),
        ("two events change places", |s| s.entries().swap(3, 4), "is out of order"),
        ("an event gets another number", |s| s.entries()[3].sequence += 1, "is out of order"),
        (
            "an event is renumbered within",
            |s| {
                s.forge(3, |event| event.sequence += 1);
            },
            "is out of order",
        ),
        (
            "a commitment gets another salt",
            |s| {
                s.entries()[3].salt.0[0] ^= 1;
            },
            "does not follow on the one before",
        ),
        (
            "an event is put before its predecessor in the ledger",
            |s| {
                s.entries()[3].position = 0;
            },
            "goes back in the ledger",
        ),
        (
            "an event is dated before its predecessor",
            |s| {
                s.forge(3, |event| event.at = Timestamp::from_millis(0));
            },
            "goes back in time",
        ),
        (
            "an event is decided by rules that are not known yet",
            |s| s.forge(3, |event| event.engine += 1),
            "rules of version 3, which this program does not have",
        ),
        (
            "an event is decided by no rules",
            |s| s.forge(3, |event| event.engine = 0),
            "rules of version 0, which this program does not have",
        ),
        (
            "a request's purpose is reworded",
            |s| {
                let place = s.place(REQUEST);
                s.forge(place, |event| reword(event, "an audit", "a sale"));
            },
            "bad signature",
        ),
        (
            "a consent is signed by an invented key",
            |s| {
                let place = s.place(CONSENT);
                s.forge(place, sign_anew);
            },
            "breaks the rules",
        ),
        (
            "a consent is left out, and the rest is linked anew",
            |s| {
                let place = s.place(CONSENT);
                s.history.hide(&s.agreement, place);
            },
            "breaks the rules",
        ),
        (
            "a member's organisation is withheld",
            |s| s.history.entries(&Stream::Organisation("hanbit-parts".parse().unwrap())).clear(),
            "breaks the rules",
        ),
        (
            "a contribution is dated to when its statement had lapsed",
            |s| {
                let place = s.place(CONTRIBUTION);
                let years = Span::days(4000);
                s.forge(place, |event| event.at = event.at.after(years));
            },
            "breaks the rules",
        ),
    ];
    for (lie, tell, reason) in lies {
        let mut shown = Shown::to(&world, home, &agreement);
        shown.believed().unwrap_or_else(|why| panic!("the truth is not believed: {why}"));
        tell(&mut shown);
        let why = shown.believed().map(drop).expect_err(lie);
        assert!(why.contains(reason), "{lie}: {why}");
    }
}

#[test]
fn promise_13_a_hidden_revocation_is_found_out() {
    let (world, agreement) = World::with_agreement();
    world.join_colleague("hanbit-parts", "jun");
    let revoke = ["revoke", "hanbit-parts/jun", "--left", "--yes"];
    world.escrow("hanbit-parts", &revoke).record();
    world.escrow("trade-secret-center", &["show", &agreement]).record();
    let mut shown = Shown::to(&world, "trade-secret-center", &agreement);
    shown.believed().unwrap();
    let organisation = Stream::Organisation("hanbit-parts".parse().unwrap());
    shown.history.entries(&organisation).pop();
    let why = shown.believed().map(drop).unwrap_err();
    assert!(why.contains("breaks the rules") && why.contains("revocation"), "{why}");
}

#[test]
fn promise_13_a_request_whose_consents_are_withheld_is_not_satisfied() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    world.state("trade-secret-center", &request);
    let mut shown = Shown::to(&world, "trade-secret-center", &agreement);
    let id = request.parse().unwrap();
    let now = Timestamp::from(std::time::SystemTime::now());
    let mut states = Vec::new();
    while shown.entries().len() > 5 {
        let believed = shown.believed().unwrap();
        let last = shown.entries().pop().unwrap();
        let Act::Stated(signed) = statement::event(&last.payload).unwrap().act else { continue };
        let kind = statement::parse(&signed).unwrap().statement.tag();
        states.push((kind, believed.request(&id).unwrap().state(now)));
    }
    // What is shown up to each of them: no share is spent before both have consented.
    let expected = [
        (CONTRIBUTION, State::Released),
        (CONSENT, State::Satisfied),
        (CONSENT, State::Open),
        (REQUEST, State::Open),
    ];
    assert_eq!(states, expected);
}
