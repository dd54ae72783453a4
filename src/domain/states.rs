//! State as the fold of events, kept in records that are looked up one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::agreement::Agreement;
use crate::domain::amendment::Amendment;
use crate::domain::deposit::Deposit;
use crate::domain::event::{CaEdition, TsaEdition};
use crate::domain::handover::SignedHandover;
use crate::domain::id::{
    AgreementId, DepositId, Digest, MemberPath, OrganisationName, PublicKey, RegistrationId,
    RequestId,
};
use crate::domain::organisation::Organisation;
use crate::domain::registration::Registration;
use crate::domain::request::{OpenRequests, Request};
use crate::domain::stream::Stream;
use crate::domain::usage::{Underway, Usage};

/// The name of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// What the vault is.
    Vault,
    /// Which CAs the vault told of last.
    Authorities,
    /// Which key that stamps times the vault told of last.
    Timestamper,
    /// An organisation.
    Organisation(OrganisationName),
    /// An agreement.
    Agreement(AgreementId),
    /// An amendment, by the digest of its statement.
    Amendment(Digest),
    /// That an organisation is a party of an agreement.
    Party(OrganisationName, AgreementId),
    /// A deposit.
    Deposit(DepositId),
    /// Which deposit of an agreement a bundle is.
    Bundle(AgreementId, Digest),
    /// A registration.
    Registration(RegistrationId),
    /// A request.
    Request(RequestId),
    /// What a member has open in an agreement.
    OpenRequests(AgreementId, MemberPath),
    /// Which bundles are out of service.
    Quarantine,
    /// Where a statement was accepted.
    Statement(Digest),
    /// What an organisation has stored.
    Usage(OrganisationName),
    /// Which requests of an organisation are open.
    Underway(OrganisationName),
}

impl Key {
    /// What every [`Key::Usage`] begins with.
    pub const USAGE_PREFIX: &str = "usage/";

    /// What every [`Key::Party`] of this organisation begins with.
    pub fn party_prefix(organisation: &OrganisationName) -> String {
        format!("party/{organisation}/")
    }

    /// Whether records with names like this one are as many as there are deposits or statements. Each
    /// of them is written once or a few times, and looked up by its name alone.
    pub fn is_of_many(name: &str) -> bool {
        let kinds = ["bundle", "deposit", "registration", "request", "statement"];
        name.split_once('/').is_some_and(|(kind, _)| kinds.contains(&kind))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault => f.write_str("vault"),
            Self::Authorities => f.write_str("authorities"),
            Self::Timestamper => f.write_str("timestamper"),
            Self::Organisation(name) => write!(f, "organisation/{name}"),
            Self::Agreement(id) => write!(f, "agreement/{id}"),
            Self::Amendment(sha256) => write!(f, "amendment/{sha256}"),
            Self::Party(name, id) => write!(f, "{}{id}", Self::party_prefix(name)),
            Self::Deposit(id) => write!(f, "deposit/{id}"),
            Self::Bundle(id, sha256) => write!(f, "bundle/{id}/{sha256}"),
            Self::Registration(id) => write!(f, "registration/{id}"),
            Self::Request(id) => write!(f, "request/{id}"),
            Self::Quarantine => f.write_str("quarantine"),
            Self::OpenRequests(id, member) => write!(f, "open/{id}/{member}"),
            Self::Statement(sha256) => write!(f, "statement/{sha256}"),
            Self::Usage(name) => write!(f, "{}{name}", Self::USAGE_PREFIX),
            Self::Underway(name) => write!(f, "underway/{name}"),
        }
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "few are alive at once")]
pub enum Record {
    /// What the vault is.
    Vault(Vault),
    /// Which CAs the vault told of last.
    Authorities(CaEdition),
    /// Which key that stamps times the vault told of last.
    Timestamper(TsaEdition),
    /// An organisation.
    Organisation(Organisation),
    /// An agreement.
    Agreement(Agreement),
    /// An amendment of one.
    Amendment(Amendment),
    /// Present where the organisation is a party.
    Party,
    /// A deposit.
    Deposit(Deposit),
    /// The deposit a bundle is.
    Bundle(DepositId),
    /// A registration.
    Registration(Registration),
    /// A request.
    Request(Request),
    /// What a member has open in an agreement.
    OpenRequests(OpenRequests),
    /// Which bundles are out of service.
    Quarantine(BTreeSet<DepositId>),
    /// Where a statement was accepted.
    Statement(Accepted),
    /// What an organisation has stored.
    Usage(Usage),
    /// Which requests of an organisation are open.
    Underway(Underway),
}

/// What a vault is, from its first event and its recoveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vault {
    /// The key that signs heads now.
    pub ledger_key: PublicKey,
    /// The key that invites organisations.
    pub operator_key: PublicKey,
    /// The log's generation, from 1.
    pub generation: u32,
    /// Events in the ledger when it began.
    pub began_at: u64,
    /// How its earlier ledger keys were handed over, in order.
    #[serde(default)]
    pub handovers: Vec<SignedHandover>,
}

/// Where a statement was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// In which stream.
    pub stream: Stream,
    /// Under which number.
    pub sequence: u64,
}

/// A set of records, and which of them changed. Records are shared with whoever else has them until
/// they are changed.
#[derive(Debug, Clone, Default)]
pub struct States {
    records: BTreeMap<Key, Arc<Record>>,
    changed: BTreeSet<Key>,
}

macro_rules! typed {
    ($get:ident, $get_mut:ident, $put:ident, $variant:ident, $key:ty, $record:ty) => {
        /// The record of this kind and name, if there is one here.
        pub fn $get(&self, key: &$key) -> Option<&$record> {
            let Some(Record::$variant(record)) = self.get(&Key::$variant(key.clone())) else {
                return None;
            };
            Some(record)
        }

        /// The same, to be changed.
        pub fn $get_mut(&mut self, key: &$key) -> Option<&mut $record> {
            let key = Key::$variant(key.clone());
            let record = self.records.get_mut(&key)?;
            self.changed.insert(key);
            let Record::$variant(record) = Arc::make_mut(record) else { return None };
            Some(record)
        }

        /// Puts a record in place.
        pub fn $put(&mut self, key: $key, record: $record) {
            self.put(Key::$variant(key), Record::$variant(record));
        }
    };
}

macro_rules! every {
    ($every:ident, $variant:ident, $record:ty) => {
        /// Every record of this kind here, in order of name.
        pub fn $every(&self) -> impl Iterator<Item = &$record> {
            self.records.values().filter_map(|record| {
                let Record::$variant(record) = &**record else { return None };
                Some(record)
            })
        }
    };
}

impl States {
    typed!(
        organisation,
        organisation_mut,
        put_organisation,
        Organisation,
        OrganisationName,
        Organisation
    );
    typed!(agreement, agreement_mut, put_agreement, Agreement, AgreementId, Agreement);
    typed!(amendment, amendment_mut, put_amendment, Amendment, Digest, Amendment);
    typed!(deposit, deposit_mut, put_deposit, Deposit, DepositId, Deposit);
    typed!(
        registration,
        registration_mut,
        put_registration,
        Registration,
        RegistrationId,
        Registration
    );
    typed!(request, request_mut, put_request, Request, RequestId, Request);
    typed!(statement, statement_mut, put_statement, Statement, Digest, Accepted);
    typed!(usage, usage_mut, put_usage, Usage, OrganisationName, Usage);
    typed!(underway, underway_mut, put_underway, Underway, OrganisationName, Underway);

    every!(agreements, Agreement, Agreement);
    every!(amendments, Amendment, Amendment);
    every!(deposits, Deposit, Deposit);
    every!(requests, Request, Request);
    every!(registrations, Registration, Registration);

    /// What the vault is.
    pub fn vault(&self) -> Option<&Vault> {
        let Some(Record::Vault(vault)) = self.get(&Key::Vault) else {
            return None;
        };
        Some(vault)
    }

    /// Which CAs the vault told of last.
    pub fn authorities(&self) -> Option<&CaEdition> {
        let Some(Record::Authorities(authorities)) = self.get(&Key::Authorities) else {
            return None;
        };
        Some(authorities)
    }

    /// Which key that stamps times the vault told of last.
    pub fn timestamper(&self) -> Option<&TsaEdition> {
        let Some(Record::Timestamper(timestamper)) = self.get(&Key::Timestamper) else {
            return None;
        };
        Some(timestamper)
    }

    /// The deposit of this bundle in this agreement.
    pub fn twin(&self, agreement: &AgreementId, sha256: &Digest) -> Option<&DepositId> {
        let Some(Record::Bundle(id)) = self.get(&Key::Bundle(agreement.clone(), *sha256)) else {
            return None;
        };
        Some(id)
    }

    /// The requests that this member has open in this agreement, some of which may have expired.
    pub fn open_requests(&self, agreement: &AgreementId, member: &MemberPath) -> &OpenRequests {
        static NONE: OpenRequests = OpenRequests::new();
        match self.get(&Key::OpenRequests(agreement.clone(), member.clone())) {
            Some(Record::OpenRequests(open)) => open,
            Some(_) | None => &NONE,
        }
    }

    /// The deposits whose bundles are out of service.
    pub fn quarantine(&self) -> &BTreeSet<DepositId> {
        static NONE: BTreeSet<DepositId> = BTreeSet::new();
        match self.get(&Key::Quarantine) {
            Some(Record::Quarantine(deposits)) => deposits,
            Some(_) | None => &NONE,
        }
    }

    /// Puts a record in place and marks it as changed.
    pub fn put(&mut self, key: Key, record: Record) {
        self.changed.insert(key.clone());
        self.records.insert(key, Arc::new(record));
    }

    /// Puts a record in place as it was stored.
    pub fn load(&mut self, key: Key, record: impl Into<Arc<Record>>) {
        self.records.insert(key, record.into());
    }

    /// Takes over the records of others, and which of them changed.
    pub fn take_over(&mut self, others: Self) {
        self.records.extend(others.records);
        self.changed.extend(others.changed);
    }

    /// Whether the record is here.
    pub fn contains(&self, key: &Key) -> bool {
        self.records.contains_key(key)
    }

    /// The record of this name, to be shared.
    pub fn shared(&self, key: &Key) -> Option<&Arc<Record>> {
        self.records.get(key)
    }

    /// Every record here, in order of kind and name.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Record)> {
        self.records.iter().map(|(key, record)| (key, &**record))
    }

    /// The records that changed since the last call.
    pub fn take_changed(&mut self) -> Vec<(Key, Arc<Record>)> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .filter_map(|key| self.records.get(&key).cloned().map(|record| (key, record)))
            .collect()
    }

    fn get(&self, key: &Key) -> Option<&Record> {
        self.records.get(key).map(Arc::as_ref)
    }
}
