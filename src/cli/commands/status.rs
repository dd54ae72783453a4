//! `status`: whether everything is in order, and what waits for somebody.

use std::time::SystemTime;

use serde::Serialize;

use crate::cli::commands::release::every_request;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, count, fields};
use crate::cli::view::may_object_text;
use crate::client::acts::amendment;
use crate::client::acts::identity::{self, Untold};
use crate::client::mirror::log_key;
use crate::client::session::{self, SKEW_MAX, Session};
use crate::crypto::signature;
use crate::domain::agreement::Agreement;
use crate::domain::id::{AgreementId, Digest, MemberName, MemberPath, RequestId};
use crate::domain::organisation::{Member, Organisation, Standing};
use crate::domain::outlook::{Wanted, wanted};
use crate::domain::statement::Reason;
use crate::domain::time::Timestamp;
use crate::domain::trigger::Reminded;

#[derive(Serialize)]
struct StatusView {
    address: String,
    origin: String,
    generation: u32,
    log_key: String,
    member: MemberPath,
    state: &'static str,
    only_administrator: bool,
    agreements: usize,
    proposed: usize,
    waiting_for_me: usize,
    to_attest: Vec<RequestId>,
    to_review: Vec<RequestId>,
    to_settle: Vec<RequestId>,
    to_countersign: Vec<AgreementId>,
    reminded: Vec<RemindedView>,
    may_object: Vec<MayObject>,
    untold: Vec<UntoldView>,
    holds_organisation_key: bool,
    to_confirm: Vec<MemberPath>,
    to_reseal: Vec<AgreementId>,
    certificate_expires_at: Timestamp,
    ca_sha256: Digest,
    ca_expires_at: Timestamp,
    next_ca_sha256: Option<Digest>,
    next_ca_expires_at: Option<Timestamp>,
}

/// A request that the member's organisation may object to.
#[derive(Serialize)]
struct MayObject {
    request: RequestId,
    /// Until when for sure; `None` where that can be over at any moment.
    until: Option<Timestamp>,
}

/// An agreement in which the organisation was reminded since it signed something last.
#[derive(Serialize)]
struct RemindedView {
    agreement: AgreementId,
    times: u16,
    last_at: Timestamp,
}

/// A revocation that some agreements' parties have not been told of.
#[derive(Serialize)]
struct UntoldView {
    member: MemberPath,
    agreements: Vec<AgreementId>,
    command: String,
}

impl From<Untold> for UntoldView {
    fn from(untold: Untold) -> Self {
        let Untold { member, reason, agreements } = untold;
        let reason = match reason {
            Reason::Left => "--left".to_owned(),
            Reason::CompromisedSince(since) => format!("--compromised-since {since}"),
        };
        let command = format!("escrow revoke {member} {reason}");
        Self { member, agreements, command }
    }
}

/// `escrow status`
pub(super) async fn status(output: &Output, session: &mut Session) -> Result<Exit, Failure> {
    let (owner, vault) = (session.owner.path.clone(), session.vault.clone());
    let certificate_expires_at = session::expires_at(&session.home.certificate()?)?;
    let organisation = match owner == MemberPath::operator() {
        true => None,
        false => Some(session.own_organisation().await?),
    };
    let own = organisation.as_ref().and_then(|organisation| organisation.member(&owner.name));
    let is_active = own.is_some_and(Member::is_active);
    let colleagues = organisation.as_ref().filter(|_| own.is_some_and(Member::is_administrator));
    let agreements = if is_active { session.agreements().await? } else { Vec::new() };
    let proposed = agreements
        .iter()
        .filter(|agreement| agreement.awaited().any(|who| *who == owner.organisation))
        .filter(|agreement| agreement.is_proposed().is_ok())
        .count();
    let lacks_shares = |agreement: &&Agreement| {
        organisation.as_ref().is_some_and(|own| is_to_reseal(agreement, own, &owner))
    };
    if let Some(skew) = session.clock_skew().filter(|skew| *skew > SKEW_MAX) {
        output.warn(format!(
            "this computer's clock and the vault's are {skew} apart; set yours, or ask the operator"
        ));
    }
    let now = Timestamp::from(SystemTime::now());
    let (mut waiting_for_me, mut may_object) = (0, Vec::new());
    let (mut to_attest, mut to_review, mut to_settle) = (Vec::new(), Vec::new(), Vec::new());
    for request in every_request(session) {
        let wanted = wanted(&request, &owner, now);
        waiting_for_me += usize::from(wanted.is_some_and(|wanted| wanted != Wanted::MayObject));
        match wanted {
            Some(Wanted::Attest) => to_attest.push(request.id),
            Some(Wanted::Review) => to_review.push(request.id),
            Some(Wanted::Settle) => to_settle.push(request.id),
            Some(Wanted::MayObject) => {
                let until = Some(request.notice_ends_at).filter(|until| now < *until);
                may_object.push(MayObject { request: request.id, until });
            }
            Some(Wanted::Consent | Wanted::Share | Wanted::Retrieve | Wanted::Acknowledge)
            | None => {}
        }
    }
    let awaits = |found: &&Agreement| {
        let pending = amendment::pending(session, found);
        pending.iter().any(|it| amendment::awaits(found, it, &owner.organisation))
    };
    let to_countersign = agreements.iter().filter(awaits).map(|found| found.id.clone()).collect();
    let reminded = |found: &Agreement| {
        let Reminded { times, last_at } = *found.reminded.get(&owner.organisation)?;
        found.in_force().ok().map(|()| RemindedView { agreement: found.id.clone(), times, last_at })
    };
    let reminded = agreements.iter().filter_map(reminded).collect();
    let cas = vault.cas()?;
    let log_key = log_key(&vault)?;
    let (ca, next) = (cas.first().map(Vec::as_slice).unwrap_or_default(), cas.get(1));
    let view = StatusView {
        address: vault.address,
        origin: vault.log.origin.to_string(),
        generation: vault.log.generation,
        log_key: log_key.to_string(),
        state: match (&organisation, is_active) {
            (None, _) => "operator",
            (Some(_), true) => "active",
            (Some(_), false) => "waiting to be confirmed",
        },
        only_administrator: colleagues.is_some_and(|own| administrators(own) == 1),
        agreements: agreements.len(),
        proposed,
        waiting_for_me,
        to_attest,
        to_review,
        to_settle,
        to_countersign,
        reminded,
        may_object,
        untold: identity::untold(session, &agreements).into_iter().map(Into::into).collect(),
        holds_organisation_key: session.home.organisation_key()?.is_some(),
        to_confirm: colleagues.map(pending).unwrap_or_default(),
        to_reseal: agreements.iter().filter(lacks_shares).map(|found| found.id.clone()).collect(),
        member: owner,
        certificate_expires_at,
        ca_sha256: signature::sha256(ca),
        ca_expires_at: session::expires_at(ca)?,
        next_ca_sha256: next.map(|next| signature::sha256(next)),
        next_ca_expires_at: next.map(|next| session::expires_at(next)).transpose()?,
    };
    output.record(&view, StatusView::text)?;
    for untold in &view.untold {
        let agreements: Vec<_> = untold.agreements.iter().map(ToString::to_string).collect();
        output.say(&format!(
            "{} was revoked, but the parties of {} have not been told. To finish it, run `{}`.",
            untold.member,
            agreements.join(" and "),
            untold.command
        ));
    }
    if view.only_administrator {
        output.say(&format!(
            "You are the only administrator of {}: if this home is lost, nobody can let anybody \
             in any more, or shut anybody out. Back it up, and confirm a colleague with \
             --administrator.",
            view.member.organisation
        ));
    }
    Ok(Exit::Done)
}

impl StatusView {
    /// Where the organisation's key is.
    fn organisation_key(&self) -> &'static str {
        match self.holds_organisation_key {
            _ if self.state == "operator" => "none",
            true => {
                "in this home: it founded the organisation, and its fingerprint is what others \
                 trust. Back it up"
            }
            false => "with the organisation's first member",
        }
    }

    fn text(&self) -> String {
        let ca = |sha256: &Digest, at: &Timestamp| format!("{sha256}, expires {at}");
        let mut pairs = vec![
            ("vault", format!("reached at {}", self.address)),
            ("log", format!("{}, generation {}", self.origin, self.generation)),
            ("log key", self.log_key.clone()),
            ("member", format!("{} ({})", self.member, self.state)),
            ("agreements", self.agreements.to_string()),
            ("to accept", self.proposed.to_string()),
            ("to approve", self.waiting_for_me.to_string()),
        ];
        let asked = [
            ("to attest", &self.to_attest),
            ("to review", &self.to_review),
            ("to settle", &self.to_settle),
        ];
        let asked = asked.into_iter().filter(|(_, requests)| !requests.is_empty());
        pairs.extend(asked.map(|(what, requests)| (what, lines(requests))));
        if !self.to_countersign.is_empty() {
            pairs.push(("to countersign", lines(&self.to_countersign)));
        }
        if !self.reminded.is_empty() {
            let told = self.reminded.iter().map(|r| {
                let times = count(usize::from(r.times), "time", "times");
                format!(
                    "{} {times}, last at {}: your organisation counts as silent there before long, \
                     unless it signs something in it, such as a deposit",
                    r.agreement, r.last_at
                )
            });
            pairs.push(("reminded of", told.collect::<Vec<_>>().join("\n")));
        }
        if !self.may_object.is_empty() {
            let may_object = self.may_object.iter();
            let told = may_object.map(|m| format!("{} {}", m.request, may_object_text(m.until)));
            pairs.push(("to look at", told.collect::<Vec<_>>().join("\n")));
        }
        if !self.to_confirm.is_empty() {
            pairs.push(("to confirm", lines(&self.to_confirm)));
        }
        if !self.to_reseal.is_empty() {
            pairs.push(("to reseal", lines(&self.to_reseal)));
        }
        pairs.extend([
            ("organisation key", self.organisation_key().to_owned()),
            ("certificate expires", self.certificate_expires_at.to_string()),
            ("vault's CA", ca(&self.ca_sha256, &self.ca_expires_at)),
        ]);
        if let (Some(next), Some(expires_at)) = (&self.next_ca_sha256, &self.next_ca_expires_at) {
            pairs.push(("to be replaced by", ca(next, expires_at)));
        }
        fields(&pairs)
    }
}

fn lines(things: &[impl ToString]) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn administrators(organisation: &Organisation) -> usize {
    organisation.active_members().filter(|(_, member)| member.is_administrator()).count()
}

/// Who has joined and waits to be confirmed.
fn pending(organisation: &Organisation) -> Vec<MemberPath> {
    let is_pending = |member: &Member| match member.standing {
        Standing::Pending => true,
        Standing::Active { .. } | Standing::Revoked { .. } => false,
    };
    let members = organisation.members.iter().filter(|(_, member)| is_pending(member));
    members.map(|(name, _)| path(organisation, name)).collect()
}

/// Whether this member has a share of the organisation's that a colleague lacks.
fn is_to_reseal(agreement: &Agreement, own: &Organisation, member: &MemberPath) -> bool {
    let Ok(dealt) = agreement.key() else { return false };
    let has = |member: &MemberPath| dealt.shares.contains_key(member);
    has(member) && own.active_members().any(|(name, _)| !has(&path(own, name)))
}

fn path(organisation: &Organisation, name: &MemberName) -> MemberPath {
    MemberPath { organisation: organisation.name.clone(), name: name.clone() }
}
