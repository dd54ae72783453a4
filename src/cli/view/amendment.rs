//! Amendments as commands put them out: what they change, old beside new.

use serde::Serialize;

use crate::cli::view::terms::{RuleView, TimeStampsView, calendar_text, origin_text, shares_text};
use crate::client::acts::amendment::Pending;
use crate::domain::agreement::Agreement;
use crate::domain::id::{Digest, MemberPath, OrganisationName};
use crate::domain::needs::Seats;
use crate::domain::terms::{Rule, Terms};
use crate::domain::time::Timestamp;

/// An amendment that can still come into force.
#[derive(Debug, Serialize)]
pub struct AmendmentView {
    sha256: Digest,
    signed: Vec<SignedView>,
    missing: Vec<Seats>,
    changes: Vec<ChangeView>,
}

/// Who has signed an amendment.
#[derive(Debug, Serialize)]
struct SignedView {
    member: MemberPath,
    organisation: OrganisationName,
    at: Timestamp,
}

/// Something that an amendment changes, as it was and as it is to be.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ChangeView {
    what: String,
    old: Option<String>,
    new: Option<String>,
}

impl AmendmentView {
    /// An amendment of this agreement.
    pub fn new(agreement: &Agreement, pending: &Pending) -> Self {
        let Pending { sha256, amendment } = pending;
        let signed = amendment.signed.iter().map(|(organisation, act)| SignedView {
            member: act.by.clone(),
            organisation: organisation.clone(),
            at: act.at,
        });
        let missing = amendment.missing(agreement).unwrap_or_default().into_iter();
        Self {
            sha256: *sha256,
            signed: signed.collect(),
            missing: missing.map(|(role, count)| Seats { count, role }).collect(),
            changes: changes(&agreement.terms, &amendment.terms),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let signed = self.signed.iter().map(|s| format!("\n  signed by {} at {}", s.member, s.at));
        let missing = self.missing.iter().map(ToString::to_string).collect::<Vec<_>>();
        let missing = match missing.as_slice() {
            [] => String::new(),
            seats => format!("\n  to be signed by organisations: {}", seats.join(" and ")),
        };
        let changes = changes_text(&self.changes);
        format!("SHA-256 {}{}{missing}\n{changes}", self.sha256, signed.collect::<String>())
    }
}

/// What an amendment changes, for people.
pub fn changes_text(changes: &[ChangeView]) -> String {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    let each = changes.iter().map(|change| {
        let (old, new) = (or_none(&change.old), or_none(&change.new));
        format!("  {}\n    old: {old}\n    new: {new}", change.what)
    });
    match changes.is_empty() {
        true => "  nothing changes".to_owned(),
        false => each.collect::<Vec<_>>().join("\n"),
    }
}

/// What is different in new terms. What an amendment never touches is not compared: the rules see to
/// that.
pub fn changes(old: &Terms, new: &Terms) -> Vec<ChangeView> {
    let Terms {
        format: _,
        title,
        quorum,
        contract_sha256,
        stock_age,
        parties: _,
        fingerprints: _,
        holders: _,
        rules,
        amend,
        term,
        calendar,
        time_stamps,
    } = new;
    let stamps = |it: &Terms| it.time_stamps.as_ref().map(|it| TimeStampsView::new(it).text());
    let amended = |it: &Terms| it.amend.as_ref().map(|by| format!("organisations: {by}"));
    let contract = |it: &Terms| it.contract_sha256.map(|sha256| format!("SHA-256 {sha256}"));
    let term_text = |it: &Terms| it.term.map(|until| format!("until {until}"));
    let days = |it: &Terms| it.calendar.as_ref().map(calendar_text);
    let pair = |text: &dyn Fn(&Terms) -> Option<String>| (text(old), text(new));
    let mut found = Vec::new();
    let mut note = |is_changed: bool, what: &str, (old, new): (Option<String>, Option<String>)| {
        if is_changed {
            found.push(ChangeView { what: what.to_owned(), old, new });
        }
    };
    note(*title != old.title, "title", pair(&|it| Some(it.title.to_string())));
    note(*contract_sha256 != old.contract_sha256, "contract", pair(&contract));
    note(*quorum != old.quorum, "shares", pair(&|it| Some(shares_text(it.quorum))));
    note(*stock_age != old.stock_age, "bundles", pair(&|it| Some(origin_text(it.stock_age))));
    let named = |terms: &Terms, rule: &Rule| terms.rule(&rule.name).cloned();
    let text = |rule: &Rule| RuleView::new(rule).text();
    for rule in &old.rules {
        let now = named(new, rule);
        let texts = (Some(text(rule)), now.as_ref().map(text));
        note(now.as_ref() != Some(rule), &format!("rule {}", rule.name), texts);
    }
    for rule in rules.iter().filter(|rule| named(old, rule).is_none()) {
        note(true, &format!("rule {}", rule.name), (None, Some(text(rule))));
    }
    note(*amend != old.amend, "amended by", pair(&amended));
    note(*term != old.term, "term", pair(&term_text));
    note(*calendar != old.calendar, "working days", pair(&days));
    note(*time_stamps != old.time_stamps, "time-stamps", pair(&stamps));
    found
}
