//! `status`: whether all is in order, and what waits.

use std::time::SystemTime;

use serde::Serialize;

use crate::cli::commands::release::every_request;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, fields};
use crate::cli::view::may_object_text;
use crate::client::session::{self, Session};
use crate::domain::id::{MemberPath, RequestId};
use crate::domain::outlook::{Wanted, wanted};
use crate::domain::time::{Span, Timestamp};

/// A difference of clocks that is worth a warning.
const SKEW_MAX: Span = Span::seconds(5 * 60);

#[derive(Serialize)]
struct StatusView {
    address: String,
    origin: String,
    generation: u32,
    member: MemberPath,
    state: &'static str,
    agreements: usize,
    proposed: usize,
    waiting_for_me: usize,
    may_object: Vec<MayObject>,
    certificate_expires_at: Timestamp,
}

/// A request that the member's organisation may object to.
#[derive(Serialize)]
struct MayObject {
    request: RequestId,
    /// Until when for sure; `None` where that can be over at any moment.
    until: Option<Timestamp>,
}

/// `escrow status`
pub(super) async fn status(output: &Output, session: &mut Session) -> Result<Exit, Failure> {
    let (owner, vault) = (session.owner.path.clone(), session.vault.clone());
    let certificate_expires_at = session::expires_at(&session.home.certificate()?)?;
    let operator = owner == MemberPath::operator();
    let active = !operator && {
        let organisation = session.own_organisation().await?;
        organisation.member(&owner.name).is_some_and(|member| member.is_active())
    };
    let agreements = if active { session.agreements().await? } else { Vec::new() };
    if let Some(skew) = session.clock_skew().filter(|skew| *skew > SKEW_MAX) {
        output.warn(format!(
            "this computer's clock and the vault's are {skew} apart; set yours, or ask the operator"
        ));
    }
    let proposed = agreements
        .iter()
        .filter(|agreement| agreement.awaited().any(|who| *who == owner.organisation))
        .filter(|agreement| agreement.is_proposed().is_ok())
        .count();
    let now = Timestamp::from(SystemTime::now());
    let (mut waiting_for_me, mut may_object) = (0, Vec::new());
    for request in every_request(session) {
        match wanted(&request, &owner, now) {
            Some(Wanted::Consent | Wanted::Share | Wanted::Retrieve) => waiting_for_me += 1,
            Some(Wanted::MayObject) => {
                let until = Some(request.notice_ends_at).filter(|until| now < *until);
                may_object.push(MayObject { request: request.id, until });
            }
            None => {}
        }
    }
    let view = StatusView {
        address: vault.address,
        origin: vault.log.origin.to_string(),
        generation: vault.log.generation,
        member: owner,
        state: match (operator, active) {
            (true, _) => "operator",
            (_, true) => "active",
            (_, false) => "waiting to be confirmed",
        },
        agreements: agreements.len(),
        proposed,
        waiting_for_me,
        may_object,
        certificate_expires_at,
    };
    output.record(&view, StatusView::text)?;
    Ok(Exit::Done)
}

impl StatusView {
    fn text(&self) -> String {
        let may_object = self.may_object.iter();
        let may_object: Vec<_> =
            may_object.map(|m| format!("{} {}", m.request, may_object_text(m.until))).collect();
        fields(&[
            ("vault", format!("reached at {}", self.address)),
            ("log", format!("{}, generation {}", self.origin, self.generation)),
            ("member", format!("{} ({})", self.member, self.state)),
            ("agreements", self.agreements.to_string()),
            ("to accept", self.proposed.to_string()),
            ("to approve", self.waiting_for_me.to_string()),
            (
                "to look at",
                if may_object.is_empty() { "0".to_owned() } else { may_object.join("\n") },
            ),
            ("certificate expires", self.certificate_expires_at.to_string()),
        ])
    }
}
