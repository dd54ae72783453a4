//! Histories that a vault forks, cuts short and rewrites, with its own keys and for one reader at a
//! time.

use std::fs;
use std::time::{Duration, SystemTime};

use escrow_vault::client::home::Home;
use escrow_vault::crypto::signature::SigningKey;
use escrow_vault::crypto::statement;
use escrow_vault::domain::event::{Act, Look, Note, SignedText};
use escrow_vault::domain::id::MemberPath;
use escrow_vault::domain::stream::Stream;
use escrow_vault::domain::time::{Span, Timestamp};

use super::history::statements;
use super::{History, Liar, reword};
use crate::scenarios::World;

pub(super) const AGENT: &str = "trade-secret-center";
const CONSENT: &str = "escrow-vault/consent/v1";
const CONTRIBUTION: &str = "escrow-vault/contribution/v1";
const OBJECTION: &str = "escrow-vault/objection/v1";
const REQUEST: &str = "escrow-vault/request/v1";
const WITHDRAWAL: &str = "escrow-vault/withdrawal/v1";

/// What is shown, and for which reason it is not believed.
pub(super) type Row<Lie> = (&'static str, Lie, &'static str);
/// What a vault can do to a history.
type Rewriting = fn(&Stage, &mut History);

/// An agreement in which the agent is asked to approve a request that the depositor has consented
/// to. Everybody's home has seen all of it.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) liar: Liar,
    pub(super) agreement: Stream,
    deposit: String,
    pub(super) request: String,
}

impl Stage {
    pub(super) fn set(rule: &str) -> Self {
        let (world, agreement) = World::with_agreement();
        let invitation = world.invite("hanbit-parts", &["--member", "jun"]);
        world.escrow_with("jun", &["join", "--yes"], invitation.as_bytes()).record();
        let deposit = world.deposit(&agreement, "recipe");
        let request = world.request(&deposit, rule);
        world.approve("hanbit-parts", &request);
        let liar = Liar::beside(&world);
        let stage = Self { world, liar, agreement: agreement.parse().unwrap(), deposit, request };
        stage.all_look();
        stage
    }

    fn all_look(&self) {
        for home in ["hanbit-parts", "orient-display", AGENT] {
            self.world.escrow(home, &["requests"]).records();
        }
    }

    /// What the agent has seen, to be lied about.
    pub(super) fn truth(&self) -> History {
        History::seen_by(&self.world, AGENT)
    }

    /// The agent approves while this is shown; what it said if it believed nothing and signed
    /// nothing.
    #[track_caller]
    pub(super) fn unbelieved(&self, what: &str, history: History) -> String {
        self.unbelieved_by(AGENT, what, history, &["approve", &self.request, "--yes"])
    }

    #[track_caller]
    pub(super) fn unbelieved_by(
        &self,
        home: &str,
        what: &str,
        history: History,
        words: &[&str],
    ) -> String {
        self.liar.show(Some(history));
        self.liar.copy(&self.world, home, "copy");
        let ended = self.world.escrow("copy", words);
        assert_eq!((ended.code, self.liar.heard()), (1, vec![]), "{what}: {:?}", ended.out);
        assert_eq!(ended.refusal(), "UNTRUE", "{what}: {}", ended.err);
        ended.error()["message"].as_str().unwrap().to_owned()
    }

    /// The same while this is shown, which cannot be told from the truth; what was signed.
    #[track_caller]
    fn believed(&self, what: &str, history: History) -> Vec<&'static str> {
        self.liar.show(Some(history));
        self.liar.copy(&self.world, AGENT, "copy");
        let ended = self.world.escrow("copy", &["approve", &self.request, "--yes"]);
        assert_eq!(ended.code, 0, "{what}: {}", ended.err);
        self.liar.heard()
    }

    /// A copy of the agent's home that has seen nothing yet.
    pub(super) fn newcomer(&self) -> Home {
        let newcomer = self.liar.copy(&self.world, AGENT, "newcomer");
        fs::remove_dir_all(newcomer.dir().join("streams")).unwrap();
        fs::create_dir(newcomer.dir().join("streams")).unwrap();
        newcomer
    }

    pub(super) fn key(&self, home: &str) -> SigningKey {
        Home::open(&self.world.home(home)).unwrap().keys().unwrap().statement
    }
}

pub(super) fn path(text: &str) -> MemberPath {
    text.parse().unwrap()
}

pub(super) fn organisation(name: &str) -> Stream {
    Stream::Organisation(name.parse().unwrap())
}

#[test]
fn promise_9_histories_cut_short_or_rewritten_are_refused() {
    let stage = Stage::set("contested");
    let object = ["object", &stage.request, "--reason", "not due", "--yes"];
    stage.world.escrow("hanbit-parts", &object).record();
    let take_back = ["withdraw", &stage.request, "--objection", "--yes"];
    stage.world.escrow("hanbit-parts", &take_back).record();
    stage.world.escrow("hanbit-parts", &object).record();
    stage.world.escrow("hanbit-parts", &["confirm", "hanbit-parts/jun", "--yes"]).record();
    stage.world.escrow("hanbit-parts", &["revoke", "hanbit-parts/jun", "--left", "--yes"]).record();
    let an_hour_ago = Timestamp::from(SystemTime::now() - Duration::from_secs(3600));
    let an_hour_ago = an_hour_ago.to_string();
    let stolen = ["revoke", "hanbit-parts/jun", "--compromised-since", &an_hour_ago, "--yes"];
    stage.world.escrow("hanbit-parts", &stolen).record();
    // Everything after it rests on it.
    stage.world.deposit(&stage.agreement.to_string(), "another");
    stage.all_look();
    let rows: &[Row<Rewriting>] = &[
        ("it is shorter than it was", |s, h| drop(h.entries(&s.agreement).pop()), "are remembered"),
        (
            "an event that was seen has been another one",
            |s, h| {
                let last = h.entries(&s.agreement).len() - 1;
                h.entries(&s.agreement)[last].salt.0[0] ^= 1;
            },
            "as its last, but",
        ),
        ("an event that was seen is left out", |s, h| h.hide(&s.agreement, 4), "of which"),
    ];
    for (what, lie, reason) in rows {
        let mut history = stage.truth();
        lie(&stage, &mut history);
        let why = stage.unbelieved(what, history);
        assert!(why.contains(reason), "{what}: {why}");
    }
    // Who has not seen it yet is shown what came after it.
    let rows: &[Row<Rewriting>] = &[
        (
            "an objection is hidden",
            |s, h| {
                let place = h.place(&s.agreement, OBJECTION);
                h.hide(&s.agreement, place);
            },
            "breaks the rules",
        ),
        (
            "the withdrawal of an objection is shown to have come first",
            |s, h| {
                let place = h.place(&s.agreement, WITHDRAWAL);
                h.entries(&s.agreement).swap(place, place - 1);
                h.link(&s.agreement, place - 1);
            },
            "goes back in time",
        ),
        (
            "that keys were stolen is hidden where it was stated",
            |_, h| drop(h.entries(&organisation("hanbit-parts")).pop()),
            "the digest of the revocation does not match",
        ),
        (
            "that their member had left before, too",
            |_, h| {
                let entries = h.entries(&organisation("hanbit-parts"));
                entries.truncate(entries.len() - 2);
            },
            "the digest of the revocation does not match",
        ),
        (
            "both are hidden where they were told as well",
            |s, h| {
                let entries = h.entries(&organisation("hanbit-parts"));
                entries.truncate(entries.len() - 2);
                for _ in 0..2 {
                    let place = h.place(&s.agreement, "escrow-vault/revocation-notice/v1");
                    h.hide(&s.agreement, place);
                }
            },
            "is not this vault's",
        ),
        (
            "the request is for another point",
            |s, h| {
                let place = h.place(&s.agreement, REQUEST);
                h.forge(&s.agreement, place, |event| {
                    reword(event, "\"point\":\"", "\"point\":\"0")
                });
            },
            "bad signature",
        ),
        (
            "the request is somebody else's",
            |s, h| {
                let place = h.place(&s.agreement, REQUEST);
                h.forge(&s.agreement, place, |event| {
                    reword(event, "orient-display/junho", "hanbit-parts/minji");
                });
            },
            "bad signature",
        ),
        (
            "the request is dated to before it was signed",
            |s, h| {
                let place = h.place(&s.agreement, REQUEST);
                h.forge(&s.agreement, place, |event| event.at = Timestamp::EPOCH);
            },
            "goes back in time",
        ),
        (
            "what came after the request is dated to when its notice has run",
            |s, h| {
                let place = h.place(&s.agreement, REQUEST) + 1;
                h.forge(&s.agreement, place, |event| event.at = event.at.after(Span::days(11)));
                for place in place + 1..h.entries(&s.agreement).len() {
                    h.forge(&s.agreement, place, |event| event.at = event.at.after(Span::days(11)));
                }
            },
            "the statement was good until",
        ),
    ];
    stage.newcomer();
    for (what, lie, reason) in rows {
        let mut history = stage.truth();
        lie(&stage, &mut history);
        let asked = ["approve", &stage.request, "--yes"];
        let why = stage.unbelieved_by("newcomer", what, history, &asked);
        assert!(why.contains(reason), "{what}: {why}");
    }
}

#[test]
fn promise_13_no_share_is_spent_before_the_whole_rule_is_shown() {
    let stage = Stage::set("joint");
    stage.newcomer();
    let mut history = stage.truth();
    let place = history.place(&stage.agreement, CONSENT);
    history.entries(&stage.agreement).truncate(place);
    stage.liar.show(Some(history));
    stage.liar.copy(&stage.world, "newcomer", "copy");
    let approve = ["approve", &stage.request, "--yes"];
    let approved = stage.world.escrow("copy", &approve).record();
    assert_eq!(
        (&approved["request"]["state"], stage.liar.heard()),
        (&"open".into(), vec![CONSENT])
    );
    // Whatever the vault says afterwards, only a consent of the depositor's will do.
    let again = stage.world.escrow("copy", &approve);
    assert_eq!((again.code, stage.liar.heard()), (3, vec![CONSENT]), "{}", again.err);
}

/// What a vault can hide from somebody who has not seen it, by showing nothing that came later.
/// Nobody can tell that from the truth while it lasts. But the first statement that crosses over
/// rests on the history that was shown to its signer, and so does that signer's memory: whoever is
/// shown both, or the other one, knows that the vault has lied, and can prove it by its heads.
#[test]
fn promise_9_a_fork_is_found_out_by_the_first_statement_that_crosses_it() {
    let both = vec![CONSENT, CONTRIBUTION];
    let rows: [Row<fn(&Stage)>; 3] = [
        (
            "an objection is withheld",
            |s| {
                let object = ["object", &s.request, "--reason", "not due", "--yes"];
                s.world.escrow("hanbit-parts", &object).record();
            },
            "changed what it is about",
        ),
        (
            "the request's withdrawal is withheld",
            |s| {
                let withdraw = ["withdraw", &s.request, "--yes"];
                s.world.escrow("orient-display", &withdraw).record();
            },
            "changed what it is about",
        ),
        ("an event that means nothing is invented for one reader", |_| {}, "is not this vault's"),
    ];
    let mut stage = Stage::set("contested");
    for (what, hidden, reason) in rows {
        stage.request = stage.world.request(&stage.deposit, "contested");
        stage.world.approve("hanbit-parts", &stage.request);
        stage.all_look();
        let mut shown = stage.truth();
        hidden(&stage);
        if what.contains("invented") {
            let by = path("orient-display/junho");
            let look = Note::Access { by, look: Look::Stream };
            shown.append(&stage.agreement, Act::Noted(look), SystemTime::now().into());
        }
        // By design: see above. The agent's share is spent, though not by its client's fault.
        assert_eq!(stage.believed(what, shown), both, "{what}");
        // The consent is carried over into the history that the depositor knows.
        stage.world.escrow("hanbit-parts", &["requests"]).records();
        let consented = crossing(&stage.liar.shown(), &stage.agreement);
        let mut other = History::seen_by(&stage.world, "hanbit-parts");
        other.state(&stage.agreement, consented);
        let asked = ["show", &stage.request];
        let why = stage.unbelieved_by("hanbit-parts", what, other, &asked);
        assert!(why.contains(reason), "{what}: {why}");
        // And the agent is shown that history, too.
        let other = History::seen_by(&stage.world, "hanbit-parts");
        stage.liar.show(Some(other));
        let ended = stage.world.escrow("copy", &asked);
        assert_eq!(ended.refusal(), "UNTRUE", "{what}: {}", ended.err);
    }
}

/// The last consent in a history.
fn crossing(history: &History, agreement: &Stream) -> SignedText {
    let is_consent =
        |signed: &SignedText| statement::parse(signed).unwrap().statement.tag() == CONSENT;
    statements(&history.streams()[agreement]).rev().find(is_consent).unwrap()
}
