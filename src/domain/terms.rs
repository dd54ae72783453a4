//! Terms: what the parties of an agreement sign.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::der::Der;
use crate::domain::id::{Digest, Fingerprint, OrganisationName, Role, RuleName};
use crate::domain::needs::Needs;
use crate::domain::text::Text;
use crate::domain::time::Span;
use crate::domain::url::Url;

/// The terms of an agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// What it is about.
    pub title: Text,
    /// How many shares open a bundle.
    pub quorum: u16,
    /// SHA-256 of the paper contract, if there is one.
    pub contract_sha256: Option<Digest>,
    /// Whether files sealed by other age programs, of unproven origin, are admitted.
    pub stock_age: bool,
    /// Which organisations have which role. An organisation has one.
    pub parties: BTreeMap<Role, Vec<OrganisationName>>,
    /// Every party's organisation key, by fingerprint.
    pub fingerprints: BTreeMap<OrganisationName, Fingerprint>,
    /// The roles whose organisations hold a share each.
    pub holders: Vec<Role>,
    /// The ways to a release.
    pub rules: Vec<Rule>,
    /// Who time-stamps requests; left out where nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_stamps: Option<TimeStamps>,
}

/// An authority that time-stamps requests (RFC 3161), so that their time is nobody's word in the
/// agreement, nor the vault's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeStamps {
    /// Where it answers.
    pub authority: Url,
    /// The CA under which its tokens are believed, whole: whoever has the terms needs nothing else to
    /// verify them.
    pub ca: Der<{ limit::CA_BYTES_MAX }>,
}

/// One way to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What requests call it.
    pub name: RuleName,
    /// The roles whose members may request under it.
    pub requesters: Vec<Role>,
    /// Whose consents it takes.
    pub needs: Needs,
    /// How long a request must have been known before it can be released.
    pub notice: Span,
    /// The roles whose members may object.
    pub objection: Vec<Role>,
    /// How long a request stays open.
    pub expires: Span,
}

/// Bounds on terms.
pub mod limit {
    use crate::domain::time::Span;

    /// Organisations in one agreement.
    pub const PARTIES_MAX: usize = 16;
    /// Rules in one agreement.
    pub const RULES_MAX: usize = 16;
    /// The certificate of a CA, in bytes of DER. Those of RSA with 4096 bits have about 1,400.
    pub const CA_BYTES_MAX: usize = 4 * 1024;
    /// How long a request stays open where the rule does not say.
    pub const EXPIRES_DEFAULT: Span = Span::days(90);
}

impl Terms {
    /// The role this organisation has, if it is a party.
    pub fn role_of(&self, organisation: &OrganisationName) -> Option<&Role> {
        self.parties
            .iter()
            .find(|(_, organisations)| organisations.contains(organisation))
            .map(|(role, _)| role)
    }

    /// Every party, ordered by role and then as the terms list them.
    pub fn organisations(&self) -> impl Iterator<Item = &OrganisationName> {
        self.parties.values().flatten()
    }

    /// The organisations in this role.
    pub fn in_role(&self, role: &Role) -> &[OrganisationName] {
        self.parties.get(role).map_or(&[], Vec::as_slice)
    }

    /// The depositor.
    pub fn depositor(&self) -> Option<&OrganisationName> {
        self.in_role(&Role::depositor()).first()
    }

    /// The holders in the order of their identifiers, which count from 1.
    pub fn holder_organisations(&self) -> Vec<OrganisationName> {
        let roles: BTreeSet<&Role> = self.holders.iter().collect();
        self.parties
            .iter()
            .filter(|(role, _)| roles.contains(role))
            .flat_map(|(_, organisations)| organisations.iter().cloned())
            .collect()
    }

    /// Whether this organisation holds a share.
    pub fn is_holder(&self, organisation: &OrganisationName) -> bool {
        self.role_of(organisation).is_some_and(|role| self.holders.contains(role))
    }

    /// The rule of this name.
    pub fn rule(&self, name: &RuleName) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == *name)
    }

    /// How many contributions release a request by a member of this organisation: the quorum,
    /// less the share it has at home where it is a holder itself.
    pub fn contributions_needed(&self, requester: &OrganisationName) -> usize {
        usize::from(self.quorum).saturating_sub(usize::from(self.is_holder(requester)))
    }
}
