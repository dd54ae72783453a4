//! What can be done next in a walk, as it is written.

use crate::cli::simulate::script::{BASES, BECAME};
use crate::domain::agreement::Agreement;
use crate::domain::id::{MemberPath, OrganisationName, RuleName};
use crate::domain::outlook::{self, Wanted, fills_a_seat};
use crate::domain::request::{Request, State};
use crate::domain::statement::Attested;
use crate::domain::trigger::Unmet;
use crate::domain::walk::Walk;

/// Who does it, where nobody has been named who could.
const NAMES: [&str; 9] = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// The steps that somebody can take now who wants to go on, may object, or can take an objection back;
/// and then what time brings. Not those that take a request back, or change who and what is agreed on.
pub fn steps(walk: &Walk) -> Vec<String> {
    let Some(agreement) = walk.agreement() else { return Vec::new() };
    let mut steps = Vec::new();
    let open = agreement.in_force().is_ok() && agreement.in_term(walk.now()).is_ok();
    if open {
        steps.push("deposit".to_owned());
    }
    if open {
        steps.extend(reminders(walk, agreement));
    }
    if open && walk.deposits() > 0 {
        let openings = outlook::openings(agreement, walk.now());
        let asked = undecided(walk);
        let openings = openings.into_iter().filter(|opening| opening.missing.is_empty());
        let openings = openings.filter(|opening| !asked.contains(&opening.rule));
        steps.extend(openings.filter_map(|opening| {
            let who = first(opening.organisations.first()?);
            let granted = walk.granted(agreement.terms.rule(&opening.rule)?)?;
            // Without a number it is about the last.
            let which = match granted == walk.deposits() {
                true => String::new(),
                false => format!(" {granted}"),
            };
            Some(format!("request {who}{which} --rule {}", opening.rule))
        }));
    }
    steps.extend(countersignatures(walk, agreement));
    let several = walk.requests() > 1;
    for number in 1..=walk.requests() {
        let Some(request) = walk.request(number) else { continue };
        let which = if several { format!(" {number}") } else { String::new() };
        steps.extend(about(walk, agreement, &request, &which));
    }
    steps.extend(walk.next_at().map(|at| format!("wait    # until {at}")));
    steps
}

/// The rules under which something is asked for.
fn undecided(walk: &Walk) -> Vec<RuleName> {
    let requests = (1..=walk.requests()).filter_map(|number| walk.request(number));
    let undecided = requests.filter(|request| match request.state(walk.now()) {
        State::Open | State::Notice | State::Objected | State::Satisfied => true,
        State::Released | State::Retrieved | State::Withdrawn | State::Expired => false,
    });
    undecided.map(|request| request.statement.rule).collect()
}

fn first(organisation: &OrganisationName) -> String {
    let [first, ..] = NAMES;
    format!("{organisation}/{first}")
}

/// Reminders that would count now.
fn reminders(walk: &Walk, agreement: &Agreement) -> Vec<String> {
    let unmet = outlook::openings(agreement, walk.now()).into_iter().flat_map(|it| it.missing);
    let due = unmet.filter_map(|unmet| match unmet {
        Unmet::Reminders { organisation, count: _, from } if from <= walk.now() => {
            let by = agreement.terms.organisations().find(|who| **who != organisation)?;
            Some(format!("remind {} --org {organisation}", first(by)))
        }
        Unmet::Reminders { .. } | Unmet::Deposits { .. } | Unmet::Silence { .. } => None,
    });
    due.collect()
}

/// By whom the last amendment that waits for signatures can be signed.
fn countersignatures(walk: &Walk, agreement: &Agreement) -> Vec<String> {
    let Some((_, amendment)) = walk.pending().pop() else { return Vec::new() };
    let missing = amendment.missing(agreement).unwrap_or_default();
    let awaited = agreement.terms.organisations().filter(|who| {
        let role = agreement.terms.role_of(who);
        !amendment.signed.contains_key(*who) && role.is_some_and(|role| missing.contains_key(role))
    });
    let people = awaited.filter_map(|who| people(walk, who).into_iter().next());
    people.map(|who| format!("countersign {who}")).collect()
}

/// What a request wants of somebody in each organisation.
fn about(walk: &Walk, agreement: &Agreement, request: &Request, which: &str) -> Vec<String> {
    let mut steps = Vec::new();
    for organisation in agreement.terms.organisations() {
        let people = people(walk, organisation);
        let wanting =
            people.iter().find_map(|who| Some((outlook::wanted(request, who, walk.now())?, who)));
        let unaware = request.unaware().contains(&organisation);
        let looks = people.first().filter(|_| unaware && wanting.is_some());
        steps.extend(looks.map(|who| format!("show {who}{which}")));
        steps.extend(wanting.and_then(|(wanted, who)| step(request, wanted, who, which)));
        if request.state(walk.now()) == State::Objected {
            // An objection keeps nobody from consenting.
            let consenting = people.iter().find(|who| fills_a_seat(request, who, walk.now()));
            steps.extend(consenting.map(|who| format!("approve {who}{which}")));
            let own = people.first().filter(|_| request.is_objected_by(organisation));
            steps.extend(own.map(|who| format!("withdraw {who}{which} --objection")));
        }
    }
    steps
}

/// Those of an organisation who were named, and then those who could be.
fn people(walk: &Walk, organisation: &OrganisationName) -> Vec<MemberPath> {
    let found = walk.states().organisation(organisation);
    let members = found.into_iter().flat_map(|found| found.active_members());
    let office = MemberPath::office(organisation.clone());
    let named = members.map(|(name, _)| name.clone()).filter(|name| *name != office.name);
    let new = NAMES.into_iter().filter_map(|name| name.parse().ok());
    let new = new.filter(|name| found.and_then(|found| found.member(name)).is_none());
    let path = |name| MemberPath { organisation: organisation.clone(), name };
    named.chain(new).map(path).collect()
}

fn step(request: &Request, wanted: Wanted, who: &MemberPath, which: &str) -> Option<String> {
    let text = match wanted {
        Wanted::Attest => match outlook::to_attest(request)? {
            Attested::Event(kind) => format!("attest {who}{which} --event {kind}"),
            Attested::Order => format!("attest {who}{which} --order"),
        },
        Wanted::Consent | Wanted::Share => format!("approve {who}{which}"),
        Wanted::Review => format!("show {who}{which}"),
        Wanted::Settle => {
            let role = request.terms.role_of(&who.organisation)?;
            let standing = request.standing_objections();
            let mut ways = standing.flat_map(|objection| request.settling(objection));
            let (basis, _) = ways.find(|(_, open)| open.contains_key(role))?;
            let (flag, _) = BASES.into_iter().find(|(_, known)| *known == basis)?;
            format!("settle {who}{which} {flag}")
        }
        Wanted::Retrieve => format!("retrieve {who}{which}"),
        Wanted::Acknowledge => {
            let (duty, _) = request.duty(request.opened_at)?;
            let (flag, _) =
                BECAME.into_iter().find(|(_, known)| *known == duty.kind.fulfilled_by())?;
            format!("acknowledge {who}{which} {flag}")
        }
        Wanted::MayObject => format!("object {who}{which}"),
    };
    Some(text)
}
