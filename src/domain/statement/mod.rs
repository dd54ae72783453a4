//! Statements: what members sign. One struct a type, kept and verified as exact bytes.
//!
//! A statement is a UTF-8 JSON object with its `type` first. What a field means never changes
//! within a version; a new meaning is a new version. Bytes are hexadecimal, times RFC 3339.

mod agreement;
mod organisation;
mod registration;
mod release;

pub use agreement::*;
pub use organisation::*;
pub use registration::*;
pub use release::*;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::id::{
    AgreementId, Digest, Element, Malformed, MemberPath, Nonce, PublicKey, serde_as_text,
};
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

/// Which log of which vault: a statement made for one carries no weight in another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The log's name (C2SP tlog-checkpoint's origin).
    pub origin: Text,
    /// Counts up with every open recovery; 1 at first.
    pub generation: u32,
}

/// Who made a statement, when, for which log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// The member who signs.
    pub by: MemberPath,
    /// When, by the member's own clock.
    pub at: Timestamp,
    /// What makes this statement unlike any other.
    pub nonce: Nonce,
    /// For which log.
    pub log: Log,
}

/// Where a stream stood when somebody looked: number and commitment of its last event.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saw {
    /// Number of the last event seen.
    pub sequence: u64,
    /// That event's commitment.
    pub commitment: Digest,
}

/// What a statement inside an agreement rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    /// Which agreement.
    pub agreement: AgreementId,
    /// What the signer knew of it.
    pub saw: Saw,
    /// After this the statement is void if the vault has not accepted it.
    pub valid_until: Timestamp,
}

/// A Schnorr proof of knowledge: of a discrete logarithm, without telling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knowledge {
    /// The prover's commitment, a compressed point.
    pub commitment: Element,
    /// The answer to the challenge, a scalar.
    pub response: Element,
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $tag:literal),* $(,)?) => {
        /// Any statement, told apart by its `type`.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "type")]
        #[expect(missing_docs, reason = "each variant is its struct")]
        pub enum Statement {
            $(#[serde(rename = $tag)] $name($name),)*
        }

        impl Statement {
            /// Largest statement, in bytes of JSON.
            pub const BYTES_MAX: usize = 256 * 1024;

            /// Every type there is.
            pub const TYPES: &[&str] = &[$($tag),*];

            /// The statement's type, which is its signature's domain tag as well.
            pub fn tag(&self) -> &'static str {
                match self { $(Self::$name(_) => $tag,)* }
            }

            /// The same as a value of its own.
            pub fn kind(&self) -> StatementType {
                StatementType(self.tag())
            }

            /// By whom, when, for which log.
            pub fn made(&self) -> &Made {
                match self { $(Self::$name(statement) => &statement.made,)* }
            }
        }

        $(impl From<$name> for Statement {
            fn from(statement: $name) -> Self {
                Self::$name(statement)
            }
        })*
    };
}

statements! {
    Invitation = "escrow-vault/invitation/v1",
    Organisation = "escrow-vault/organisation/v1",
    Join = "escrow-vault/join/v1",
    Confirmation = "escrow-vault/confirmation/v1",
    Revocation = "escrow-vault/revocation/v1",
    Renewal = "escrow-vault/renewal/v1",
    Registration = "escrow-vault/registration/v1",
    Proposal = "escrow-vault/terms/v1",
    ReleaseKey = "escrow-vault/release-key/v1",
    Acceptance = "escrow-vault/acceptance/v1",
    Declination = "escrow-vault/declination/v1",
    Amendment = "escrow-vault/amendment/v1",
    Countersignature = "escrow-vault/countersignature/v1",
    Termination = "escrow-vault/termination/v1",
    RevocationNotice = "escrow-vault/revocation-notice/v1",
    Resumption = "escrow-vault/resumption/v1",
    Reminder = "escrow-vault/reminder/v1",
    Reseal = "escrow-vault/reseal/v1",
    Deposit = "escrow-vault/deposit/v1",
    Request = "escrow-vault/request/v1",
    Consent = "escrow-vault/consent/v1",
    Contribution = "escrow-vault/contribution/v1",
    Seen = "escrow-vault/seen/v1",
    Notification = "escrow-vault/notification/v1",
    Objection = "escrow-vault/objection/v1",
    Attestation = "escrow-vault/attestation/v1",
    Settlement = "escrow-vault/settlement/v1",
    Withdrawal = "escrow-vault/withdrawal/v1",
    Retrieval = "escrow-vault/retrieval/v1",
    Acknowledgement = "escrow-vault/acknowledgement/v1",
    TimeStamp = "escrow-vault/time-stamp/v1",
}

/// One of the types there are, written as its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementType(&'static str);

impl StatementType {
    /// A deposit's.
    pub const DEPOSIT: Self = Self("escrow-vault/deposit/v1");

    /// As one word.
    pub fn word(self) -> String {
        let Self(tag) = self;
        let word = tag.split('/').nth(1).unwrap_or(tag);
        word.replace('-', "_")
    }
}

impl fmt::Display for StatementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for StatementType {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let known = Statement::TYPES.iter().find(|tag| **tag == text);
        let unknown = || Malformed::new(text, "a type of statement", "one that this program has");
        known.map(|tag| Self(tag)).ok_or_else(unknown)
    }
}

serde_as_text!(StatementType);

impl Statement {
    /// The first version of the rules that can judge it ([`crate::domain::event::ENGINE`]).
    pub fn engine(&self) -> u32 {
        match self {
            Self::Proposal(s) => s.terms.format.engine(),
            Self::Amendment(_)
            | Self::Countersignature(_)
            | Self::Reminder(_)
            | Self::Attestation(_)
            | Self::Settlement(_) => 2,
            Self::Request(s) => s.duty.map_or(1, |duty| duty.kind.engine()),
            Self::Acknowledgement(s) => s.what.engine(),
            Self::Invitation(_)
            | Self::Organisation(_)
            | Self::Join(_)
            | Self::Confirmation(_)
            | Self::Revocation(_)
            | Self::Renewal(_)
            | Self::Registration(_)
            | Self::ReleaseKey(_)
            | Self::Acceptance(_)
            | Self::Declination(_)
            | Self::Termination(_)
            | Self::RevocationNotice(_)
            | Self::Resumption(_)
            | Self::Reseal(_)
            | Self::Deposit(_)
            | Self::Consent(_)
            | Self::Contribution(_)
            | Self::Seen(_)
            | Self::Notification(_)
            | Self::Objection(_)
            | Self::Withdrawal(_)
            | Self::Retrieval(_)
            | Self::TimeStamp(_) => 1,
        }
    }

    /// What it rests on, for statements inside an agreement.
    pub fn ground(&self) -> Option<&Ground> {
        match self {
            Self::Invitation(_)
            | Self::Organisation(_)
            | Self::Join(_)
            | Self::Confirmation(_)
            | Self::Revocation(_)
            | Self::Renewal(_)
            | Self::Registration(_)
            | Self::Proposal(_)
            | Self::ReleaseKey(_) => None,
            Self::Acceptance(s) => Some(&s.ground),
            Self::Declination(s) => Some(&s.ground),
            Self::Amendment(s) => Some(&s.ground),
            Self::Countersignature(s) => Some(&s.ground),
            Self::Termination(s) => Some(&s.ground),
            Self::RevocationNotice(s) => Some(&s.ground),
            Self::Resumption(s) => Some(&s.ground),
            Self::Reminder(s) => Some(&s.ground),
            Self::Reseal(s) => Some(&s.ground),
            Self::Deposit(s) => Some(&s.ground),
            Self::Request(s) => Some(&s.ground),
            Self::Consent(s) => Some(&s.ground),
            Self::Contribution(s) => Some(&s.ground),
            Self::Seen(s) => Some(&s.ground),
            Self::Notification(s) => Some(&s.ground),
            Self::Objection(s) => Some(&s.ground),
            Self::Attestation(s) => Some(&s.ground),
            Self::Settlement(s) => Some(&s.ground),
            Self::Withdrawal(s) => Some(&s.ground),
            Self::Retrieval(s) => Some(&s.ground),
            Self::Acknowledgement(s) => Some(&s.ground),
            Self::TimeStamp(s) => Some(&s.ground),
        }
    }
}

/// A statement whose signature was verified over its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// What was said.
    pub statement: Statement,
    /// SHA-256 of its exact bytes.
    pub digest: Digest,
    /// The key that signed it. Whose key that is, the rules decide.
    pub key: PublicKey,
}
