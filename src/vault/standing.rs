//! Who a connection speaks for, and what that member may carry in and look at.

use crate::crypto::signature;
use crate::domain::id::{AgreementId, Fingerprint, MemberPath, OrganisationName};
use crate::domain::organisation::Member;
use crate::domain::refusal::Refusal;
use crate::domain::rules;
use crate::domain::statement::{Stated, Statement};
use crate::domain::states::{Key, States};
use crate::domain::stream::Stream;
use crate::store::Store;
use crate::vault::error::VaultError;
use crate::vault::{Talker, Vault};

impl<S: Store> Vault<S> {
    /// Statements about an agreement are carried by its parties, registrations by colleagues: the
    /// answer says what is in the stream. Strangers learn nothing.
    pub(super) fn may_carry(&self, talker: &Talker, stated: &Stated) -> Result<(), VaultError> {
        match (talker, rules::stream(stated)) {
            (Talker::Operator, _) if matches!(stated.statement, Statement::Invitation(_)) => Ok(()),
            (Talker::Operator, stream) => Err(Refusal::NotFound(stream.to_string()).into()),
            (Talker::Member { .. }, Stream::Agreement(id)) => {
                let reader = self.reader(talker)?;
                if let Statement::Proposal(proposal) = &stated.statement {
                    let is_party = proposal.terms.role_of(&reader.organisation).is_some();
                    return Ok(is_party.then_some(()).ok_or(Refusal::NotFound(id.to_string()))?);
                }
                // A release key's agreement may come with it: the rules alone judge that.
                match stated.statement.ground() {
                    Some(_) => self.may_read(&reader, &Stream::Agreement(id), None),
                    None => Ok(()),
                }
            }
            (Talker::Member { .. }, stream @ Stream::OrganisationRegistrations(_)) => {
                self.may_read(&self.reader(talker)?, &stream, None)
            }
            (Talker::Member { .. }, _) => self.reader(talker).map(|_| ()),
        }
    }

    /// The member behind a connection, if it still has the standing to look at things.
    pub(super) fn reader(&self, talker: &Talker) -> Result<MemberPath, VaultError> {
        let Talker::Member { path, id } = talker else {
            let operator = MemberPath::operator();
            return Err(Refusal::NotFound(operator.to_string()).into());
        };
        let member = self.member(path)?;
        if member.id != *id {
            return Err(Refusal::WrongKey(path.clone()).into());
        }
        member.may_look(path)?;
        Ok(path.clone())
    }

    /// Who reads on this connection: a member of that standing, or the operator.
    pub(super) fn onlooker(&self, talker: &Talker) -> Result<MemberPath, VaultError> {
        match talker {
            Talker::Operator => Ok(MemberPath::operator()),
            Talker::Member { .. } => self.reader(talker),
        }
    }

    /// Refuses whoever was revoked meanwhile. Asked between the parts of what takes long.
    pub fn still_stands(&self, talker: &Talker) -> Result<(), VaultError> {
        match talker {
            Talker::Operator => Ok(()),
            Talker::Member { .. } => self.reader(talker).map(|_| ()),
        }
    }

    /// Refuses whoever is no member of standing. The operator is none.
    pub fn is_member(&self, talker: &Talker) -> Result<(), VaultError> {
        self.reader(talker).map(|_| ())
    }

    pub(super) fn member(&self, path: &MemberPath) -> Result<Member, VaultError> {
        let mut states = States::default();
        self.load(&mut states, [Key::Organisation(path.organisation.clone())])?;
        let organisation = states.organisation(&path.organisation);
        let member = organisation.and_then(|organisation| organisation.member(&path.name));
        Ok(member.cloned().ok_or_else(|| Refusal::NotFound(path.to_string()))?)
    }

    /// Refuses whoever has shown no colleague who it is: agreements and registrations are not for a
    /// pending member.
    pub(super) fn is_confirmed(&self, reader: &MemberPath) -> Result<(), VaultError> {
        let is_active = self.member(reader)?.is_active();
        Ok(is_active.then_some(()).ok_or_else(|| Refusal::Pending(reader.clone()))?)
    }

    pub(super) fn may_read(
        &self,
        reader: &MemberPath,
        stream: &Stream,
        named: Option<Fingerprint>,
    ) -> Result<(), VaultError> {
        let mut states = States::default();
        let (mut shares_agreement, mut knows) = (false, false);
        match stream {
            Stream::Agreement(id) | Stream::AgreementAccesses(id) => {
                self.is_confirmed(reader)?;
                self.load(&mut states, [Key::Agreement(id.clone())])?;
            }
            Stream::Organisation(name) => {
                self.load(&mut states, [Key::Organisation(name.clone())])?;
                let key = states.organisation(name).and_then(|organisation| organisation.key);
                knows = named.is_some() && key.as_ref().map(signature::fingerprint) == named;
                // The operator is a member of nothing, and a party of nothing.
                let active = *reader != MemberPath::operator() && self.member(reader)?.is_active();
                shares_agreement = active && self.share_agreement(reader, name)?;
            }
            Stream::OrganisationRegistrations(_) => self.is_confirmed(reader)?,
            Stream::OrganisationAccesses(_) | Stream::Vault => {}
        }
        Ok(rules::may_read(&states, stream, reader, shares_agreement, knows)?)
    }

    pub(super) fn share_agreement(
        &self,
        reader: &MemberPath,
        other: &OrganisationName,
    ) -> Result<bool, VaultError> {
        const PAGE: usize = 1_000;
        let mut after = None;
        loop {
            let page = self.parties(&reader.organisation, after.as_ref(), PAGE)?;
            for id in &page {
                let key = Key::Party(other.clone(), id.clone()).to_string();
                if self.store.record(&key)?.is_some() {
                    return Ok(true);
                }
            }
            match page.into_iter().last() {
                Some(last) => after = Some(last),
                None => return Ok(false),
            }
        }
    }

    pub(super) fn parties(
        &self,
        organisation: &OrganisationName,
        after: Option<&AgreementId>,
        limit: usize,
    ) -> Result<Vec<AgreementId>, VaultError> {
        let prefix = Key::party_prefix(organisation);
        let after = after.map(|id| format!("{prefix}{id}"));
        let keys = self.store.keys(&prefix, after.as_deref(), limit)?;
        let ids = keys.iter().filter_map(|key| key.strip_prefix(&prefix)?.parse().ok());
        Ok(ids.collect())
    }
}
