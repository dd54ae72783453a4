//! How a request changes by what was accepted.

use std::sync::Arc;

use crate::domain::agreement::Agreement;
use crate::domain::id::{Digest, MemberPath, RequestId};
use crate::domain::request::{
    Acknowledgement, Act, Attestation, Notified, Objection, Outcome, Request, Settled, Sight,
    Spent, Stamped,
};
use crate::domain::statement::{self, Withdrawn};
use crate::domain::time::Timestamp;

impl Request {
    /// A request was opened under an agreement whose terms were checked to have its rule.
    pub fn opened(
        agreement: &Agreement,
        statement: &statement::Request,
        sha256: Digest,
        at: Timestamp,
    ) -> Self {
        let rule = agreement.terms.rule(&statement.rule);
        Self {
            id: RequestId::of(&sha256),
            agreement: agreement.id.clone(),
            terms: Arc::clone(&agreement.terms),
            terms_version: agreement.version,
            deposit: statement.deposit.clone(),
            statement: statement.clone(),
            statement_sha256: sha256,
            opened_at: at,
            notice_ends_at: rule
                .map_or(Timestamp::MAX, |rule| agreement.terms.notice_ends(rule, at)),
            expires_at: rule.map_or(at, |rule| at.after(rule.expires)),
            consents: Vec::new(),
            contributions: Vec::new(),
            attestations: Vec::new(),
            sights: Vec::new(),
            notifications: Vec::new(),
            objections: Vec::new(),
            acknowledgements: Vec::new(),
            stamped: None,
            fetched: 0,
            outcome: Outcome::Undecided,
        }
    }

    /// A consent was counted. One that was given before is no longer good, and this is in its place.
    pub fn consented(&mut self, by: &MemberPath, at: Timestamp) {
        self.consents.retain(|consent| consent.by != *by);
        self.consents.push(Act { by: by.clone(), at });
    }

    /// A share was spent.
    pub fn contributed(&mut self, contribution: &statement::Contribution, at: Timestamp) {
        let by = contribution.made.by.clone();
        let contribution_sha256 = contribution.contribution_sha256;
        self.contributions.push(Spent { by, at, contribution_sha256 });
    }

    /// The last share needed was spent.
    pub fn released(&mut self, at: Timestamp) {
        self.outcome = Outcome::Released { at };
    }

    /// Somebody who may object has seen it.
    pub fn seen(&mut self, seen: &statement::Seen, at: Timestamp) {
        self.sights.push(Sight { by: seen.made.by.clone(), at, seen_at: seen.made.at });
    }

    /// Those who may object were notified.
    pub fn notified(&mut self, notification: &statement::Notification, at: Timestamp) {
        let (by, evidence) = (notification.made.by.clone(), notification.evidence.clone());
        self.notifications.push(Notified { by, at, evidence });
    }

    /// An objection stands.
    pub fn objected(&mut self, objection: &statement::Objection, at: Timestamp) {
        let (by, reason) = (objection.made.by.clone(), objection.reason.clone());
        let (settlements, withdrawn) = (Vec::new(), None);
        self.objections.push(Objection { by, at, reason, settlements, withdrawn });
    }

    /// Somebody has attested what its rule asks for.
    pub fn attested(&mut self, attestation: &statement::Attestation, at: Timestamp) {
        let (by, evidence) = (attestation.made.by.clone(), attestation.evidence.clone());
        self.attestations.push(Attestation { by, at, evidence });
    }

    /// Somebody said that the objections in `standing`, which are those that stood until now, are
    /// settled.
    pub fn settled<'a>(
        &mut self,
        settlement: &statement::Settlement,
        at: Timestamp,
        standing: impl Iterator<Item = &'a Objection>,
    ) {
        let standing: Vec<_> = standing.map(|objection| (&objection.by, objection.at)).collect();
        for objection in &mut self.objections {
            if standing.contains(&(&objection.by, objection.at)) {
                let (by, basis) = (settlement.made.by.clone(), settlement.basis);
                let evidence = settlement.evidence.clone();
                objection.settlements.push(Settled { by, at, basis, evidence });
            }
        }
    }

    /// Something was taken back. `standing` are the objections that stood until now.
    pub fn withdrawn<'a>(
        &mut self,
        withdrawal: &statement::Withdrawal,
        at: Timestamp,
        standing: impl Iterator<Item = &'a Objection>,
    ) {
        let by = &withdrawal.made.by;
        match withdrawal.withdrawn {
            Withdrawn::Request => self.outcome = Outcome::Withdrawn { at },
            Withdrawn::Objection => {
                let own = standing.filter(|o| o.by.organisation == by.organisation);
                let own: Vec<_> = own.map(|objection| (&objection.by, objection.at)).collect();
                for objection in &mut self.objections {
                    if own.contains(&(&objection.by, objection.at)) {
                        objection.withdrawn = Some(Act { by: by.clone(), at });
                    }
                }
            }
        }
    }

    /// Delivery was taken.
    pub fn retrieved(&mut self, now: Timestamp) {
        // Counted where the rule bounds it.
        if self.access().is_some() {
            self.fetched = self.fetched.saturating_add(1);
        }
        match self.outcome {
            Outcome::Released { at: released_at } | Outcome::Retrieved { released_at, .. } => {
                self.outcome = Outcome::Retrieved { released_at, at: now };
            }
            Outcome::Undecided | Outcome::Withdrawn { .. } => {}
        }
    }

    /// Somebody said what became of the bundle.
    pub fn acknowledged(&mut self, stated: &statement::Acknowledgement, at: Timestamp) {
        let (by, what) = (stated.made.by.clone(), stated.what);
        self.acknowledgements.push(Acknowledgement { by, at, what });
    }

    /// The authority that the terms pin has said when it was there.
    pub fn time_stamped(&mut self, stamp: &statement::TimeStamp, at: Timestamp) {
        let (by, stamped_at) = (stamp.made.by.clone(), stamp.at);
        self.stamped = Some(Stamped { by, at, stamped_at });
    }
}
