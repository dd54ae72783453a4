//! Records as commands put them out: the fields scripts may rely on, and their text for people.

mod amendment;
mod export;
mod proved;
mod registration;
mod request;
mod terms;

pub use amendment::{AmendmentView, changes, changes_text};
pub use export::{Compared, ExportView};
pub use proved::{ProvedView, seen_by};
pub use registration::RegistrationView;
pub use request::{DutyView, RequestView, document, duty_text, may_object_text};
pub use terms::{RuleView, TimeStampsView, terms_text};

use serde::Serialize;

use crate::cli::output::{fields, size};
use crate::client::acts::agreement::key_fingerprint;
use crate::client::acts::amendment::Pending;
use crate::client::error::ClientError;
use crate::client::home::Home;
use crate::client::session;
use crate::crypto::proofs;
use crate::domain::agreement::{self, Phase};
use crate::domain::calendar::Calendar;
use crate::domain::deposit;
use crate::domain::id::{
    AgreementId, DepositId, Digest, MemberId, MemberPath, OrganisationName, Role, RuleName,
};
use crate::domain::organisation::{Invited, Member, Organisation, Standing};
use crate::domain::outlook::{self, Coming};
use crate::domain::statement::{Content, Kind, Log, Sealing};
use crate::domain::stream::Stream;
use crate::domain::text::Text;
use crate::domain::time::Timestamp;
use crate::domain::trigger::Unmet;

/// An agreement.
#[derive(Debug, Serialize)]
pub struct AgreementView {
    id: AgreementId,
    title: Text,
    version: u32,
    sha256: Digest,
    state: &'static str,
    suspended: bool,
    recipient: Option<String>,
    quorum: u16,
    stock_age: bool,
    contract_sha256: Option<Digest>,
    parties: Vec<PartyView>,
    rules: Vec<RuleView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amend: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    term: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calendar: Option<Calendar>,
    #[serde(skip)]
    amended: Vec<(&'static str, String)>,
    time_stamps: Option<TimeStampsView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    amendments: Vec<AmendmentView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    untriggered: Vec<UntriggeredView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    next: Vec<Coming>,
    proposed_by: MemberPath,
    proposed_at: Timestamp,
}

/// A rule under which nobody may request yet.
#[derive(Debug, Serialize)]
struct UntriggeredView {
    rule: RuleName,
    missing: Vec<Unmet>,
}

impl UntriggeredView {
    fn text(&self) -> String {
        not_yet_text(&self.rule, &self.missing)
    }
}

/// What a rule waits for before anybody can request under it.
pub fn not_yet_text(rule: &RuleName, missing: &[Unmet]) -> String {
    let missing = missing.iter().map(ToString::to_string).collect::<Vec<_>>();
    format!("rule {rule}; it takes {}", missing.join("; "))
}

/// A party of an agreement.
#[derive(Debug, Serialize)]
pub struct PartyView {
    role: Role,
    organisation: OrganisationName,
    fingerprint: Option<String>,
    holder: bool,
    state: &'static str,
}

impl AgreementView {
    /// In one line, for people.
    pub fn line(&self) -> String {
        format!("{} \"{}\", {}", self.id, self.title, self.state_text())
    }

    fn state_text(&self) -> String {
        match self.suspended {
            true => format!("{}, suspended until every party has run `escrow resume`", self.state),
            false => self.state.to_owned(),
        }
    }

    /// An agreement as it is believed. The recipient is computed from the commitment.
    pub fn new(agreement: &agreement::Agreement, log: &Log) -> Self {
        let terms = &agreement.terms;
        let party = |role: &Role, organisation: &OrganisationName| PartyView {
            role: role.clone(),
            organisation: organisation.clone(),
            fingerprint: terms.fingerprints.get(organisation).map(ToString::to_string),
            holder: terms.is_holder(organisation),
            state: match agreement.phase {
                Phase::Proposed | Phase::Active { .. }
                    if agreement.terminated.contains_key(organisation) =>
                {
                    "terminating"
                }
                Phase::Terminated { .. } => "terminated",
                Phase::Declined { ref by, .. } if by == organisation => "declined",
                Phase::Proposed | Phase::Active { .. } | Phase::Declined { .. } => {
                    match agreement.accepted.contains_key(organisation) {
                        true => "accepted",
                        false => "awaited",
                    }
                }
            },
        };
        let parties = terms.parties.iter();
        Self {
            id: agreement.id.clone(),
            title: terms.title.clone(),
            version: agreement.version,
            sha256: agreement.terms_sha256,
            state: agreement.phase.word(),
            suspended: agreement.goes_on_in(log.generation).is_err(),
            recipient: proofs::release_key(agreement).ok().map(|key| key.recipient()),
            quorum: terms.quorum,
            stock_age: terms.stock_age,
            contract_sha256: terms.contract_sha256,
            parties: parties.flat_map(|(role, who)| who.iter().map(|o| party(role, o))).collect(),
            rules: terms.rules.iter().map(RuleView::new).collect(),
            amend: terms.amend.as_ref().map(ToString::to_string),
            term: terms.term,
            amended: terms::amended_text(terms),
            calendar: terms.calendar.clone(),
            time_stamps: terms.time_stamps.as_ref().map(TimeStampsView::new),
            amendments: Vec::new(),
            untriggered: Vec::new(),
            next: Vec::new(),
            proposed_by: agreement.proposer.clone(),
            proposed_at: agreement.proposed_at,
        }
    }

    /// With the amendments that wait for signatures, what has not happened yet so that nobody may
    /// request, and what happens by itself.
    pub fn standing(
        self,
        agreement: &agreement::Agreement,
        pending: &[Pending],
        now: Timestamp,
    ) -> Self {
        let untriggered = outlook::openings(agreement, now).into_iter();
        let untriggered = untriggered
            .map(|opening| UntriggeredView { rule: opening.rule, missing: opening.missing });
        Self {
            amendments: pending.iter().map(|it| AmendmentView::new(agreement, it)).collect(),
            untriggered: untriggered.filter(|it| !it.missing.is_empty()).collect(),
            next: outlook::ahead(agreement, now),
            ..self
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let party = |p: &PartyView| {
            let share = if p.holder { ", holds a share" } else { "" };
            let fingerprint = p.fingerprint.as_deref().unwrap_or_default();
            format!("{} as {}{share}: {}\n    {fingerprint}", p.organisation, p.role, p.state)
        };
        let parties = self.parties.iter().map(party).collect::<Vec<_>>().join("\n");
        let rules = self.rules.iter().map(RuleView::text).collect::<Vec<_>>().join("\n");
        let mut pairs = vec![
            ("agreement", self.id.to_string()),
            ("title", self.title.to_string()),
            ("state", self.state_text()),
            ("proposed", format!("{} by {}", self.proposed_at, self.proposed_by)),
            ("terms", format!("version {}, SHA-256 {}", self.version, self.sha256)),
        ];
        if let Some(contract) = &self.contract_sha256 {
            pairs.push(("contract", format!("SHA-256 {contract}")));
        }
        pairs.extend([
            ("parties", parties),
            ("shares", terms::shares_text(self.quorum)),
            ("bundles", terms::origin_text(self.stock_age)),
            ("recipient", self.recipient.clone().unwrap_or_default()),
            ("rules", rules),
        ]);
        pairs.extend(self.amended.iter().cloned());
        let working_days = self.calendar.iter().map(terms::calendar_text);
        pairs.extend(working_days.map(|text| ("working days", text)));
        pairs.extend(self.time_stamps.iter().map(|pinned| ("time-stamps", pinned.text())));
        pairs.extend(self.untriggered.iter().map(|it| ("not yet open", it.text())));
        let next = self.next.iter().map(|it| format!("{}: {}", it.at, it.what));
        let next = next.collect::<Vec<_>>();
        if !next.is_empty() {
            pairs.push(("next", next.join("\n")));
        }
        pairs.extend(self.amendments.iter().map(|it| ("amendment", it.text())));
        fields(&pairs)
    }

    /// For a table.
    pub fn row(&self) -> Vec<String> {
        let own = |p: &PartyView| format!("{} ({})", p.organisation, p.state);
        let parties = self.parties.iter().map(own).collect::<Vec<_>>().join(", ");
        vec![self.id.to_string(), self.state.to_owned(), self.title.to_string(), parties]
    }
}

/// A deposit.
#[derive(Debug, Serialize)]
pub struct DepositView {
    id: DepositId,
    agreement: AgreementId,
    label: Text,
    kind: Kind,
    content: Content,
    sealed_by: &'static str,
    member: MemberPath,
    size: u64,
    sha256: Digest,
    header_sha256: Digest,
    state: &'static str,
    deposited_at: Timestamp,
}

impl DepositView {
    /// A deposit as it is believed.
    pub fn new(deposit: &deposit::Deposit) -> Self {
        let stated = &deposit.statement;
        Self {
            id: deposit.id.clone(),
            agreement: deposit.agreement.clone(),
            label: stated.label.clone(),
            kind: stated.kind,
            content: stated.content,
            sealed_by: sealed_by(&stated.sealing),
            member: stated.made.by.clone(),
            size: stated.size,
            sha256: stated.sha256,
            header_sha256: stated.header_sha256,
            state: deposit.condition.word(),
            deposited_at: deposit.deposited_at,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let content = match self.content {
            Content::Tar => "files and directories (tar)",
            Content::Opaque => "one file",
        };
        let sealed = match self.sealed_by {
            "escrow" => "by escrow, origin proved",
            _ => "elsewhere, origin unproven",
        };
        fields(&[
            ("deposit", self.id.to_string()),
            ("agreement", self.agreement.to_string()),
            ("label", self.label.to_string()),
            ("state", self.state.to_owned()),
            ("deposited", format!("{} by {}", self.deposited_at, self.member)),
            ("content", content.to_owned()),
            ("sealed", sealed.to_owned()),
            ("size", format!("{} ({} bytes)", size(self.size), self.size)),
            ("SHA-256", self.sha256.to_string()),
            ("header", format!("SHA-256 {}", self.header_sha256)),
        ])
    }

    /// For a table.
    pub fn row(&self) -> Vec<String> {
        let (id, at) = (self.id.to_string(), self.deposited_at.to_string());
        vec![id, self.state.to_owned(), size(self.size), at, self.label.to_string()]
    }
}

fn sealed_by(sealing: &Sealing) -> &'static str {
    match sealing {
        Sealing::Escrow { .. } => "escrow",
        Sealing::Elsewhere => "elsewhere",
    }
}

/// A member, and who this home belongs to.
#[derive(Debug, Serialize)]
pub struct MemberView {
    id: Option<MemberId>,
    organisation: OrganisationName,
    organisation_fingerprint: Option<String>,
    organisation_trusted: bool,
    name: String,
    state: &'static str,
    administrator: Option<bool>,
    fingerprint: Option<String>,
    age_recipient: Option<Text>,
    joined_at: Option<Timestamp>,
    invitation_expires_at: Option<Timestamp>,
    certificate_expires_at: Option<Timestamp>,
}

impl MemberView {
    /// A member as it is believed.
    pub fn new(
        organisation: &Organisation,
        name: &str,
        member: &Member,
        trusted: bool,
        certificate_expires_at: Option<Timestamp>,
    ) -> Self {
        let (state, administrator) = match member.standing {
            Standing::Pending => ("invited", false),
            Standing::Active { administrator, .. } => ("active", administrator),
            Standing::Revoked { .. } => ("revoked", false),
        };
        Self {
            id: Some(member.id.clone()),
            organisation: organisation.name.clone(),
            organisation_fingerprint: organisation.key.as_ref().map(key_fingerprint),
            organisation_trusted: trusted,
            name: name.to_owned(),
            state,
            administrator: Some(administrator),
            fingerprint: Some(key_fingerprint(&member.key)),
            age_recipient: Some(member.age_recipient.clone()),
            joined_at: Some(member.joined_at),
            invitation_expires_at: None,
            certificate_expires_at,
        }
    }

    /// Somebody for whom the door stands open.
    pub fn awaited(organisation: &Organisation, invited: &Invited, trusted: bool) -> Self {
        Self {
            id: None,
            organisation: organisation.name.clone(),
            organisation_fingerprint: organisation.key.as_ref().map(key_fingerprint),
            organisation_trusted: trusted,
            name: invited.name.to_string(),
            state: "invited",
            administrator: None,
            fingerprint: None,
            age_recipient: None,
            joined_at: None,
            invitation_expires_at: Some(invited.expires_at),
            certificate_expires_at: None,
        }
    }

    /// Who a home belongs to, by nothing but what is in it.
    pub fn at_home(home: &Home) -> Result<Self, ClientError> {
        let (owner, keys) = (home.owner()?, home.keys()?);
        let own = owner.path.organisation;
        let pinned = home.pins()?.get(&own).copied();
        Ok(Self {
            id: owner.id,
            organisation: own,
            organisation_fingerprint: pinned.map(|fingerprint| fingerprint.to_string()),
            organisation_trusted: true,
            name: owner.path.name.to_string(),
            state: "not checked",
            administrator: None,
            fingerprint: Some(key_fingerprint(&keys.statement.public())),
            age_recipient: keys.age.to_public().to_string().parse().ok(),
            joined_at: None,
            invitation_expires_at: None,
            certificate_expires_at: Some(session::expires_at(&home.certificate()?)?),
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        let state = match (self.state, self.administrator) {
            ("active", Some(true)) => "active, administrator",
            ("invited", _) => "joined, waits for a colleague to confirm the member fingerprint",
            (state, _) => state,
        };
        let mut pairs = vec![
            ("member", format!("{}/{}", self.organisation, self.name)),
            ("state", state.to_owned()),
            ("member fingerprint", or_none(&self.fingerprint)),
            ("organisation fingerprint", or_none(&self.organisation_fingerprint)),
        ];
        if let Some(recipient) = &self.age_recipient {
            pairs.push(("age recipient", recipient.to_string()));
        }
        if let Some(at) = self.certificate_expires_at {
            pairs.push(("certificate expires", at.to_string()));
        }
        fields(&pairs)
    }

    /// For a table.
    pub fn row(&self) -> Vec<String> {
        let note = match (self.state, self.administrator) {
            ("active", Some(true)) => "administrator",
            ("invited", _) if self.joined_at.is_none() => "not joined yet",
            ("invited", _) => "not confirmed yet",
            _ => "",
        };
        vec![
            format!("{}/{}", self.organisation, self.name),
            self.state.to_owned(),
            note.to_owned(),
            self.fingerprint.clone().unwrap_or_default(),
        ]
    }
}

/// One line of an audit.
#[derive(Debug, Serialize)]
pub struct AuditView {
    /// In which stream: the agreement's, or that of accesses to it.
    pub stream: Stream,
    /// Number in that stream.
    pub sequence: u64,
    /// When, by the vault's time.
    pub at: Timestamp,
    /// What happened, in one word that stays.
    pub kind: &'static str,
    /// Who did it.
    pub member: Option<MemberPath>,
    /// Whose member that is.
    pub organisation: Option<OrganisationName>,
    /// To what.
    pub subject: String,
    /// What became of it.
    pub outcome: &'static str,
    /// Digest of the member's statement.
    pub statement_sha256: Option<Digest>,
    /// Of an attempt that was refused: what it was, and why not.
    #[serde(flatten)]
    pub refused: Option<RefusedView>,
    /// Of a request under a duty: where that stands now, by this computer's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duty: Option<DutyView>,
}

/// What somebody tried, and the code of its refusal.
#[derive(Debug, Serialize)]
pub struct RefusedView {
    /// What was tried, in one word: a type of statement, or a way to look.
    pub attempt: String,
    /// Digest of the statement that was not accepted, if it was one.
    pub attempt_sha256: Option<Digest>,
    /// The refusal's code.
    pub code: String,
}

impl AuditView {
    /// Who did it and when, for people.
    pub fn deed(&self) -> String {
        let by = self.member.as_ref().map(|member| format!("{member} ")).unwrap_or_default();
        format!("{by}{} at {}", self.kind.replace('_', " "), self.at)
    }

    /// For a table.
    pub fn row(&self) -> Vec<String> {
        let member = self.member.as_ref().map(ToString::to_string).unwrap_or_default();
        let words = |name: &str| name.replace('_', " ");
        let tried = self.refused.as_ref();
        let tried = tried.map(|tried| format!(": {} ({})", words(&tried.attempt), tried.code));
        let what = format!("{}{}", words(self.kind), tried.unwrap_or_default());
        vec![self.at.to_string(), what, member, self.subject.clone()]
    }
}
