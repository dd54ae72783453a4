//! A vault in memory: streams, a clock moved by hand, and members who say things.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use crate::domain::der::Der;
use crate::domain::event::{ENGINE, Note};
use crate::domain::id::{
    AgreementId, Bytes, DepositId, Digest, MemberPath, OrganisationName, PublicKey, RequestId,
};
use crate::domain::refusal::Refusal;
use crate::domain::request::{Request, State};
use crate::domain::rules::{self, Circumstances};
use crate::domain::statement::{
    self as say, Acknowledged, Attested, Basis, Content, Duty, DutyKind, Evidence, Ground, Holder,
    Kind, Knowledge, Log, Made, RequestRef, Saw, SealedShare, Sealing, Stated, Statement,
    Withdrawn,
};
use crate::domain::states::{Key, Record, States};
use crate::domain::stream::Stream;
use crate::domain::terms::Terms;
use crate::domain::time::{Span, Timestamp};
pub(super) use crate::domain::walk::say::{key_of, unlike as bytes};

/// When a world begins.
pub(crate) const BEGINS: &str = "2026-03-02T09:00:00.000Z";
pub(super) const OPERATOR: &str = "operator/operator";
/// A member who has joined and was never confirmed; every organisation has one.
pub(super) const PENDING: &str = "pat";

pub(super) fn path(text: &str) -> MemberPath {
    text.parse().unwrap()
}

thread_local! {
    /// Who has spoken, and with which key: few people say a great many things.
    static VOICES: RefCell<HashMap<String, (MemberPath, PublicKey)>> = RefCell::default();
}

/// Who this is, and its key.
fn voice(by: &str) -> (MemberPath, PublicKey) {
    VOICES.with_borrow_mut(|known| {
        if let Some(known) = known.get(by) {
            return known.clone();
        }
        let voice = (path(by), key_of(by));
        known.entry(by.to_owned()).or_insert(voice).clone()
    })
}

pub(super) fn log() -> Log {
    static LOG: LazyLock<Log> =
        LazyLock::new(|| Log { origin: "vault.example/escrow".parse().unwrap(), generation: 1 });
    LOG.clone()
}

/// A request and the agreement it was made in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub agreement: AgreementId,
    pub request: RequestRef,
}

#[derive(Clone)]
pub(super) struct World {
    pub states: States,
    pub now: Timestamp,
    heads: BTreeMap<Stream, Vec<Digest>>,
    counter: u64,
}

impl World {
    /// A vault with these organisations and their members, the first of each its administrator.
    pub(super) fn of(organisations: &[(&str, &[&str])]) -> Self {
        let mut world = Self {
            states: States::default(),
            now: BEGINS.parse().unwrap(),
            heads: BTreeMap::new(),
            counter: 0,
        };
        let founded = Note::Founded {
            ledger_key: key_of("ledger"),
            operator_key: key_of(OPERATOR),
            ca_sha256: bytes("ca"),
        };
        world.note(&founded);
        for (organisation, members) in organisations {
            world.found(organisation, members);
        }
        world
    }

    fn found(&mut self, organisation: &str, members: &[&str]) {
        let (first, colleagues) = members.split_first().unwrap();
        let first = format!("{organisation}/{first}");
        let invitation = self.invitation(OPERATOR, &first);
        self.accept(invitation.clone());
        let introduced = self.organisation(&first);
        self.accept_as(introduced, key_of(organisation));
        let join = self.join(&first, &invitation);
        let joined = self.accept(join);
        let confirmation = self.confirmation(&first, &first, joined, true);
        self.accept_as(confirmation, key_of(organisation));
        for name in colleagues.iter().chain(&[PENDING]) {
            let colleague = format!("{organisation}/{name}");
            let invitation = self.invitation(&first, &colleague);
            self.accept(invitation.clone());
            let join = self.join(&colleague, &invitation);
            let joined = self.accept(join);
            if *name != PENDING {
                let confirmation = self.confirmation(&first, &colleague, joined, false);
                self.accept(confirmation);
            }
        }
    }

    /// Brings an agreement into force.
    pub(super) fn agree(&mut self, terms: &Terms) -> AgreementId {
        let (id, _) = self.propose(terms);
        for organisation in terms.organisations() {
            if Some(organisation) != terms.depositor() {
                let acceptance = self.acceptance(&self.first(organisation), &id);
                self.accept(acceptance);
            }
        }
        id
    }

    /// Terms and release key, not countersigned yet.
    pub(super) fn propose(&mut self, terms: &Terms) -> (AgreementId, Digest) {
        let proposer = self.first(terms.depositor().unwrap());
        let proposal = self.proposal(&proposer, terms);
        let id = AgreementId::of(&self.accept(proposal));
        let key = self.release_key(&proposer, &id);
        (id, self.accept(key))
    }

    /// Deposits a bundle.
    pub(super) fn store(&mut self, agreement: &AgreementId) -> DepositId {
        let depositor = self.states.agreement(agreement).unwrap().terms.depositor().unwrap();
        let depositor = self.first(&depositor.clone());
        let deposit = self.deposit(&depositor, agreement);
        DepositId::of(&self.accept(deposit))
    }

    /// Requests a deposit.
    pub(super) fn ask(&mut self, by: &str, deposit: &DepositId, rule: &str) -> Case {
        let request = self.request(by, deposit, rule);
        let agreement = request.ground.agreement.clone();
        let sha256 = self.accept(request);
        Case { agreement, request: RequestRef { id: RequestId::of(&sha256), sha256 } }
    }

    /// Says it with the member's own key, and is believed.
    #[track_caller]
    pub(super) fn accept(&mut self, statement: impl Into<Statement>) -> Digest {
        let stated = self.stated(statement);
        assert_eq!(self.submit(&stated), Ok(()), "{:?}", stated.statement);
        stated.digest
    }

    #[track_caller]
    pub(super) fn accept_as(&mut self, statement: impl Into<Statement>, key: PublicKey) -> Digest {
        let stated = Stated { key, ..self.stated(statement) };
        assert_eq!(self.submit(&stated), Ok(()), "{:?}", stated.statement);
        stated.digest
    }

    /// Says it with the member's own key, and learns whether it is believed.
    pub(super) fn try_say(&mut self, statement: impl Into<Statement>) -> Result<(), Refusal> {
        let stated = self.stated(statement);
        self.submit(&stated)
    }

    pub(super) fn try_say_as(
        &mut self,
        statement: impl Into<Statement>,
        key: PublicKey,
    ) -> Result<(), Refusal> {
        let stated = Stated { key, ..self.stated(statement) };
        self.submit(&stated)
    }

    pub(super) fn stated(&mut self, statement: impl Into<Statement>) -> Stated {
        let statement = statement.into();
        let (_, key) = voice(&statement.made().by.to_string());
        Stated { statement, digest: self.fresh(), key }
    }

    /// Decides, and applies what was accepted.
    pub(super) fn submit(&mut self, stated: &Stated) -> Result<(), Refusal> {
        rules::decide(&self.states, stated, &self.circumstances(stated))?;
        self.enter(stated);
        Ok(())
    }

    /// Applies what was accepted.
    pub(super) fn enter(&mut self, stated: &Stated) {
        let stream = rules::stream(stated);
        let commitment = self.fresh();
        let events = self.heads.entry(stream).or_default();
        events.push(commitment);
        rules::apply(&mut self.states, stated, self.now, events.len() as u64);
    }

    pub(super) fn circumstances(&self, stated: &Stated) -> Circumstances {
        let event = |ground: &Ground| {
            let events = self.heads.get(&Stream::Agreement(ground.agreement.clone()))?;
            events.get(usize::try_from(ground.saw.sequence.checked_sub(1)?).unwrap()).copied()
        };
        let saw = stated.statement.ground().and_then(event);
        Circumstances { log: log(), engine: ENGINE, now: self.now, saw }
    }

    pub(super) fn note(&mut self, note: &Note) {
        rules::apply_note(&mut self.states, note, self.now, 0);
    }

    pub(super) fn pass(&mut self, span: Span) {
        self.now = self.now.after(span);
    }

    pub(super) fn seen(&self, case: &Case) -> &Request {
        self.states.request(&case.request.id).unwrap()
    }

    /// The request as it is to be judged.
    pub(super) fn judged(&self, case: &Case) -> Request {
        rules::judged(&self.states, self.seen(case))
    }

    pub(super) fn state(&self, case: &Case) -> State {
        rules::as_judged(&self.states, self.seen(case)).state(self.now)
    }

    /// Every record, to be compared.
    pub(super) fn records(&self) -> Vec<(Key, Record)> {
        self.states.iter().map(|(key, record)| (key.clone(), record.clone())).collect()
    }

    /// Where the agreement's stream stood at this event.
    pub(super) fn saw(&self, agreement: &AgreementId, sequence: u64) -> Saw {
        let events = &self.heads[&Stream::Agreement(agreement.clone())];
        Saw { sequence, commitment: events[usize::try_from(sequence).unwrap() - 1] }
    }

    /// The organisation's first confirmed member by name.
    pub(super) fn first(&self, organisation: &OrganisationName) -> String {
        let found = self.states.organisation(organisation).unwrap();
        let (name, _) = found.active_members().next().unwrap();
        format!("{organisation}/{name}")
    }

    /// The same bytes never come twice: their first eight are another number each time.
    pub(super) fn fresh<const N: usize>(&mut self) -> Bytes<N> {
        self.counter += 1;
        let number = self.counter.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let mut filled = [0xa5; N];
        filled[..8].copy_from_slice(&number);
        Bytes(filled)
    }
}

/// What members say, true in every field.
impl World {
    pub(super) fn made(&mut self, by: &str) -> Made {
        Made { by: voice(by).0, at: self.now, nonce: self.fresh(), log: log() }
    }

    pub(super) fn ground(&self, agreement: &AgreementId) -> Ground {
        let events = self.heads.get(&Stream::Agreement(agreement.clone()));
        let sequence = events.map_or(1, Vec::len) as u64;
        let commitment = events.and_then(|events| events.last().copied()).unwrap_or_default();
        Ground {
            agreement: agreement.clone(),
            saw: Saw { sequence, commitment },
            valid_until: self.now.after(Span::days(1)),
        }
    }

    fn knowledge(&mut self) -> Knowledge {
        Knowledge { commitment: self.fresh(), response: self.fresh() }
    }

    pub(super) fn invitation(&mut self, by: &str, member: &str) -> say::Invitation {
        let expires_at = self.now.after(Span::days(7));
        let secret_sha256 = self.fresh();
        say::Invitation { made: self.made(by), member: path(member), secret_sha256, expires_at }
    }

    pub(super) fn organisation(&mut self, by: &str) -> say::Organisation {
        say::Organisation { made: self.made(by), key: key_of(path(by).organisation.as_str()) }
    }

    pub(super) fn join(&mut self, by: &str, invitation: &say::Invitation) -> say::Join {
        say::Join {
            made: self.made(by),
            secret_sha256: invitation.secret_sha256,
            key: key_of(by),
            age_recipient: format!("age1 of {by}").parse().unwrap(),
            certificate_request_sha256: self.fresh(),
        }
    }

    pub(super) fn confirmation(
        &mut self,
        by: &str,
        member: &str,
        join_sha256: Digest,
        administrator: bool,
    ) -> say::Confirmation {
        say::Confirmation { made: self.made(by), member: path(member), join_sha256, administrator }
    }

    pub(super) fn revocation(
        &mut self,
        by: &str,
        member: &str,
        reason: say::Reason,
    ) -> say::Revocation {
        let organisation = self.states.organisation(&path(member).organisation);
        let found = organisation.and_then(|found| found.member(&path(member).name));
        let join_sha256 = found.map(|found| found.join_sha256).unwrap_or_default();
        say::Revocation { made: self.made(by), member: path(member), join_sha256, reason }
    }

    pub(super) fn revocation_notice(
        &mut self,
        by: &str,
        id: &AgreementId,
        member: &str,
        revocation_sha256: Digest,
    ) -> say::RevocationNotice {
        let (made, ground) = (self.made(by), self.ground(id));
        say::RevocationNotice { made, ground, member: path(member), revocation_sha256 }
    }

    pub(super) fn renewal(&mut self, by: &str) -> say::Renewal {
        say::Renewal { made: self.made(by), certificate_request_sha256: self.fresh() }
    }

    pub(super) fn registration(&mut self, by: &str) -> say::Registration {
        let (made, sha256) = (self.made(by), self.fresh());
        say::Registration { made, label: "lab notebook".parse().unwrap(), size: 6_000, sha256 }
    }

    pub(super) fn proposal(&mut self, by: &str, terms: &Terms) -> say::Proposal {
        say::Proposal { made: self.made(by), terms: terms.clone() }
    }

    pub(super) fn release_key(&mut self, by: &str, id: &AgreementId) -> say::ReleaseKey {
        let agreement = self.states.agreement(id).unwrap().clone();
        let organisations = agreement.terms.holder_organisations();
        let members: Vec<_> = organisations.iter().map(|who| path(&self.first(who))).collect();
        let holder = |(organisation, identifier)| Holder { organisation, identifier };
        say::ReleaseKey {
            made: self.made(by),
            agreement: id.clone(),
            terms_sha256: agreement.terms_sha256,
            epoch: 1,
            commitment: (0..agreement.terms.quorum).map(|_| self.fresh()).collect(),
            holders: organisations.into_iter().zip(1..).map(holder).collect(),
            shares: members.into_iter().map(|member| self.share(member)).collect(),
        }
    }

    fn share(&mut self, member: MemberPath) -> SealedShare {
        SealedShare { member, sha256: self.fresh() }
    }

    pub(super) fn acceptance(&mut self, by: &str, id: &AgreementId) -> say::Acceptance {
        let agreement = self.states.agreement(id);
        let terms_sha256 = agreement.map(|agreement| agreement.terms_sha256);
        let key = agreement.and_then(|agreement| Some(agreement.release_key.as_ref()?.sha256));
        say::Acceptance {
            made: self.made(by),
            ground: self.ground(id),
            terms_sha256: terms_sha256.unwrap_or_default(),
            release_key_sha256: key.unwrap_or_default(),
        }
    }

    pub(super) fn declination(&mut self, by: &str, id: &AgreementId) -> say::Declination {
        say::Declination { made: self.made(by), ground: self.ground(id) }
    }

    pub(super) fn amendment(
        &mut self,
        by: &str,
        id: &AgreementId,
        terms: &Terms,
    ) -> say::Amendment {
        let amends_sha256 = self.states.agreement(id).map(|agreement| agreement.terms_sha256);
        let (made, ground) = (self.made(by), self.ground(id));
        let amends_sha256 = amends_sha256.unwrap_or_default();
        say::Amendment { made, ground, amends_sha256, terms: terms.clone() }
    }

    pub(super) fn countersignature(
        &mut self,
        by: &str,
        id: &AgreementId,
        amendment_sha256: Digest,
    ) -> say::Countersignature {
        say::Countersignature { made: self.made(by), ground: self.ground(id), amendment_sha256 }
    }

    pub(super) fn termination(&mut self, by: &str, id: &AgreementId) -> say::Termination {
        say::Termination { made: self.made(by), ground: self.ground(id) }
    }

    pub(super) fn resumption(&mut self, by: &str, id: &AgreementId) -> say::Resumption {
        say::Resumption { made: self.made(by), ground: self.ground(id) }
    }

    pub(super) fn reseal(&mut self, by: &str, id: &AgreementId, to: &str) -> say::Reseal {
        let share = self.share(path(to));
        say::Reseal { made: self.made(by), ground: self.ground(id), epoch: 1, share }
    }

    pub(super) fn deposit(&mut self, by: &str, id: &AgreementId) -> say::Deposit {
        let key = self.states.agreement(id).and_then(|a| Some(a.release_key.as_ref()?.sha256));
        let sealing = Sealing::Escrow {
            proof: self.knowledge(),
            plaintext_sha256: self.fresh(),
            plaintext_size: 4_000,
        };
        say::Deposit {
            made: self.made(by),
            ground: self.ground(id),
            release_key_sha256: key.unwrap_or_default(),
            label: "line 7".parse().unwrap(),
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

    pub(super) fn request(&mut self, by: &str, id: &DepositId, rule: &str) -> say::Request {
        let deposit = self.states.deposit(id).unwrap().clone();
        let agreement = self.states.agreement(&deposit.agreement).unwrap();
        let terms_sha256 = agreement.terms_sha256;
        let name_of_rule = rule.parse().unwrap();
        let rule = agreement.terms.rule(&name_of_rule).cloned();
        let name = "findings.pdf".parse().unwrap();
        let duty = Duty { kind: DutyKind::Destroy, by: self.now.after(Span::days(90)) };
        say::Request {
            made: self.made(by),
            ground: self.ground(&deposit.agreement),
            terms_sha256,
            release_key_sha256: deposit.statement.release_key_sha256,
            epoch: 1,
            deposit: id.clone(),
            deposit_sha256: deposit.statement_sha256,
            bundle_sha256: deposit.statement.sha256,
            header_sha256: deposit.statement.header_sha256,
            rule: name_of_rule,
            purpose: "audit of line 7".parse().unwrap(),
            evidence: vec![Evidence { name, sha256: self.fresh(), size: 10 }],
            duty: rule.is_none_or(|rule| rule.duty.is_none()).then_some(duty),
            point: self.fresh(),
            proof: self.knowledge(),
        }
    }

    pub(super) fn consent(&mut self, by: &str, case: &Case) -> say::Consent {
        let (made, ground) = (self.made(by), self.ground(&case.agreement));
        say::Consent { made, ground, request: case.request.clone() }
    }

    pub(super) fn contribution(&mut self, by: &str, case: &Case) -> say::Contribution {
        let (made, ground) = (self.made(by), self.ground(&case.agreement));
        let (request, contribution_sha256) = (case.request.clone(), self.fresh());
        say::Contribution { made, ground, request, epoch: 1, contribution_sha256 }
    }

    pub(super) fn sight(&mut self, by: &str, case: &Case) -> say::Seen {
        let (made, ground) = (self.made(by), self.ground(&case.agreement));
        say::Seen { made, ground, request: case.request.clone() }
    }

    pub(super) fn notification(&mut self, by: &str, case: &Case) -> say::Notification {
        let (made, ground) = (self.made(by), self.ground(&case.agreement));
        let name = "registered-letter.pdf".parse().unwrap();
        let evidence = Evidence { name, sha256: self.fresh(), size: 10 };
        say::Notification { made, ground, request: case.request.clone(), evidence }
    }

    pub(super) fn objection(&mut self, by: &str, case: &Case) -> say::Objection {
        let (made, ground) = (self.made(by), self.ground(&case.agreement));
        let reason = "no such event".parse().unwrap();
        say::Objection { made, ground, request: case.request.clone(), reason }
    }

    pub(super) fn reminder(&mut self, by: &str, id: &AgreementId, of: &str) -> say::Reminder {
        let organisation = of.parse().unwrap();
        say::Reminder { made: self.made(by), ground: self.ground(id), organisation }
    }

    pub(super) fn attestation(
        &mut self,
        by: &str,
        case: &Case,
        what: &Attested,
    ) -> say::Attestation {
        let (made, ground) = (self.made(by), self.ground(&case.agreement));
        let name = "court-register.pdf".parse().unwrap();
        let evidence = vec![Evidence { name, sha256: self.fresh(), size: 10 }];
        let (request, what) = (case.request.clone(), what.clone());
        say::Attestation { made, ground, request, what, evidence }
    }

    pub(super) fn settlement(&mut self, by: &str, case: &Case, basis: Basis) -> say::Settlement {
        let (made, ground) = (self.made(by), self.ground(&case.agreement));
        let name = "award.pdf".parse().unwrap();
        let evidence = vec![Evidence { name, sha256: self.fresh(), size: 10 }];
        say::Settlement { made, ground, request: case.request.clone(), basis, evidence }
    }

    pub(super) fn withdrawal(
        &mut self,
        by: &str,
        case: &Case,
        withdrawn: Withdrawn,
    ) -> say::Withdrawal {
        let (made, ground) = (self.made(by), self.ground(&case.agreement));
        say::Withdrawal { made, ground, request: case.request.clone(), withdrawn }
    }

    pub(super) fn retrieval(&mut self, by: &str, case: &Case) -> say::Retrieval {
        let (made, ground) = (self.made(by), self.ground(&case.agreement));
        say::Retrieval { made, ground, request: case.request.clone() }
    }

    pub(super) fn acknowledgement(
        &mut self,
        by: &str,
        case: &Case,
        what: Acknowledged,
    ) -> say::Acknowledgement {
        let (made, ground) = (self.made(by), self.ground(&case.agreement));
        say::Acknowledgement { made, ground, request: case.request.clone(), what }
    }

    /// Time-stamped now. What the token says is checked elsewhere.
    pub(super) fn time_stamp(&mut self, by: &str, case: &Case) -> say::TimeStamp {
        let (made, ground) = (self.made(by), self.ground(&case.agreement));
        let token = Der::new(vec![0x30, 0x00]).unwrap();
        say::TimeStamp { made, ground, request: case.request.clone(), at: self.now, token }
    }
}
