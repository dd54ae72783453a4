//! What of a moment decides about everything that can still happen. Two moments that are alike in it
//! are one to the search, so it has to hold all of that:
//!
//! * of the vault's records every field that a step reads, as it is stored, what no longer counts
//!   included; but for ids, digests and nonces, which differ from one way to another and are only ever
//!   compared with what names them;
//! * of times which marks of the clock are still before them, for time is read by comparison alone
//!   and at the marks alone (no deadline falls into the moments in which a mark's steps are taken);
//!   and of acts whether they were done before dana's keys were stolen;
//! * of a request that has ended only how, and which promises that kept; and of consents those that
//!   are still good. Nothing brings the others back: time does not run backwards, and whatever is said
//!   of a request that has ended is tried the moment that it does, in whatever way it came to that
//!   ([`Moment::take`]);
//! * of the statement that is held back what it is, whether it is good, and whether it rests on what
//!   was overtaken;
//! * and all that is expected.
//!
//! Fields are named one by one, so that a new one is thought of here.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use super::expected::Expected;
use super::moment::{Moment, marks_to};
use super::steps::Act;
use super::{DANA, STOLEN_AT, promises};
use crate::domain::agreement::Agreement;
use crate::domain::amendment::Amendment;
use crate::domain::id::{MemberName, MemberPath, OrganisationName};
use crate::domain::organisation::Standing;
use crate::domain::request::{Objection, Outcome, Request};
use crate::domain::rules;
use crate::domain::statement::Reason;
use crate::domain::tests::world::path;
use crate::domain::time::Timestamp;

/// Dana.
static LOSER: LazyLock<MemberPath> = LazyLock::new(|| path(DANA));

/// Who did something, and whether before the keys were stolen.
type Done = (MemberPath, bool);

#[derive(Debug, PartialEq, Eq, Hash)]
struct View {
    requests: Vec<Option<RequestView>>,
    version: u32,
    amendment: Option<Vec<Done>>,
    told: BTreeSet<MemberPath>,
    dana: &'static str,
    held: Option<(Act, usize, bool)>,
    has_last: bool,
    expected: Expected,
    wrong: Option<String>,
}

/// Who objected, who said on what basis that it is settled, and who took it back.
type ObjectionView = (Done, BTreeSet<(Done, u8)>, Option<Done>);

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct RequestView {
    terms_version: u32,
    title: String,
    notice: usize,
    expires: usize,
    /// Each with the marks until it is no longer good.
    consents: BTreeSet<(Done, usize)>,
    contributions: BTreeSet<Done>,
    attestations: BTreeSet<Done>,
    sights: BTreeSet<Done>,
    notifications: Vec<Done>,
    objections: Vec<ObjectionView>,
    fetched: u16,
    outcome: &'static str,
    /// Of a request that has ended.
    kept: Option<[bool; 4]>,
}

impl Moment {
    fn view(&self) -> View {
        let request = |case: &Option<_>| Some(self.viewed(self.world.seen(case.as_ref()?)));
        let Agreement {
            version,
            floor,
            revocations,
            id: _,
            terms: _,
            terms_sha256: _,
            proposer: _,
            proposed_at: _,
            release_key: _,
            accepted: _,
            // Nobody ends or resumes it here.
            terminated: _,
            phase: _,
            generation: _,
            resuming: _,
            // None of the rules reads these.
            deposited_at: _,
            latest: _,
            heard_at: _,
            reminded: _,
        } = self.world.states.agreement(&self.agreement).unwrap();
        let held = self.held.as_ref().map(|held| {
            let ground = held.stated.statement.ground().unwrap();
            (held.act, marks_to(self, ground.valid_until), ground.saw.sequence < *floor)
        });
        View {
            requests: self.cases.iter().map(request).collect(),
            version: *version,
            amendment: self.amendment.and_then(|it| self.world.states.amendment(&it)).map(|it| {
                let Amendment { signed, agreement: _, amends_sha256: _, terms: _ } = it;
                signed.values().map(|act| self.done(&act.by, act.at)).collect()
            }),
            told: revocations.keys().cloned().collect(),
            dana: self.standing(),
            held,
            // Which one it was makes no difference: all are refused alike.
            has_last: self.last.is_some(),
            expected: self.expected.clone(),
            wrong: self.wrong.clone(),
        }
    }

    fn done(&self, by: &MemberPath, at: Timestamp) -> Done {
        // Nobody else's keys are ever lost.
        (by.clone(), at < self.at(STOLEN_AT) || *by != *LOSER)
    }

    fn standing(&self) -> &'static str {
        let MemberPath { organisation, name } = &*LOSER;
        match self.member(organisation, name) {
            Standing::Pending => "pending",
            Standing::Active { .. } => "active",
            Standing::Revoked { reason: Reason::Left, .. } => "left",
            Standing::Revoked { reason: Reason::CompromisedSince(_), .. } => "robbed",
        }
    }

    fn member(&self, organisation: &OrganisationName, name: &MemberName) -> &Standing {
        let found = self.world.states.organisation(organisation).unwrap();
        &found.member(name).unwrap().standing
    }

    fn viewed(&self, request: &Request) -> RequestView {
        let Request {
            terms,
            terms_version,
            notice_ends_at,
            expires_at,
            consents,
            contributions,
            attestations,
            sights,
            notifications,
            objections,
            fetched,
            outcome,
            id: _,
            agreement: _,
            deposit: _,
            statement: _,
            statement_sha256: _,
            // Notice and expiry follow from it; none of the requesters is revoked.
            opened_at: _,
            // Nobody says so here.
            acknowledgements: _,
            stamped: _,
        } = request;
        let outcome = match outcome {
            Outcome::Undecided if marks_to(self, *expires_at) == 0 => "expired",
            Outcome::Undecided => "undecided",
            Outcome::Released { .. } => "released",
            Outcome::Retrieved { .. } => "retrieved",
            Outcome::Withdrawn { .. } => "withdrawn",
        };
        let (terms_version, fetched) = (*terms_version, *fetched);
        if outcome != "undecided" {
            let judged = rules::as_judged(&self.world.states, request);
            let kept = Some(promises::kept(self, &judged));
            return RequestView { terms_version, fetched, outcome, kept, ..RequestView::default() };
        }
        let objection = |said: &Objection| {
            let Objection { by, at, settlements, withdrawn, reason: _ } = said;
            let settled = settlements.iter().map(|it| (self.done(&it.by, it.at), it.basis as u8));
            let withdrawn = withdrawn.as_ref().map(|act| self.done(&act.by, act.at));
            (self.done(by, *at), settled.collect(), withdrawn)
        };
        RequestView {
            terms_version,
            title: terms.title.to_string(),
            notice: marks_to(self, *notice_ends_at),
            expires: marks_to(self, *expires_at),
            consents: consents
                .iter()
                .map(|it| (self.done(&it.by, it.at), marks_to(self, request.consent_ends(it))))
                .filter(|(_, good)| *good > 0)
                .collect(),
            contributions: contributions.iter().map(|it| self.done(&it.by, it.at)).collect(),
            attestations: attestations.iter().map(|it| self.done(&it.by, it.at)).collect(),
            sights: sights.iter().map(|it| self.done(&it.by, it.at)).collect(),
            notifications: notifications.iter().map(|it| self.done(&it.by, it.at)).collect(),
            objections: objections.iter().map(objection).collect(),
            fetched,
            outcome,
            kept: None,
        }
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl Hash for Moment {
    fn hash<H: Hasher>(&self, to: &mut H) {
        self.view().hash(to);
    }
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}
