//! Amendments: new terms for an agreement, in force once as many parties as the old terms ask for have
//! countersigned.
//!
//! What an amendment never touches: the parties and their keys, who holds shares and how many open
//! a bundle, for these are what the release key was dealt for; and requests, which are judged by
//! the terms they named (promise 5). An amendment amends one version. Once that is no longer in
//! force it is of no use, so that two amendments never come together to terms that nobody signed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::agreement::Agreement;
use crate::domain::id::{AgreementId, Digest, MemberPath, OrganisationName, Role};
use crate::domain::needs::{Alternative, Needs};
use crate::domain::refusal::Refusal;
use crate::domain::request::Act;
use crate::domain::soundness;
use crate::domain::statement;
use crate::domain::terms::{Format, Terms};
use crate::domain::time::Timestamp;

/// An amendment that was proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amendment {
    /// Of which agreement.
    pub agreement: AgreementId,
    /// Digest of the terms that it amends.
    pub amends_sha256: Digest,
    /// The terms as they are to be.
    pub terms: Arc<Terms>,
    /// Who has signed it for its organisation, whoever proposed it first.
    pub signed: BTreeMap<OrganisationName, Act>,
}

impl Amendment {
    /// An amendment was proposed, and thereby signed by who did.
    pub fn proposed(statement: &statement::Amendment, at: Timestamp) -> Self {
        let mut proposed = Self {
            agreement: statement.ground.agreement.clone(),
            amends_sha256: statement.amends_sha256,
            terms: Arc::new(statement.terms.clone()),
            signed: BTreeMap::new(),
        };
        proposed.signed_by(&statement.made.by, at);
        proposed
    }

    /// It was countersigned.
    pub fn signed_by(&mut self, by: &MemberPath, at: Timestamp) {
        self.signed.insert(by.organisation.clone(), Act { by: by.clone(), at });
    }

    /// The same without the signatures that do not count.
    pub(super) fn judged(&self, counts: impl Fn(&MemberPath, Timestamp) -> bool) -> Self {
        let mut judged = self.clone();
        judged.signed.retain(|_, act| counts(&act.by, act.at));
        judged
    }

    /// How many more organisations of which roles have to sign, on the shortest way; `None` where
    /// that cannot be judged. In `amend` seats are those of organisations, not of people.
    pub fn missing(&self, agreement: &Agreement) -> Option<Alternative> {
        let mut seated: BTreeMap<Role, u16> = BTreeMap::new();
        for role in self.signed.keys().filter_map(|who| agreement.terms.role_of(who)) {
            let seats = seated.entry(role.clone()).or_default();
            *seats = seats.saturating_add(1);
        }
        agreement.terms.amend.as_ref()?.missing(&seated).ok()
    }

    /// Whether it comes into force: it amends what is in force, and enough have signed.
    pub fn is_complete(&self, agreement: &Agreement) -> bool {
        self.amends_sha256 == agreement.terms_sha256
            && self.missing(agreement).is_some_and(|open| open.is_empty())
    }
}

/// May this organisation sign amendments at all?
fn may_sign(agreement: &Agreement, own: &OrganisationName) -> Result<(), Refusal> {
    agreement.in_force()?;
    let amend = agreement.terms.amend.as_ref().ok_or(Refusal::NotAmendable)?;
    let role = agreement.terms.role_of(own);
    match role.is_some_and(|role| amend.roles().contains(role)) {
        true => Ok(()),
        false => Err(Refusal::NotAmending(own.clone())),
    }
}

/// May this amendment be proposed?
pub fn decide_amendment(
    agreement: &Agreement,
    amendment: &statement::Amendment,
) -> Result<(), Refusal> {
    may_sign(agreement, &amendment.made.by.organisation)?;
    if amendment.amends_sha256 != agreement.terms_sha256 {
        return Err(Refusal::Mismatch("the digest of the terms to be amended"));
    }
    let (old, new) = (&agreement.terms, &amendment.terms);
    let kept = [
        ("the format", new.format == Format::Second),
        ("the parties", old.parties == new.parties),
        ("the fingerprints", old.fingerprints == new.fingerprints),
        ("the holders", old.holders == new.holders),
        ("the quorum", old.quorum == new.quorum),
    ];
    if let Some((what, _)) = kept.iter().find(|(_, is_kept)| !is_kept) {
        return Err(Refusal::NeverAmended(what));
    }
    soundness::check(new).map_err(Refusal::Unsound)
}

/// May this amendment be countersigned?
pub fn decide_countersignature(
    agreement: &Agreement,
    amendment: &Amendment,
    countersignature: &statement::Countersignature,
) -> Result<(), Refusal> {
    let own = &countersignature.made.by.organisation;
    may_sign(agreement, own)?;
    if amendment.amends_sha256 != agreement.terms_sha256 {
        return Err(Refusal::Mismatch("the digest of the terms to be amended"));
    }
    if amendment.signed.contains_key(own) {
        let who = own.to_string();
        return Err(Refusal::Already { who, what: "signed this amendment" });
    }
    Ok(())
}

impl Agreement {
    /// An amendment of this digest has come into force.
    pub fn amended(&mut self, amendment: &Amendment, sha256: Digest, sequence: u64) {
        self.version += 1;
        self.terms = Arc::clone(&amendment.terms);
        self.terms_sha256 = sha256;
        self.floor = sequence;
    }
}

/// What is wrong with who may amend terms, if something is.
pub(super) fn unsound(terms: &Terms, amend: &Needs) -> Option<&'static str> {
    let ways = amend.alternatives().unwrap_or_default();
    let lacks_parties = |way: &Alternative| {
        way.iter().any(|(role, count)| usize::from(*count) > terms.in_role(role).len())
    };
    let is_of_one =
        |way: &Alternative| way.values().map(|count| u32::from(*count)).sum::<u32>() < 2;
    if ways.iter().any(lacks_parties) {
        return Some("asks for more organisations of a role than there are");
    }
    ways.iter().any(is_of_one).then_some("lets one organisation change what all have signed")
}
