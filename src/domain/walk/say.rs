//! What members of a walk say: statements that are true in every field but for what takes
//! mathematics.

use crate::domain::der::Der;
use crate::domain::event::ENGINE;
use crate::domain::id::{
    Bytes, DepositId, Digest, MemberPath, OrganisationName, PublicKey, RuleName,
};
use crate::domain::refusal::Refusal;
use crate::domain::request::Request;
use crate::domain::rules::{self, Circumstances};
use crate::domain::statement::{
    self as said, Content, Duty, Evidence, Ground, Holder, Kind, Knowledge, Log, Made, Reason, Saw,
    SealedShare, Sealing, Stated, Statement,
};
use crate::domain::stream::Stream;
use crate::domain::terms::Terms;
use crate::domain::text::Text;
use crate::domain::time::Span;
use crate::domain::walk::{Said, Saying, Walk};

/// How long statements are good; nothing comes between them here.
const VALIDITY: Span = Span::days(1);

/// Bytes unlike those of any other text (FNV-1a, a byte at a time).
pub(in crate::domain) fn unlike<const N: usize>(text: &str) -> Bytes<N> {
    let stir = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, stir);
    let mut filled = [0; N];
    for byte in &mut filled {
        hash = stir(hash, 0xff);
        [.., *byte, _, _, _, _] = hash.to_be_bytes();
    }
    Bytes(filled)
}

/// The key of a member, an organisation or the operator.
pub(in crate::domain) fn key_of(whose: &str) -> PublicKey {
    unlike(&format!("the key of {whose}"))
}

fn log() -> Log {
    Log { origin: Text::own("walk.invalid"), generation: 1 }
}

impl Walk {
    /// The same bytes never come twice.
    pub(super) fn fresh<const N: usize>(&mut self) -> Bytes<N> {
        self.made += 1;
        unlike(&format!("number {}", self.made))
    }

    /// Says something with the speaker's own key.
    pub(super) fn say(&mut self, statement: impl Into<Statement>) -> Result<Digest, Refusal> {
        let statement = statement.into();
        let key = key_of(&statement.made().by.to_string());
        self.say_with(statement, key)
    }

    pub(super) fn say_with(
        &mut self,
        statement: impl Into<Statement>,
        key: PublicKey,
    ) -> Result<Digest, Refusal> {
        let stated = Stated { statement: statement.into(), digest: self.fresh(), key };
        let saw = stated.statement.ground().and_then(|ground| self.event(ground));
        let circumstances = Circumstances { log: log(), engine: ENGINE, now: self.now, saw };
        let decided = rules::decide(&self.states, &stated, &circumstances);
        let (digest, at) = (stated.digest, self.now);
        if decided.is_ok() {
            let commitment = self.fresh();
            let events = self.streams.entry(rules::stream(&stated)).or_default();
            events.push(commitment);
            let sequence = events.len() as u64;
            rules::apply(&mut self.states, &stated, at, sequence);
        }
        self.said.push(Said { stated, at, refused: decided.clone().err() });
        decided.map(|()| digest)
    }

    fn event(&self, ground: &Ground) -> Option<Digest> {
        let events = self.streams.get(&Stream::Agreement(ground.agreement.clone()))?;
        events.get(usize::try_from(ground.saw.sequence.checked_sub(1)?).ok()?).copied()
    }

    /// An organisation is there, with whoever has its key.
    pub(super) fn found(&mut self, organisation: &OrganisationName) -> Result<(), Refusal> {
        let office = MemberPath::office(organisation.clone());
        let key = key_of(organisation.as_str());
        let invitation = self.invitation(&MemberPath::operator(), &office);
        self.say(invitation.clone())?;
        let introduced = said::Organisation { made: self.made_by(&office), key };
        self.say_with(introduced, key)?;
        let join = self.join(&office, &invitation);
        let join_sha256 = self.say(join)?;
        let confirmation = self.confirmation(&office, &office, join_sha256);
        self.say_with(confirmation, key).map(|_| ())
    }

    /// A member is there, and if it was not before, it has joined and is confirmed.
    pub(super) fn arrives(&mut self, member: &MemberPath) -> Result<(), Refusal> {
        let organisation = &member.organisation;
        if self.states.organisation(organisation).is_none() {
            self.found(organisation)?;
        }
        let found = self.states.organisation(organisation);
        if found.and_then(|found| found.member(&member.name)).is_some() {
            return Ok(());
        }
        let office = MemberPath::office(organisation.clone());
        let invitation = self.invitation(&office, member);
        self.say(invitation.clone())?;
        let join = self.join(member, &invitation);
        let join_sha256 = self.say(join)?;
        let confirmation = self.confirmation(&office, member, join_sha256);
        self.say(confirmation).map(|_| ())
    }

    fn made_by(&mut self, by: &MemberPath) -> Made {
        Made { by: by.clone(), at: self.now, nonce: self.fresh(), log: log() }
    }

    fn ground(&self) -> Ground {
        let agreement = self.agreement.clone();
        let events = self.streams.get(&Stream::Agreement(agreement.clone()));
        let sequence = events.map_or(0, Vec::len) as u64;
        let commitment = events.and_then(|events| events.last().copied()).unwrap_or_default();
        let saw = Saw { sequence, commitment };
        Ground { agreement, saw, valid_until: self.now.after(VALIDITY) }
    }

    fn knowledge(&mut self) -> Knowledge {
        Knowledge { commitment: self.fresh(), response: self.fresh() }
    }

    fn evidence(&mut self, name: &'static str) -> Evidence {
        Evidence { name: Text::own(name), sha256: self.fresh(), size: 1_000 }
    }

    fn invitation(&mut self, by: &MemberPath, member: &MemberPath) -> said::Invitation {
        let (secret_sha256, expires_at) = (self.fresh(), self.now.after(VALIDITY));
        let (made, member) = (self.made_by(by), member.clone());
        said::Invitation { made, member, secret_sha256, expires_at }
    }

    fn join(&mut self, by: &MemberPath, invitation: &said::Invitation) -> said::Join {
        said::Join {
            made: self.made_by(by),
            secret_sha256: invitation.secret_sha256,
            key: key_of(&by.to_string()),
            age_recipient: Text::own(format!("age1 of {by}")),
            certificate_request_sha256: self.fresh(),
        }
    }

    fn confirmation(
        &mut self,
        by: &MemberPath,
        member: &MemberPath,
        join_sha256: Digest,
    ) -> said::Confirmation {
        let (made, administrator) = (self.made_by(by), by == member);
        said::Confirmation { made, member: member.clone(), join_sha256, administrator }
    }

    pub(super) fn revocation(
        &mut self,
        by: &MemberPath,
        member: &MemberPath,
        reason: Reason,
    ) -> said::Revocation {
        let organisation = self.states.organisation(&member.organisation);
        let found = organisation.and_then(|found| found.member(&member.name));
        let join_sha256 = found.map(|found| found.join_sha256).unwrap_or_default();
        said::Revocation { made: self.made_by(by), member: member.clone(), join_sha256, reason }
    }

    pub(super) fn revocation_notice(
        &mut self,
        by: &MemberPath,
        member: &MemberPath,
        revocation_sha256: Digest,
    ) -> said::RevocationNotice {
        let (made, ground, member) = (self.made_by(by), self.ground(), member.clone());
        said::RevocationNotice { made, ground, member, revocation_sha256 }
    }

    pub(super) fn proposal(&mut self, by: &MemberPath, terms: &Terms) -> said::Proposal {
        said::Proposal { made: self.made_by(by), terms: terms.clone() }
    }

    /// Shares go to the holders' offices.
    pub(super) fn release_key(&mut self, by: &MemberPath) -> said::ReleaseKey {
        let agreement = self.agreement();
        let holders = agreement.map(|it| it.terms.holder_organisations()).unwrap_or_default();
        let quorum = agreement.map_or(0, |it| it.terms.quorum);
        let terms_sha256 = agreement.map(|it| it.terms_sha256).unwrap_or_default();
        let holder = |(organisation, identifier)| Holder { organisation, identifier };
        let shares = holders.iter().cloned().map(MemberPath::office);
        let shares = shares.map(|member| SealedShare { member, sha256: self.fresh() }).collect();
        said::ReleaseKey {
            made: self.made_by(by),
            agreement: self.agreement.clone(),
            terms_sha256,
            epoch: 1,
            commitment: (0..quorum).map(|_| self.fresh()).collect(),
            holders: holders.into_iter().zip(1..).map(holder).collect(),
            shares,
        }
    }

    pub(super) fn acceptance(&mut self, by: &MemberPath) -> said::Acceptance {
        let (terms_sha256, release_key_sha256) = (self.terms_sha256(), self.release_key_sha256());
        let (made, ground) = (self.made_by(by), self.ground());
        said::Acceptance { made, ground, terms_sha256, release_key_sha256 }
    }

    fn terms_sha256(&self) -> Digest {
        self.agreement().map(|agreement| agreement.terms_sha256).unwrap_or_default()
    }

    fn release_key_sha256(&self) -> Digest {
        let key = self.agreement().and_then(|agreement| agreement.release_key.as_ref());
        key.map(|key| key.sha256).unwrap_or_default()
    }

    pub(super) fn amendment(&mut self, by: &MemberPath, terms: &Terms) -> said::Amendment {
        let amends_sha256 = self.terms_sha256();
        // Terms of fewer words than before stay in the language that the agreement is written in.
        let format = self.agreement().map(|it| it.terms.format).unwrap_or_default();
        let terms = Terms { format: format.max(terms.format), ..terms.clone() };
        said::Amendment { made: self.made_by(by), ground: self.ground(), amends_sha256, terms }
    }

    pub(super) fn countersignature(
        &mut self,
        by: &MemberPath,
        amendment_sha256: Digest,
    ) -> said::Countersignature {
        let (made, ground) = (self.made_by(by), self.ground());
        said::Countersignature { made, ground, amendment_sha256 }
    }

    pub(super) fn termination(&mut self, by: &MemberPath) -> said::Termination {
        said::Termination { made: self.made_by(by), ground: self.ground() }
    }

    pub(super) fn reminder(
        &mut self,
        by: &MemberPath,
        organisation: OrganisationName,
    ) -> said::Reminder {
        said::Reminder { made: self.made_by(by), ground: self.ground(), organisation }
    }

    pub(super) fn deposit(&mut self, by: &MemberPath, label: Text) -> said::Deposit {
        let sealing = Sealing::Escrow {
            proof: self.knowledge(),
            plaintext_sha256: self.fresh(),
            plaintext_size: 4_000,
        };
        said::Deposit {
            made: self.made_by(by),
            ground: self.ground(),
            release_key_sha256: self.release_key_sha256(),
            label,
            kind: Kind::Full,
            content: Content::Tar,
            sealing,
            size: 5_000,
            sha256: self.fresh(),
            header_size: 200,
            header_sha256: self.fresh(),
            ephemeral: self.fresh(),
        }
    }

    pub(super) fn request_of(
        &mut self,
        by: &MemberPath,
        id: &DepositId,
        rule: &RuleName,
        duty: Option<Duty>,
    ) -> said::Request {
        let deposit = self.states.deposit(id);
        let deposit_sha256 = deposit.map(|it| it.statement_sha256).unwrap_or_default();
        let bundle_sha256 = deposit.map(|it| it.statement.sha256).unwrap_or_default();
        let header_sha256 = deposit.map(|it| it.statement.header_sha256).unwrap_or_default();
        said::Request {
            made: self.made_by(by),
            ground: self.ground(),
            terms_sha256: self.terms_sha256(),
            release_key_sha256: self.release_key_sha256(),
            epoch: 1,
            deposit: id.clone(),
            deposit_sha256,
            bundle_sha256,
            header_sha256,
            rule: rule.clone(),
            purpose: Text::own("to see what the terms say"),
            evidence: Vec::new(),
            duty,
            point: self.fresh(),
            proof: self.knowledge(),
        }
    }

    pub(super) fn sight(&mut self, by: &MemberPath, request: &Request) -> said::Seen {
        let (made, ground) = (self.made_by(by), self.ground());
        said::Seen { made, ground, request: request.named() }
    }

    /// One thing said of a request.
    pub(super) fn saying(
        &mut self,
        by: &MemberPath,
        about: &Request,
        saying: &Saying,
    ) -> Statement {
        let (made, ground, request) = (self.made_by(by), self.ground(), about.named());
        match saying {
            Saying::Seen => said::Seen { made, ground, request }.into(),
            Saying::Stamped => {
                let at = self.now;
                said::TimeStamp { made, ground, request, at, token: Der::stand_in() }.into()
            }
            Saying::Notified => {
                let evidence = self.evidence("registered-letter.pdf");
                said::Notification { made, ground, request, evidence }.into()
            }
            Saying::Consent => said::Consent { made, ground, request }.into(),
            Saying::Contribution => {
                let (epoch, contribution_sha256) = (about.statement.epoch, self.fresh());
                said::Contribution { made, ground, request, epoch, contribution_sha256 }.into()
            }
            Saying::Objection => {
                let reason = Text::own("it is not so");
                said::Objection { made, ground, request, reason }.into()
            }
            Saying::Attestation(what) => {
                let (what, evidence) = (what.clone(), vec![self.evidence("ruling.pdf")]);
                said::Attestation { made, ground, request, what, evidence }.into()
            }
            Saying::Settlement(basis) => {
                let (basis, evidence) = (*basis, vec![self.evidence("award.pdf")]);
                said::Settlement { made, ground, request, basis, evidence }.into()
            }
            Saying::Withdrawal(withdrawn) => {
                let withdrawn = *withdrawn;
                said::Withdrawal { made, ground, request, withdrawn }.into()
            }
            Saying::Retrieval => said::Retrieval { made, ground, request }.into(),
            Saying::Acknowledgement(what) => {
                said::Acknowledgement { made, ground, request, what: *what }.into()
            }
        }
    }
}
