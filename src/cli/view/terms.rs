//! Terms as commands put them out: the way they were understood.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::output::fields;
use crate::crypto::signature;
use crate::domain::calendar::Calendar;
use crate::domain::id::{Digest, Role, RuleName};
use crate::domain::statement::Basis;
use crate::domain::terms::{Access, Grants, Rule, RuleDuty, Terms, TimeStamps};
use crate::domain::url::Url;

/// A rule of an agreement.
#[derive(Debug, Serialize)]
pub struct RuleView {
    name: RuleName,
    requester: Vec<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<String>,
    needs: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    distinct_organisations: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reviewers: Vec<Role>,
    notice: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    vote: Option<String>,
    objection: Vec<Role>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    settled_by: BTreeMap<Basis, String>,
    expires: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    grants: Option<Grants>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duty: Option<RuleDuty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<Access>,
}

impl RuleView {
    /// A rule as it was understood.
    pub fn new(rule: &Rule) -> Self {
        Self {
            name: rule.name.clone(),
            requester: rule.requesters.clone(),
            trigger: (!rule.trigger.is_joint()).then(|| rule.trigger.to_string()),
            needs: rule.needs.to_string(),
            distinct_organisations: rule.distinct_organisations,
            reviewers: rule.reviewers.clone(),
            notice: rule.notice.to_string(),
            vote: rule.vote.map(|vote| vote.to_string()),
            objection: rule.objection.clone(),
            settled_by: rule
                .settled_by
                .iter()
                .flat_map(|settled_by| settled_by.each())
                .map(|(basis, needs)| (basis, needs.to_string()))
                .collect(),
            expires: rule.expires.to_string(),
            grants: Some(rule.grants.clone()).filter(|grants| *grants != Grants::All),
            duty: rule.duty,
            access: rule.access,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let list =
            |roles: &[Role]| roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let Self {
            name,
            requester,
            trigger,
            needs,
            distinct_organisations,
            reviewers,
            notice,
            vote,
            objection,
            settled_by,
            expires,
            grants,
            duty,
            access,
        } = self;
        let distinct = distinct_organisations.map(|count| format!(" from {count} organisations"));
        let distinct = distinct.unwrap_or_default();
        let objection = match objection.as_slice() {
            [] => "nobody may object".to_owned(),
            roles => format!("{} may object", list(roles)),
        };
        let settled = settled_by.iter().map(|(basis, by)| format!("{} by {by}", basis.noun()));
        let settled = match settled.collect::<Vec<_>>().as_slice() {
            [] => String::new(),
            ways => format!(", which ends by withdrawal, {}", ways.join(", ")),
        };
        let reviewed = match reviewers.as_slice() {
            [] => String::new(),
            [role] => format!(", once {role} has seen the request"),
            roles => format!(", once {} have seen the request", list(roles)),
        };
        let trigger = trigger.iter().map(|what| format!(", given {what}")).collect::<String>();
        let vote = vote.iter().map(|vote| format!(", each good for {vote}")).collect::<String>();
        let grants = grants.iter().map(|grants| format!("; grants {grants}")).collect::<String>();
        let duty = duty.iter().map(|duty| {
            format!("; duty to {} within {} of the release", duty.kind.word(), duty.within)
        });
        let duty = duty.collect::<String>();
        let access = access.iter().map(access_text).collect::<String>();
        format!(
            "{name}: {} may request{trigger}; needs {needs}{distinct}{vote}{reviewed}; notice {notice}; \
             {objection}{settled}; expires after {expires}{grants}{duty}{access}",
            list(requester)
        )
    }
}

/// How a released bundle may be fetched, behind the rest of a rule.
fn access_text(access: &Access) -> String {
    let times = access.times.map(|times| match times {
        1 => "once".to_owned(),
        times => format!("at most {times} times"),
    });
    let within = access.within.map(|within| format!("within {within} of the release"));
    let bounds = times.into_iter().chain(within).collect::<Vec<_>>();
    format!("; fetched {}", bounds.join(", "))
}

/// Which days are working days, for people.
pub(super) fn calendar_text(calendar: &Calendar) -> String {
    let weekend = calendar.weekend.days().map(|day| day.to_string()).collect::<Vec<_>>();
    let weekend = match weekend.as_slice() {
        [] => "every day of the week".to_owned(),
        days => format!("every day but {}", days.join(", ")),
    };
    let holidays = calendar.holidays.iter().map(ToString::to_string).collect::<Vec<_>>();
    let holidays = match holidays.as_slice() {
        [] => "no holidays".to_owned(),
        days => format!("and not on {}", days.join(", ")),
    };
    format!("{weekend}, {holidays}; days begin at UTC{}", calendar.utc_offset)
}

/// Who time-stamps an agreement's requests.
#[derive(Debug, Serialize)]
pub struct TimeStampsView {
    authority: Url,
    ca_sha256: Digest,
}

impl TimeStampsView {
    /// As it was understood.
    pub fn new(pinned: &TimeStamps) -> Self {
        let ca_sha256 = signature::sha256(pinned.ca.as_bytes());
        Self { authority: pinned.authority.clone(), ca_sha256 }
    }

    /// For people.
    pub fn text(&self) -> String {
        format!("of requests, by {}\nunder the CA with SHA-256 {}", self.authority, self.ca_sha256)
    }
}

/// Terms that are about to be proposed, for people.
pub fn terms_text(terms: &Terms) -> String {
    let parties = terms.parties.iter().flat_map(|(role, who)| who.iter().map(move |o| (role, o)));
    let parties = parties.map(|(role, organisation)| {
        let share = if terms.is_holder(organisation) { ", holds a share" } else { "" };
        let fingerprint = terms.fingerprints.get(organisation).map(ToString::to_string);
        format!("{organisation} as {role}{share}\n    {}", fingerprint.unwrap_or_default())
    });
    let rules = terms.rules.iter().map(|rule| RuleView::new(rule).text());
    let mut pairs = vec![("title", terms.title.to_string())];
    if let Some(contract) = &terms.contract_sha256 {
        pairs.push(("contract", format!("SHA-256 {contract}")));
    }
    pairs.extend([
        ("parties", parties.collect::<Vec<_>>().join("\n")),
        ("shares", shares_text(terms.quorum)),
        ("bundles", origin_text(terms.stock_age)),
        ("rules", rules.collect::<Vec<_>>().join("\n")),
    ]);
    pairs.extend(amended_text(terms));
    pairs.extend(terms.calendar.iter().map(|days| ("working days", calendar_text(days))));
    let stamps = terms.time_stamps.iter().map(TimeStampsView::new);
    pairs.extend(stamps.map(|pinned| ("time-stamps", pinned.text())));
    fields(&pairs)
}

/// Who may amend the terms and when their term is over, for people.
pub(super) fn amended_text(terms: &Terms) -> Vec<(&'static str, String)> {
    let amend = terms.amend.iter().map(|by| ("amended by", format!("organisations: {by}")));
    let term = terms.term.iter().map(|until| ("term", format!("until {until}")));
    amend.chain(term).collect()
}

/// How many shares open a bundle, for people.
pub(super) fn shares_text(quorum: u16) -> String {
    format!("{quorum} open a bundle")
}

/// Which bundles are admitted, for people.
pub(super) fn origin_text(stock_age: bool) -> String {
    match stock_age {
        true => "admitted from any age program, without proof of origin",
        false => "sealed by `escrow`, with proof of origin",
    }
    .to_owned()
}
