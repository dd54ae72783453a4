//! Terms: what the parties of an agreement sign.
//!
//! # The language
//!
//! A rule says who may ask, whose consents it takes, and what must have been so. It is judged by
//! what was signed and by the time of events, never by what somebody remembers. Whatever a rule
//! asks for beyond consents is one more thing that must be there: nothing in the language makes a
//! release easier than its consents do, so that promises 2 and 3 are decided by `needs` alone.
//!
//! * `trigger`: what must have happened ([`crate::domain::trigger`]).
//! * `needs`: seats joined by `all`, `any` and `at_least` ([`crate::domain::needs`]);
//!   `distinct_organisations` of which those who consent have to come.
//! * `reviewers`: roles that have to have seen a request before any consent to it counts.
//! * `objection`: who may block a request, and `settled_by`: what ends that besides its withdrawal,
//!   which are a joint instruction, an award, and an order, each by whoever the terms name.
//! * `grants`: which deposits may be asked for, and `duty`: what the requester's organisation takes
//!   upon itself with what it gets, within what time of the release.
//! * Four clocks, each of its own: `notice`, how long a request must have been known, in days as
//!   they pass or in working days of the agreement's [`Calendar`]; `vote`, how long a consent stays
//!   good, after which the same member may give it anew; `expires`, when the request lapses;
//!   `access`, for how long after its release, and how often, the bundle may be fetched.
//!
//! The terms as a whole say who may `amend` them, in organisations and not in people, and when their
//! `term` is over: then nothing more is deposited or asked for, until an amendment names a later one.
//!
//! Terms come in formats. What a word means never changes within one. Format 1 is the language as
//! it was first signed, and its terms do not name their format; those of format 2 do, and only they
//! may use the words that came with it. A program that does not have these words refuses the whole:
//! a safeguard that is not understood is a lost one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::calendar::{Calendar, Period};
use crate::domain::der::Der;
use crate::domain::id::{Digest, Fingerprint, Malformed, OrganisationName, Role, RuleName};
use crate::domain::needs::Needs;
use crate::domain::statement::{Basis, DutyKind};
use crate::domain::text::Text;
use crate::domain::time::{Span, Timestamp};
use crate::domain::trigger::Trigger;
use crate::domain::url::Url;
use crate::domain::worded::serde_as_worded;

/// The terms of an agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Which words they may use.
    #[serde(default, skip_serializing_if = "Format::is_first")]
    pub format: Format,
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
    /// How many organisations of which roles may amend the terms; left out where nobody may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amend: Option<Needs>,
    /// When its term is over; left out where that is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<Timestamp>,
    /// Which days are working days; left out where that is nowhere asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Calendar>,
    /// Who time-stamps requests; left out where nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_stamps: Option<TimeStamps>,
}

/// Which words terms may use.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Format {
    /// Those that there were first.
    #[default]
    First,
    /// Those of release rules as real agreements write them.
    Second,
}

impl Format {
    /// The first version of the rules that can judge such terms.
    pub fn engine(self) -> u32 {
        match self {
            Self::First => 1,
            Self::Second => 2,
        }
    }

    fn is_first(&self) -> bool {
        *self == Self::First
    }
}

impl From<Format> for u8 {
    fn from(format: Format) -> Self {
        match format {
            Format::First => 1,
            Format::Second => 2,
        }
    }
}

impl TryFrom<u8> for Format {
    type Error = Malformed;

    fn try_from(number: u8) -> Result<Self, Malformed> {
        match number {
            1 => Ok(Self::First),
            2 => Ok(Self::Second),
            other => Err(Malformed::new(
                &other.to_string(),
                "a format of terms",
                "1 or 2 in this program",
            )),
        }
    }
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
    /// What must have happened; left out where that is nothing but consents.
    #[serde(default, skip_serializing_if = "Trigger::is_joint")]
    pub trigger: Trigger,
    /// Whose consents it takes.
    pub needs: Needs,
    /// Of how many organisations those who consent have to come; two where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct_organisations: Option<u16>,
    /// The roles whose organisations have to have seen a request before consents to it count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<Role>,
    /// How long a request must have been known before it can be released.
    pub notice: Period,
    /// How long a consent stays good; left out where that is as long as the request is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vote: Option<Span>,
    /// The roles whose members may object.
    pub objection: Vec<Role>,
    /// What ends an objection besides its withdrawal; left out where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_by: Option<SettledBy>,
    /// How long a request stays open.
    pub expires: Span,
    /// Which deposits may be asked for; left out where that is every one.
    #[serde(default, skip_serializing_if = "Grants::is_all")]
    pub grants: Grants,
    /// What whoever asks takes upon itself; left out where requests say so, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duty: Option<RuleDuty>,
    /// How the bundle may be fetched once it is released; left out where nothing bounds that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

/// What ends an objection besides its withdrawal: by whom each of these is signed.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table like { award = \"1@arbiter\" }")]
pub struct SettledBy {
    /// A joint instruction, by more than one organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joint: Option<Needs>,
    /// An award, by an arbiter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub award: Option<Needs>,
    /// An order of a court or regulator, attested by somebody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Needs>,
}

impl SettledBy {
    /// By whom an objection can be ended on this basis.
    pub fn on(&self, basis: Basis) -> Option<&Needs> {
        match basis {
            Basis::Joint => self.joint.as_ref(),
            Basis::Award => self.award.as_ref(),
            Basis::Order => self.order.as_ref(),
        }
    }

    /// Every basis there is, with by whom.
    pub fn each(&self) -> impl Iterator<Item = (Basis, &Needs)> {
        Basis::ALL.into_iter().filter_map(move |basis| Some((basis, self.on(basis)?)))
    }
}

/// Which deposits may be asked for.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "snake_case")]
pub enum Grants {
    /// Every one.
    #[default]
    All,
    /// The last one that there is when it is asked for.
    Latest,
    /// Those that the depositor calls so.
    Label(Text),
}

impl Grants {
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

serde_as_worded!(Grants, r#""all", "latest" or a table like { label = "recipe" }"#);

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("every deposit"),
            Self::Latest => f.write_str("the latest deposit"),
            Self::Label(label) => write!(f, "deposits labelled {label}"),
        }
    }
}

/// What whoever asks takes upon itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table like { kind = \"destroy\", within = \"30d\" }")]
pub struct RuleDuty {
    /// What is to be done.
    pub kind: DutyKind,
    /// Within what time of the release.
    pub within: Span,
}

/// How a bundle may be fetched once it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table like { within = \"30d\", times = 3 }")]
pub struct Access {
    /// For how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// How many times. One that was broken off and goes on is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u16>,
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
    /// Least time that a consent stays good, and that a bundle may be fetched.
    pub const WINDOW_MIN: Span = Span::seconds(60 * 60);
    /// How often a bundle may be fetched at most, where that is counted.
    pub const TIMES_MAX: usize = 100;
    /// Holidays in a calendar.
    pub const HOLIDAYS_MAX: usize = 512;
    /// Days between the first and the last of them.
    pub const HOLIDAYS_DAYS_MAX: usize = 25 * 366;
}

impl Rule {
    /// Of how many organisations those who consent have to come: never of one.
    pub fn organisations_needed(&self) -> usize {
        usize::from(self.distinct_organisations.unwrap_or_default().max(2))
    }

    /// The roles whose members may consent.
    pub fn consenting_roles(&self) -> BTreeSet<Role> {
        self.needs.roles()
    }

    /// The first format that can say it.
    pub fn least_format(&self) -> Format {
        let Self {
            name: _,
            requesters: _,
            trigger,
            needs,
            distinct_organisations,
            reviewers,
            notice,
            vote,
            objection: _,
            settled_by,
            expires: _,
            grants,
            duty,
            access,
        } = self;
        let is_first = needs.is_first_format()
            && distinct_organisations.is_none()
            && trigger.is_joint()
            && reviewers.is_empty()
            && settled_by.is_none()
            && matches!(notice, Period::Passing(_))
            && vote.is_none()
            && grants.is_all()
            && duty.is_none()
            && access.is_none();
        match is_first {
            true => Format::First,
            false => Format::Second,
        }
    }
}

impl Terms {
    /// The first format that can say them.
    pub fn least_format(&self) -> Format {
        if self.calendar.is_some() || self.amend.is_some() || self.term.is_some() {
            return Format::Second;
        }
        self.rules.iter().map(Rule::least_format).max().unwrap_or_default()
    }

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

    /// When notice under this rule is over for whoever has known of a request since then.
    pub fn notice_ends(&self, rule: &Rule, known: Timestamp) -> Timestamp {
        rule.notice.ends(known, self.calendar.as_ref())
    }

    /// How many contributions release a request by a member of this organisation: the quorum,
    /// less the share it has at home where it is a holder itself.
    pub fn contributions_needed(&self, requester: &OrganisationName) -> usize {
        usize::from(self.quorum).saturating_sub(usize::from(self.is_holder(requester)))
    }
}
