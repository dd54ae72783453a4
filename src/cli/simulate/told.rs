//! What a step of a walk has come to, as it is put out.

use std::fmt::Display;

use serde::Serialize;

use crate::cli::output::fields;
use crate::cli::simulate::possible;
use crate::cli::view::{AmendmentView, RequestView, RuleView, not_yet_text};
use crate::client::acts::amendment::Pending;
use crate::domain::chain::chain;
use crate::domain::id::{MemberPath, RequestId};
use crate::domain::outlook::{self, Coming, Opening};
use crate::domain::request::Request;
use crate::domain::statement::{Statement, Withdrawn};
use crate::domain::text::Text;
use crate::domain::time::Timestamp;
use crate::domain::walk::{Said, Step, Stopped, Walk};

/// A step, and how everything stands after it.
#[derive(Debug, Serialize)]
pub struct ToldView {
    /// The line of the script; 0 before the first.
    line: usize,
    /// The step as it was written.
    step: Option<String>,
    /// When.
    at: Timestamp,
    /// What came of it.
    outcome: Outcome,
    /// Whether that was to be so.
    expected: bool,
    /// What was said and accepted.
    statements: Vec<StatementView>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorView>,
    /// What it has left for later, where it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_yet: Option<ErrorView>,
    /// What the agreement has come to, if it is no longer in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement_state: Option<&'static str>,
    /// The version of the terms in force.
    agreement_version: u32,
    /// How many deposits there are.
    deposits: usize,
    /// Who may request under which rule, and what has to happen before.
    rules: Vec<Opening>,
    /// What happens in the agreement by itself.
    next: Vec<Coming>,
    /// The amendments that wait for signatures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    amendments: Vec<AmendmentView>,
    /// The requests that it is about.
    requests: Vec<NumberedView>,
    /// What can be done now, as it is written.
    possible: Vec<String>,
    /// Whether it concerns more than one request.
    #[serde(skip)]
    is_of_agreement: bool,
    #[serde(skip)]
    title: Option<Text>,
    #[serde(skip)]
    as_understood: Vec<String>,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// Nothing was done yet.
    Outset,
    /// It was done.
    Done,
    /// It was refused, or there was nothing to do.
    Refused,
}

/// A statement that was accepted.
#[derive(Debug, Serialize)]
struct StatementView {
    r#type: String,
    by: MemberPath,
    #[serde(skip)]
    text: String,
}

/// Why a step was refused, as the vault would say.
#[derive(Debug, Serialize)]
struct ErrorView {
    code: &'static str,
    message: String,
    hint: String,
}

/// A request with its number.
#[derive(Debug, Serialize)]
struct NumberedView {
    number: usize,
    #[serde(flatten)]
    request: RequestView,
    #[serde(skip)]
    of: String,
}

impl ToldView {
    /// How things stand before anything is done.
    pub fn outset(walk: &Walk) -> Self {
        let agreement = walk.agreement();
        let rules = agreement.into_iter().flat_map(|agreement| &agreement.terms.rules);
        let title = agreement.map(|agreement| agreement.terms.title.clone());
        let as_understood = rules.map(|rule| RuleView::new(rule).text()).collect();
        Self { title, as_understood, ..Self::standing(walk, Vec::new()) }
    }

    /// How things stand after a step, which began when so much had been said.
    pub fn after(
        walk: &Walk,
        (line, text): (usize, &str),
        step: &Step,
        (is_to_be_refused, said_before): (bool, usize),
        taken: &Result<Option<Stopped>, Stopped>,
    ) -> Self {
        let said = walk.said().get(said_before..).unwrap_or_default();
        let one = the_one(walk, step, taken.is_ok());
        let error = |stopped: &Stopped| ErrorView {
            code: stopped.code(),
            message: plain(walk, &chain(stopped)),
            hint: here(&stopped.hint()),
        };
        Self {
            line,
            step: Some(text.to_owned()),
            outcome: if taken.is_ok() { Outcome::Done } else { Outcome::Refused },
            expected: taken.is_err() == is_to_be_refused,
            statements: said.iter().filter_map(|said| statement(walk, said)).collect(),
            error: taken.as_ref().err().map(error),
            not_yet: taken.as_ref().ok().and_then(Option::as_ref).map(error),
            is_of_agreement: one.is_none(),
            ..Self::standing(walk, one.map_or_else(|| going_on(walk), |one| vec![one]))
        }
    }

    fn standing(walk: &Walk, concerned: Vec<usize>) -> Self {
        let (now, agreement) = (walk.now(), walk.agreement());
        let openings = agreement.map(|agreement| outlook::openings(agreement, now));
        let ahead = agreement.map(|agreement| outlook::ahead(agreement, now));
        let pending = walk.pending().into_iter().filter_map(|(sha256, amendment)| {
            Some(AmendmentView::new(agreement?, &Pending { sha256, amendment }))
        });
        let numbered = |number| {
            let request = walk.request(number)?;
            let of = format!("{}, by {}", request.statement.rule, request.requester());
            let deposit = walk.states().deposit(&request.deposit);
            let view = RequestView::new(&request, deposit, now);
            let view = view.known_in(&request, &walk.known(&request.id), now);
            Some(NumberedView { number, request: view, of })
        };
        Self {
            line: 0,
            step: None,
            at: now,
            outcome: Outcome::Outset,
            expected: true,
            statements: Vec::new(),
            error: None,
            not_yet: None,
            agreement_state: agreement
                .filter(|it| it.in_force().is_err())
                .map(|it| it.phase.word()),
            agreement_version: agreement.map_or(0, |agreement| agreement.version),
            deposits: walk.deposits(),
            rules: openings.unwrap_or_default(),
            next: ahead.unwrap_or_default(),
            amendments: pending.collect(),
            requests: concerned.into_iter().filter_map(numbered).collect(),
            possible: possible::steps(walk),
            is_of_agreement: true,
            title: None,
            as_understood: Vec::new(),
        }
    }

    /// Whether it came as it was to come.
    pub fn is_expected(&self) -> bool {
        self.expected
    }

    /// For people; to somebody at a prompt what can be done now, and not what was typed.
    pub fn text(&self, is_prompted: bool) -> String {
        let mut pairs = Vec::new();
        let mut put = |name: &'static str, lines: &mut dyn Iterator<Item = String>| {
            let lines = lines.collect::<Vec<_>>().join("\n");
            if !lines.is_empty() {
                pairs.push((name, lines));
            }
        };
        put("title", &mut self.title.iter().map(ToString::to_string));
        put("time", &mut std::iter::once(self.at.to_string()));
        put("rules", &mut self.as_understood.iter().cloned());
        put("agreement", &mut self.agreement_state.into_iter().map(|state| format!("is {state}")));
        put("done", &mut self.statements.iter().map(|said| said.text.clone()));
        let errors = [("refused", &self.error), ("not yet", &self.not_yet)];
        for (name, error) in errors.into_iter().filter_map(|(name, it)| Some((name, it.as_ref()?)))
        {
            put(name, &mut std::iter::once(error.message.clone()));
            put("hint", &mut std::iter::once(error.hint.clone()));
        }
        for NumberedView { number, request, of } in &self.requests {
            put("request", &mut std::iter::once(format!("{number}, under rule {of}")));
            put("state", &mut std::iter::once(request.state().to_owned()));
            put("duty", &mut request.duty().into_iter());
            for (name, text) in request.outlook() {
                put(name, &mut std::iter::once(text));
            }
        }
        if self.is_of_agreement {
            let waiting = self.rules.iter().filter(|rule| !rule.missing.is_empty());
            let waiting: Vec<_> =
                waiting.map(|rule| not_yet_text(&rule.rule, &rule.missing)).collect();
            let is_told = self.requests.is_empty() || !waiting.is_empty();
            let next = self.next.iter().filter(|_| is_told);
            put("amendment", &mut self.amendments.iter().map(AmendmentView::text));
            put("not yet open", &mut waiting.into_iter());
            put("next", &mut next.map(|it| format!("{}: {}", it.at, it.what)));
        }
        if is_prompted || self.outcome == Outcome::Outset {
            put("possible", &mut self.possible.iter().cloned());
        }
        // Whoever has typed it sees it.
        let step = self.step.iter().filter(|_| !is_prompted);
        let step = step.map(|step| format!("> {step}\n")).collect::<String>();
        format!("{step}{}", fields(&pairs))
    }
}

/// The request that a step is about, if it is about one.
fn the_one(walk: &Walk, step: &Step, was_taken: bool) -> Option<usize> {
    match step {
        Step::About { request, .. } => Some(request.unwrap_or(walk.requests())),
        Step::Request { .. } => Some(walk.requests()).filter(|_| was_taken),
        Step::Deposit { .. }
        | Step::Remind { .. }
        | Step::Revoke { .. }
        | Step::Amend { .. }
        | Step::Countersign { .. }
        | Step::Terminate { .. }
        | Step::Wait(_)
        | Step::Until(_) => None,
    }
}

/// The requests that go on, or else the last one, by number.
fn going_on(walk: &Walk) -> Vec<usize> {
    let goes_on =
        |number: &usize| walk.request(*number).is_some_and(|request| goes_on(&request, walk.now()));
    let going_on: Vec<_> = (1..=walk.requests()).filter(goes_on).collect();
    if going_on.is_empty() { vec![walk.requests()] } else { going_on }
}

/// Whether somebody still has to do something about a request, or time does.
fn goes_on(request: &Request, now: Timestamp) -> bool {
    !outlook::missing(request, now).is_empty() || !outlook::upcoming(request, now).is_empty()
}

/// What hints name that there is only with a vault, and what there is of it in a walk.
const ELSEWHERE: [(&str, &str); 6] = [
    (" with `escrow show` and the agreement's id", " at the beginning"),
    ("see `escrow show` and the agreement's id", "see the rules at the beginning"),
    ("; see `escrow show` for who settled it and how", ""),
    ("; see `escrow show`", ""),
    ("; `escrow show` says", "; what is missing says"),
    ("can run `escrow retrieve`", "can retrieve it"),
];

/// A hint as it is of use here.
fn here(hint: &str) -> String {
    ELSEWHERE.iter().fold(hint.to_owned(), |hint, (there, here)| hint.replace(there, here))
}

/// Ids of a vault that there is none of say less than the number.
fn plain(walk: &Walk, text: &str) -> String {
    let Some(agreement) = walk.agreement() else { return text.to_owned() };
    let text = text.replace(agreement.id.as_str(), "the agreement");
    (1..=walk.requests())
        .filter_map(|number| Some((number, walk.request(number)?.id)))
        .fold(text, |text, (number, id)| text.replace(id.as_str(), &format!("request {number}")))
}

/// What was said, if it was accepted and belongs to the agreement.
fn statement(walk: &Walk, said: &Said) -> Option<StatementView> {
    let Said { stated, at: _, refused: None } = said else { return None };
    let text = sentence(walk, &stated.statement)?;
    let by = stated.statement.made().by.clone();
    Some(StatementView { r#type: stated.statement.kind().word(), text: format!("{by} {text}"), by })
}

/// What somebody has done by a statement. Members come and go without a word.
fn sentence(walk: &Walk, statement: &Statement) -> Option<String> {
    let request = |id: &RequestId| {
        let number = walk.number_of(id);
        number.map_or_else(|| "a request".to_owned(), |number| format!("request {number}"))
    };
    let after = |text: &str, what: &dyn Display| Some(format!("{text} {what}"));
    match statement {
        Statement::Deposit(s) => {
            Some(format!("has made deposit {}, labelled {}", walk.deposits(), s.label))
        }
        Statement::Request(s) => {
            Some(format!("has made request {} under rule {}", walk.requests(), s.rule))
        }
        Statement::Consent(s) => after("has consented to", &request(&s.request.id)),
        Statement::Contribution(s) => {
            Some(format!("has contributed the organisation's share to {}", request(&s.request.id)))
        }
        Statement::Seen(s) => after("has signed to have seen", &request(&s.request.id)),
        Statement::Notification(s) => Some(format!(
            "has recorded evidence that those who may object were notified of {}",
            request(&s.request.id)
        )),
        Statement::Objection(s) => after("has objected to", &request(&s.request.id)),
        Statement::Attestation(s) => {
            after("has attested what is asked for by", &request(&s.request.id))
        }
        Statement::Settlement(s) => Some(format!(
            "has said that the objections to {} are settled by {}",
            request(&s.request.id),
            s.basis.noun()
        )),
        Statement::Withdrawal(s) => match s.withdrawn {
            Withdrawn::Request => after("has withdrawn", &request(&s.request.id)),
            Withdrawn::Objection => {
                after("has withdrawn the objection to", &request(&s.request.id))
            }
        },
        Statement::Retrieval(s) => after("has retrieved the bundle of", &request(&s.request.id)),
        Statement::Acknowledgement(s) => {
            Some(format!("has acknowledged {} for {}", s.what.noun(), request(&s.request.id)))
        }
        Statement::TimeStamp(s) => {
            after("has handed in the authority's time-stamp of", &request(&s.request.id))
        }
        Statement::Reminder(s) => after("has reminded", &s.organisation),
        Statement::Amendment(_) => Some("has proposed and signed an amendment".to_owned()),
        Statement::Countersignature(_) => {
            let version = walk.agreement().map_or(0, |agreement| agreement.version);
            Some(format!("has signed the amendment; terms version {version} is in force"))
        }
        Statement::Termination(_) => Some("has signed for the end of the agreement".to_owned()),
        Statement::Revocation(s) => after("has revoked", &s.member),
        Statement::RevocationNotice(s) => {
            after("has told the parties of the revocation of", &s.member)
        }
        Statement::Invitation(_)
        | Statement::Organisation(_)
        | Statement::Join(_)
        | Statement::Confirmation(_)
        | Statement::Renewal(_)
        | Statement::Registration(_)
        | Statement::Proposal(_)
        | Statement::ReleaseKey(_)
        | Statement::Acceptance(_)
        | Statement::Declination(_)
        | Statement::Resumption(_)
        | Statement::Reseal(_) => None,
    }
}
