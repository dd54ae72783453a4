//! Organisations and their members: who may join, whose keys count.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::id::{Digest, MemberId, MemberName, MemberPath, OrganisationName, PublicKey};
use crate::domain::refusal::Refusal;
use crate::domain::statement::{self, Reason, Stated};
use crate::domain::text::Text;
use crate::domain::time::{Span, Timestamp};

/// Members of one organisation.
pub const MEMBERS_MAX: usize = 256;
/// Open invitations of one organisation.
pub const INVITATIONS_MAX: usize = 64;
/// How long an invitation may stay open.
pub const INVITATION_SPAN_MAX: Span = Span::days(30);

/// An organisation as its stream tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organisation {
    /// Its name.
    pub name: OrganisationName,
    /// Its key, once its first member has joined.
    pub key: Option<PublicKey>,
    /// Who introduced that key and has it at home: its first member.
    pub founder: Option<MemberName>,
    /// Everybody who has joined.
    pub members: BTreeMap<MemberName, Member>,
    /// Doors that stand open, by the digest of their secret.
    pub invitations: BTreeMap<Digest, Invited>,
}

/// An open invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// Who may come.
    pub name: MemberName,
    /// Until when.
    pub expires_at: Timestamp,
    /// By whom.
    pub by: MemberPath,
    /// Since when.
    pub at: Timestamp,
}

impl Invited {
    fn is_for(&self, name: &MemberName, now: Timestamp) -> bool {
        self.name == *name && now < self.expires_at
    }
}

/// One person or service of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The member's id.
    pub id: MemberId,
    /// Digest of the statement that introduced the keys.
    pub join_sha256: Digest,
    /// Ed25519 key for statements.
    pub key: PublicKey,
    /// The member's `age1…` recipient.
    pub age_recipient: Text,
    /// When the member joined.
    pub joined_at: Timestamp,
    /// How far the member is trusted.
    pub standing: Standing,
}

/// How far a member is trusted by its own organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Joined; nobody has confirmed yet whose keys these are.
    Pending,
    /// Confirmed: may act.
    Active {
        /// Since when.
        since: Timestamp,
        /// May invite and confirm colleagues.
        administrator: bool,
        /// Who has confirmed the keys.
        by: MemberPath,
    },
    /// May no longer act.
    Revoked {
        /// Since when, by the vault's time.
        at: Timestamp,
        /// Why.
        reason: Reason,
        /// Digest of the revocation.
        sha256: Digest,
        /// Which of its acts count still: none of a member that was not active.
        counted: Option<Counted>,
    },
}

/// During which time a revoked member's acts count, and by whose word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// From then on: its keys were confirmed.
    pub since: Timestamp,
    /// Before then: its keys were its own.
    pub before: Timestamp,
    /// Who had confirmed the keys.
    pub by: MemberPath,
}

impl Member {
    /// Confirmed, and so may act?
    pub fn is_active(&self) -> bool {
        match self.standing {
            Standing::Active { .. } => true,
            Standing::Pending | Standing::Revoked { .. } => false,
        }
    }

    /// Whether what the member did at some time still counts for what is not decided yet. What
    /// has ceased to count never does again, however the member stands later.
    pub fn counts_at(&self, at: Timestamp) -> bool {
        match &self.standing {
            Standing::Active { since, .. } => *since <= at,
            // It was confirmed once, by somebody whose word has been taken back.
            Standing::Pending => false,
            Standing::Revoked { counted, .. } => {
                counted.as_ref().is_some_and(|counted| counted.since <= at && at < counted.before)
            }
        }
    }

    /// Refuses whoever may not act, with the reason.
    fn may_act(&self, by: &MemberPath) -> Result<&Self, Refusal> {
        match self.standing {
            Standing::Active { .. } => Ok(self),
            Standing::Pending => Err(Refusal::Pending(by.clone())),
            Standing::Revoked { .. } => Err(Refusal::Revoked(by.clone())),
        }
    }

    /// Refuses whoever was revoked: such a member may not even look.
    pub fn may_look(&self, by: &MemberPath) -> Result<&Self, Refusal> {
        match self.standing {
            Standing::Active { .. } | Standing::Pending => Ok(self),
            Standing::Revoked { .. } => Err(Refusal::Revoked(by.clone())),
        }
    }

    /// May invite and confirm colleagues?
    pub fn is_administrator(&self) -> bool {
        match self.standing {
            Standing::Active { administrator, .. } => administrator,
            Standing::Pending | Standing::Revoked { .. } => false,
        }
    }
}

impl Organisation {
    /// An organisation of which nothing is known yet but its name.
    pub fn named(name: OrganisationName) -> Self {
        let (members, invitations) = (BTreeMap::new(), BTreeMap::new());
        Self { name, key: None, founder: None, members, invitations }
    }

    /// A member that has joined.
    pub fn member(&self, name: &MemberName) -> Option<&Member> {
        self.members.get(name)
    }

    /// Members that may act.
    pub fn active_members(&self) -> impl Iterator<Item = (&MemberName, &Member)> {
        self.members.iter().filter(|(_, member)| member.is_active())
    }

    /// The signer of a statement, if it is an active member's key.
    pub fn actor(&self, stated: &Stated) -> Result<&Member, Refusal> {
        let by = &stated.statement.made().by;
        self.signer(by, &stated.key)?.may_act(by)
    }

    /// Whoever signs in a name learns nothing about it: a member that isn't there and a key that
    /// isn't the member's are refused alike.
    fn signer(&self, by: &MemberPath, key: &PublicKey) -> Result<&Member, Refusal> {
        self.member(&by.name)
            .filter(|member| member.key == *key)
            .ok_or_else(|| Refusal::WrongKey(by.clone()))
    }

    fn administrator(&self, stated: &Stated) -> Result<(), Refusal> {
        if self.actor(stated)?.is_administrator() {
            Ok(())
        } else {
            Err(Refusal::NotAdministrator(stated.statement.made().by.clone()))
        }
    }

    /// The organisation key, or an administrator. The key speaks in the name of the member who has
    /// it at home, whatever that member's own standing: whoever is named has signed.
    fn authority(&self, stated: &Stated) -> Result<(), Refusal> {
        if self.key != Some(stated.key) {
            return self.administrator(stated);
        }
        let by = &stated.statement.made().by;
        let is_founder = self.founder.as_ref() == Some(&by.name);
        is_founder.then_some(()).ok_or_else(|| Refusal::WrongKey(by.clone()))
    }
}

/// May this invitation stand? The operator opens the door to organisations, an administrator to
/// colleagues.
pub fn decide_invitation(
    organisation: Option<&Organisation>,
    operator: Option<&PublicKey>,
    invitation: &statement::Invitation,
    stated: &Stated,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (by, name) = (&invitation.made.by, &invitation.member.organisation);
    let founded = organisation.filter(|organisation| organisation.key.is_some());
    let is_operator = operator == Some(&stated.key) && *by == MemberPath::operator();
    match founded {
        Some(organisation) if by.organisation == *name => organisation.administrator(stated)?,
        Some(_) if is_operator => return Err(Refusal::OrganisationExists(name.clone())),
        None if is_operator => {}
        None if by.organisation == *name => return Err(Refusal::WrongKey(by.clone())),
        Some(_) | None => return Err(Refusal::NotFound(name.to_string())),
    }
    if invitation.member.organisation == MemberPath::operator().organisation {
        return Err(Refusal::Mismatch("the name of the organisation, which is reserved,"));
    }
    if let Some(organisation) = organisation {
        if organisation.members.contains_key(&invitation.member.name) {
            return Err(Refusal::AlreadyJoined(invitation.member.clone()));
        }
        let open = organisation.invitations.values().filter(|open| open.expires_at > now).count();
        if open >= INVITATIONS_MAX {
            let what = "open invitations of this organisation";
            return Err(Refusal::Limit { what, limit: INVITATIONS_MAX });
        }
    }
    if invitation.expires_at <= now || invitation.expires_at > now.after(INVITATION_SPAN_MAX) {
        return Err(Refusal::Mismatch("the invitation's expiry"));
    }
    Ok(())
}

/// May this organisation key be introduced? Only by somebody whose invitation is open.
pub fn decide_organisation(
    organisation: Option<&Organisation>,
    introduced: &statement::Organisation,
    stated: &Stated,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &introduced.made.by;
    let is_invited = |organisation: &&Organisation| {
        organisation.invitations.values().any(|open| open.is_for(&by.name, now))
    };
    let organisation =
        organisation.filter(is_invited).ok_or_else(|| Refusal::NotInvited(by.clone()))?;
    if organisation.key.is_some() {
        return Err(Refusal::OrganisationExists(organisation.name.clone()));
    }
    if stated.key != introduced.key {
        return Err(Refusal::WrongKey(by.clone()));
    }
    Ok(())
}

/// May this member join?
pub fn decide_join(
    organisation: Option<&Organisation>,
    join: &statement::Join,
    stated: &Stated,
    now: Timestamp,
) -> Result<(), Refusal> {
    let by = &join.made.by;
    let not_invited = || Refusal::NotInvited(by.clone());
    let organisation = organisation.filter(|o| o.key.is_some()).ok_or_else(not_invited)?;
    let invited = organisation.invitations.get(&join.secret_sha256);
    if !invited.is_some_and(|open| open.is_for(&by.name, now)) {
        return Err(not_invited());
    }
    if organisation.members.contains_key(&by.name) {
        return Err(Refusal::AlreadyJoined(by.clone()));
    }
    if stated.key != join.key {
        return Err(Refusal::WrongKey(by.clone()));
    }
    if organisation.members.len() >= MEMBERS_MAX {
        return Err(Refusal::Limit { what: "members of this organisation", limit: MEMBERS_MAX });
    }
    // One person is one seat, so one set of keys is one member: of those who have left as well,
    // and the organisation key is nobody's.
    let is_taken = organisation.key == Some(join.key)
        || organisation
            .members
            .values()
            .any(|member| member.key == join.key || member.age_recipient == join.age_recipient);
    if is_taken { Err(Refusal::KeysTaken(by.clone())) } else { Ok(()) }
}

/// May this member be confirmed by this signer: the organisation key, or an administrator?
pub fn decide_confirmation(
    organisation: Option<&Organisation>,
    confirmation: &statement::Confirmation,
    stated: &Stated,
) -> Result<(), Refusal> {
    let (by, member) = (&confirmation.made.by, &confirmation.member);
    let not_found = || Refusal::NotFound(member.to_string());
    if by.organisation != member.organisation {
        return Err(not_found());
    }
    let organisation = organisation.ok_or_else(|| Refusal::WrongKey(by.clone()))?;
    organisation.authority(stated)?;
    let member = organisation.member(&confirmation.member.name).ok_or_else(not_found)?;
    if member.join_sha256 != confirmation.join_sha256 {
        return Err(Refusal::Mismatch("the confirmation of this member's keys"));
    }
    match member.standing {
        Standing::Pending => Ok(()),
        Standing::Active { .. } => {
            let who = confirmation.member.to_string();
            Err(Refusal::Already { who, what: "been confirmed" })
        }
        Standing::Revoked { .. } => Err(Refusal::Revoked(confirmation.member.clone())),
    }
}

/// May this member be revoked by this signer: the organisation key, or an administrator? A
/// revocation can be made worse later, never milder.
pub fn decide_revocation(
    organisation: Option<&Organisation>,
    revocation: &statement::Revocation,
    stated: &Stated,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (by, path) = (&revocation.made.by, &revocation.member);
    let not_found = || Refusal::NotFound(path.to_string());
    if by.organisation != path.organisation {
        return Err(not_found());
    }
    let organisation = organisation.ok_or_else(|| Refusal::WrongKey(by.clone()))?;
    organisation.authority(stated)?;
    let member = organisation.member(&path.name).ok_or_else(not_found)?;
    if member.join_sha256 != revocation.join_sha256 {
        return Err(Refusal::Mismatch("the revocation of this member's keys"));
    }
    if matches!(revocation.reason, Reason::CompromisedSince(since) if since > now) {
        return Err(Refusal::Mismatch("the time since when the keys are compromised"));
    }
    let is_worse = match (member.standing.clone(), revocation.reason) {
        (Standing::Active { .. } | Standing::Pending, _) => true,
        (Standing::Revoked { .. }, Reason::Left) => false,
        (Standing::Revoked { reason: Reason::Left, .. }, Reason::CompromisedSince(_)) => true,
        (
            Standing::Revoked { reason: Reason::CompromisedSince(known), .. },
            Reason::CompromisedSince(since),
        ) => since < known,
    };
    let already = || Refusal::Already { who: path.to_string(), what: "been revoked" };
    if is_worse { Ok(()) } else { Err(already()) }
}

/// May this member's revocation be told in an agreement?
pub fn decide_revocation_notice(
    organisation: Option<&Organisation>,
    notice: &statement::RevocationNotice,
) -> Result<(), Refusal> {
    let path = &notice.member;
    let own = notice.made.by.organisation == path.organisation;
    let member = organisation.filter(|_| own).and_then(|found| found.member(&path.name));
    let member = member.ok_or_else(|| Refusal::NotFound(path.to_string()))?;
    match member.standing {
        Standing::Revoked { sha256, .. } if sha256 == notice.revocation_sha256 => Ok(()),
        Standing::Active { .. } | Standing::Pending | Standing::Revoked { .. } => {
            Err(Refusal::Mismatch("the digest of the revocation"))
        }
    }
}

/// May this member have a new certificate?
pub fn decide_renewal(
    organisation: Option<&Organisation>,
    renewal: &statement::Renewal,
    stated: &Stated,
) -> Result<(), Refusal> {
    let by = &renewal.made.by;
    let organisation = organisation.ok_or_else(|| Refusal::WrongKey(by.clone()))?;
    organisation.signer(by, &stated.key)?.may_look(by).map(|_| ())
}

impl Organisation {
    /// An invitation was accepted into the stream.
    pub fn invited(&mut self, invitation: &statement::Invitation, at: Timestamp) {
        self.invitations.retain(|_, open| open.expires_at > at);
        let name = invitation.member.name.clone();
        let by = invitation.made.by.clone();
        let invited = Invited { name, expires_at: invitation.expires_at, by, at };
        self.invitations.insert(invitation.secret_sha256, invited);
    }

    /// The organisation's key was introduced.
    pub fn introduced(&mut self, introduced: &statement::Organisation) {
        self.key = Some(introduced.key);
        self.founder = Some(introduced.made.by.name.clone());
    }

    /// A member joined; the invitation is spent.
    pub fn joined(&mut self, join: &statement::Join, stated: &Stated, at: Timestamp) {
        self.invitations.remove(&join.secret_sha256);
        let member = Member {
            id: MemberId::of(&stated.digest),
            join_sha256: stated.digest,
            key: join.key,
            age_recipient: join.age_recipient.clone(),
            joined_at: at,
            standing: Standing::Pending,
        };
        self.members.insert(join.made.by.name.clone(), member);
    }

    /// A member was confirmed.
    pub fn confirmed(&mut self, confirmation: &statement::Confirmation, at: Timestamp) {
        if let Some(member) = self.members.get_mut(&confirmation.member.name) {
            let administrator = confirmation.administrator;
            let by = confirmation.made.by.clone();
            member.standing = Standing::Active { since: at, administrator, by };
        }
    }

    /// A member was revoked. Whom it let in since its keys were compromised is in no longer, nor
    /// whom those let in, and so on.
    pub fn revoked(&mut self, revocation: &statement::Revocation, sha256: Digest, at: Timestamp) {
        let reason = revocation.reason;
        if let Some(member) = self.members.get_mut(&revocation.member.name) {
            let counted = member.standing.counted().map(|known| match reason {
                Reason::Left => known,
                Reason::CompromisedSince(from) => {
                    Counted { before: known.before.min(from), ..known }
                }
            });
            member.standing = Standing::Revoked { at, reason, sha256, counted };
        }
        let Reason::CompromisedSince(from) = reason else { return };
        let mut out = vec![(revocation.member.clone(), from)];
        while let Some((thief, from)) = out.pop() {
            out.extend(self.shut_out(&thief, from));
        }
    }

    /// Takes back what a thief did in a member's name since then. Returns whom it had let in, and
    /// since when.
    fn shut_out(&mut self, thief: &MemberPath, from: Timestamp) -> Vec<(MemberPath, Timestamp)> {
        self.invitations.retain(|_, open| open.by != *thief || open.at < from);
        let mut out = Vec::new();
        for (name, member) in &mut self.members {
            let Some(counted) = member.standing.counted() else { continue };
            // The first member is in by the organisation's key, in its own name.
            if counted.by != *thief || counted.since < from || *name == thief.name {
                continue;
            }
            match &mut member.standing {
                Standing::Revoked { counted, .. } => *counted = None,
                Standing::Active { .. } | Standing::Pending => member.standing = Standing::Pending,
            }
            let path = MemberPath { organisation: self.name.clone(), name: name.clone() };
            out.push((path, counted.since));
        }
        out
    }
}

impl Standing {
    /// During which time the member's acts count.
    fn counted(&self) -> Option<Counted> {
        match self {
            Self::Pending => None,
            Self::Active { since, by, .. } => {
                Some(Counted { since: *since, before: Timestamp::MAX, by: by.clone() })
            }
            Self::Revoked { counted, .. } => counted.clone(),
        }
    }
}
