//! What is to be told about one rule.

use crate::domain::advice::{Code, Finding, attesting, in_roles, wants_release};
use crate::domain::calendar::Period;
use crate::domain::id::{OrganisationName, Role};
use crate::domain::statement::DutyKind;
use crate::domain::terms::{Rule, SettledBy, Terms};
use crate::domain::text::listed;
use crate::domain::time::{Span, Timestamp};
use crate::domain::trigger::Trigger;

/// Time that people need after notice to consent and to send their contributions.
const MARGIN: Span = Span::days(7);

/// Time in which a letter arrives, is read and is answered.
const READING: Span = Span::days(10);
/// The same in working days, of which a week has five.
const READING_WORKING_DAYS: u16 = 7;

/// What is longer than a night for which a machine stands still.
const MISSING_MIN: Span = Span::days(1);

/// Advises on a rule of these terms.
pub(super) fn advise(terms: &Terms, rule: &Rule, now: Timestamp) -> Vec<Finding> {
    let told = [
        unreachable(terms, rule, now),
        depositor_unheard(terms, rule),
        notice_without_objection(terms, rule),
        objection_without_notice(terms, rule),
        short_notice(terms, rule),
        objection_without_end(terms, rule),
        partial_award(terms, rule),
        partial_instruction(terms, rule),
        silent_consent(terms, rule),
        hasty_trigger(terms, rule),
        past_date(rule, now),
        own_review(terms, rule),
        short_expiry(terms, rule),
        vote_before_notice(terms, rule),
        vote_beyond_expiry(rule),
        duty_before_access(rule),
    ];
    told.into_iter().flatten().map(|finding| finding.in_rule(&rule.name)).collect()
}

/// Terms come into force now at the earliest, and nobody asks once their term is over.
fn unreachable(terms: &Terms, rule: &Rule, now: Timestamp) -> Option<Finding> {
    let term = terms.term.filter(|term| now < *term)?;
    let (is_late, earliest) = match &rule.trigger {
        Trigger::Joint | Trigger::Event { .. } | Trigger::Order { .. } => return None,
        // A request may be opened before that date, and has to live until then.
        Trigger::Date(at) => (*at >= term.after(rule.expires), *at),
        Trigger::Missed { deposits, interval, grace } => {
            let from = now.after(interval.times(*deposits)).after(*grace);
            (from >= term, from)
        }
        Trigger::Silence { role: _, lasts, reminders, every } => {
            let from = now.after(*lasts).max(now.after(every.times(*reminders)));
            (from >= term, from)
        }
    };
    let told = Finding::advice(
        Code::Unreachable,
        format!(
            "rule {} can never be used: it waits until {earliest} at least, and the term is over at \
             {term}",
            rule.name
        ),
        "name a later term, or shorten what the trigger waits for",
    );
    is_late.then(|| told.an_error())
}

fn depositor_unheard(terms: &Terms, rule: &Rule) -> Option<Finding> {
    let depositor = Role::depositor();
    let others_ask = rule.requesters.iter().any(|role| *role != depositor);
    let ways = rule.needs.alternatives().unwrap_or_default();
    let is_left_out = ways.iter().any(|way| !way.contains_key(&depositor));
    (others_ask && is_left_out && !rule.objection.contains(&depositor)).then(|| {
        let who = in_roles(terms, [&depositor], "and");
        Finding::advice(
            Code::DepositorUnheard,
            format!(
                "{who} can be passed over: a release takes neither its consent nor its silence, and \
                 it hears of the request when it is too late."
            ),
            "Give notice and write objection = [\"depositor\"]; leave it so only where that is what \
             the depositor wants.",
        )
    })
}

fn notice_without_objection(terms: &Terms, rule: &Rule) -> Option<Finding> {
    (rule.notice != Period::default() && rule.objection.is_empty()).then(|| {
        Finding::advice(
            Code::NoticeWithoutObjection,
            format!(
                "Notice of {} passes, and nobody may object: it delays {} and protects nobody.",
                rule.notice,
                in_roles(terms, &rule.requesters, "and")
            ),
            "Say in objection who may use that time, such as objection = [\"depositor\"], or leave \
             notice out.",
        )
    })
}

fn objection_without_notice(terms: &Terms, rule: &Rule) -> Option<Finding> {
    (rule.notice == Period::default() && !rule.objection.is_empty()).then(|| {
        Finding::advice(
            Code::ObjectionWithoutNotice,
            format!(
                "{} may object and has no time for it: the release can come in the minute of the \
                 request.",
                in_roles(terms, &rule.objection, "or")
            ),
            "Give notice in which a letter arrives and a lawyer can read it, such as notice = \"10d\".",
        )
    })
}

fn short_notice(terms: &Terms, rule: &Rule) -> Option<Finding> {
    let is_short = match rule.notice {
        Period::Passing(span) => !span.is_zero() && span < READING,
        Period::WorkingDays(count) => count < READING_WORKING_DAYS,
    };
    (is_short && !rule.objection.is_empty()).then(|| {
        Finding::advice(
            Code::ShortNotice,
            format!(
                "{} may object, and notice of {} is hardly enough to hear of a request, to read it \
                 and to answer.",
                in_roles(terms, &rule.objection, "or"),
                rule.notice
            ),
            format!(
                "Give notice of {READING} or {READING_WORKING_DAYS}wd at least; less only where \
                 waiting does more harm than a release that nobody could stop."
            ),
        )
    })
}

/// Who may object under a rule, and without whom nothing ends that.
fn blockers<'a>(terms: &'a Terms, rule: &Rule) -> Vec<&'a OrganisationName> {
    let needs = rule.settled_by.iter().flat_map(SettledBy::each).map(|(_, needs)| needs);
    let ways: Vec<_> = needs.flat_map(|needs| needs.alternatives().unwrap_or_default()).collect();
    // In a role of several organisations another one can sign.
    let is_needed = |role: &Role, who: &[OrganisationName]| {
        ways.is_empty() || who.len() == 1 && ways.iter().all(|way| way.contains_key(role))
    };
    let objecting = rule.objection.iter().map(|role| (role, terms.in_role(role)));
    objecting.filter(|(role, who)| is_needed(role, who)).flat_map(|(_, who)| who).collect()
}

fn objection_without_end(terms: &Terms, rule: &Rule) -> Option<Finding> {
    let blockers = blockers(terms, rule);
    (!blockers.is_empty()).then(|| {
        let who = listed(blockers, "or");
        let ends = match rule.settled_by {
            None => "nothing but its own withdrawal ends that",
            Some(_) => "nothing ends that without its own signature",
        };
        let is_neutral =
            |role: &&Role| !rule.requesters.contains(role) && !rule.objection.contains(role);
        let order = match terms.parties.keys().find(is_neutral) {
            Some(role) => format!(", or order = \"1@{role}\", which attests what a court ordered"),
            None => String::new(),
        };
        // Where it is not said who holds shares, every party does.
        let shares = match terms.parties.keys().all(|role| terms.holders.contains(role)) {
            true => {
                let holders: Vec<_> = terms.holders.iter().map(|role| format!("\"{role}\"")).collect();
                format!(", and holders = [{}] so that it gets no share", holders.join(", "))
            }
            false => String::new(),
        };
        Finding::advice(
            Code::ObjectionWithoutEnd,
            format!(
                "When {who} objects, {ends}. A right to object that nobody else can settle is a right \
                 to block for ever."
            ),
            format!(
                "Say in settled_by who else ends it: award = \"1@arbiter\" with an arbiter as one more \
                 party{shares}{order}. Leave it so only where a veto is meant."
            ),
        )
    })
}

/// Who consents or attests wants the release as much as whoever asks for it does.
fn partial_award(terms: &Terms, rule: &Rule) -> Option<Finding> {
    let award = rule.settled_by.as_ref()?.award.as_ref()?;
    let (consenting, attesting) = (rule.consenting_roles(), attesting(rule));
    let judges = award.roles();
    let judge = judges.iter().find(|role| consenting.contains(role) || attesting.contains(role))?;
    let does = match consenting.contains(judge) {
        true => "consents to",
        false => "attests for",
    };
    let (who, objecting) = (in_roles(terms, [judge], "or"), in_roles(terms, &rule.objection, "or"));
    Some(Finding::advice(
        Code::PartialAward,
        format!(
            "{who} {does} the release and makes the award too: it overrules an objection of \
             {objecting} to what it wants itself."
        ),
        "Let the award be signed by an arbiter that is no side, as one more party, or leave award out \
         and let joint or order end objections.",
    ))
}

/// An instruction without any of those who object, by nobody but those who want the release.
fn partial_instruction(terms: &Terms, rule: &Rule) -> Option<Finding> {
    let joint = rule.settled_by.as_ref()?.joint.as_ref()?;
    let wants = |role: &Role| wants_release(rule, role) && !rule.objection.contains(role);
    let ways = joint.alternatives().unwrap_or_default();
    let partial = ways.iter().find(|way| way.keys().all(wants))?;
    let (who, objecting) =
        (in_roles(terms, partial.keys(), "and"), in_roles(terms, &rule.objection, "or"));
    Some(Finding::advice(
        Code::PartialInstruction,
        format!(
            "{who} end an objection of {objecting} by their own word, and it is they who ask for the \
             release, attest for it or consent to it: the objection holds them up and stops nothing."
        ),
        "Write joint = { all = [ … ] } with a seat for those who object, or let an arbiter that is no \
         side make an award.",
    ))
}

fn silent_consent(terms: &Terms, rule: &Rule) -> Option<Finding> {
    let Trigger::Silence { role, .. } = &rule.trigger else { return None };
    let ways = rule.needs.alternatives().unwrap_or_default();
    ways.iter().all(|way| way.contains_key(role)).then(|| {
        let who = in_roles(terms, [role], "or");
        Finding::advice(
            Code::SilentConsent,
            format!(
                "It is there for the day when {who} signs nothing, and it takes a consent of {who}."
            ),
            format!("Leave {role} out of needs; its right to object is what protects it."),
        )
    })
}

fn hasty_trigger(terms: &Terms, rule: &Rule) -> Option<Finding> {
    let why = match &rule.trigger {
        Trigger::Silence { role, lasts, .. } if *lasts < READING => format!(
            "{} counts as silent when it has signed nothing for {lasts}: a holiday is longer.",
            in_roles(terms, [role], "or")
        ),
        Trigger::Missed { deposits, interval, grace } => {
            let until = Timestamp::EPOCH.after(interval.times(*deposits)).after(*grace);
            let lasts = until.since(Timestamp::EPOCH);
            if lasts >= MISSING_MIN {
                return None;
            }
            format!(
                "Deposits count as missed {lasts} after the last one: a machine that is down for a \
                 night is enough."
            )
        }
        Trigger::Joint
        | Trigger::Event { .. }
        | Trigger::Order { .. }
        | Trigger::Silence { .. }
        | Trigger::Date(_) => return None,
    };
    let fix = "Let the trigger wait for longer than what can happen to anybody.";
    Some(Finding::advice(Code::HastyTrigger, why, fix))
}

fn past_date(rule: &Rule, now: Timestamp) -> Option<Finding> {
    let date = rule.trigger.date().filter(|date| *date <= now)?;
    Some(Finding::advice(
        Code::PastDate,
        format!("It is later than {date} already: the trigger holds nobody up."),
        "Name a date that is to come, or leave trigger out.",
    ))
}

fn own_review(terms: &Terms, rule: &Rule) -> Option<Finding> {
    let [requester] = rule.requesters.as_slice() else { return None };
    let is_own = rule.reviewers.as_slice() == [requester.clone()];
    (is_own && terms.in_role(requester).len() == 1).then(|| {
        let who = in_roles(terms, [requester], "and");
        Finding::advice(
            Code::OwnReview,
            format!(
                "Nobody but {who} has to have seen a request, which is its own: that means nothing."
            ),
            "Name in reviewers a role that does not ask, or leave it out.",
        )
    })
}

fn short_expiry(terms: &Terms, rule: &Rule) -> Option<Finding> {
    let longest = rule.notice.longest(terms.calendar.as_ref())?;
    let open = Timestamp::EPOCH.after(rule.expires);
    let left = open.since(Timestamp::EPOCH.after(longest));
    (left < MARGIN).then(|| {
        Finding::advice(
            Code::ShortExpiry,
            match longest.is_zero() {
                true => format!(
                    "A request lapses after {}: in that time {} have to read it, consent and send \
                     what opens the bundle.",
                    rule.expires,
                    in_roles(terms, &rule.consenting_roles(), "and")
                ),
                false => format!(
                    "Notice can take {longest} and a request lapses after {}: that leaves {left} for \
                     an objection to be settled and for everybody's contribution.",
                    rule.expires
                ),
            },
            "Let expires be longer, by a week at least; an objection takes longer to settle.",
        )
    })
}

fn vote_before_notice(terms: &Terms, rule: &Rule) -> Option<Finding> {
    let vote = rule.vote?;
    let longest = rule.notice.longest(terms.calendar.as_ref())?;
    (vote <= longest).then(|| {
        Finding::advice(
            Code::VoteBeforeNotice,
            format!(
                "A consent is good for {vote} and notice can take {longest}: whoever consents at once \
                 has to do so again."
            ),
            "Let vote be longer than notice, or leave it out.",
        )
    })
}

fn vote_beyond_expiry(rule: &Rule) -> Option<Finding> {
    let vote = rule.vote.filter(|vote| *vote >= rule.expires)?;
    Some(Finding::advice(
        Code::VoteBeyondExpiry,
        format!(
            "A consent is good for {vote} and a request lapses after {}: that means nothing.",
            rule.expires
        ),
        "Let vote be shorter than expires, or leave it out.",
    ))
}

fn duty_before_access(rule: &Rule) -> Option<Finding> {
    let duty = rule.duty?;
    let within = rule.access.and_then(|access| access.within);
    let why = match (duty.kind, within) {
        (_, Some(within)) if duty.within < within => format!(
            "The duty to {} is due {} after the release, and the bundle may be fetched for {within}.",
            duty.kind.word(),
            duty.within
        ),
        (DutyKind::Destroy | DutyKind::Return, None) => format!(
            "The duty to {} is due {} after the release, and the bundle may be fetched again for ever.",
            duty.kind.word(),
            duty.within
        ),
        (DutyKind::Destroy | DutyKind::Return | DutyKind::Report, Some(_) | None) => return None,
    };
    let fix = format!("Write access = {{ within = \"…\" }} with less than {}.", duty.within);
    Some(Finding::advice(Code::DutyBeforeAccess, why, fix))
}
