//! The language of walks: a step a line, in the words of the commands that people run.
//!
//! `#` begins a remark. A line that begins with `refused` is a step that is to be refused. What holds
//! blanks stands in quotes.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::due::{DueDate, StartDate};
use crate::domain::id::{MemberPath, OrganisationName};
use crate::domain::statement::{Acknowledged, Attested, Basis, Duty, DutyKind, Reason, Withdrawn};
use crate::domain::terms::Terms;
use crate::domain::text::{Text, is_deceptive};
use crate::domain::time::Span;
use crate::domain::walk::{Act, Saying, Step};

/// Largest script, in bytes.
pub const BYTES_MAX: u64 = 64 * 1024;
/// Most lines of one, blank ones and remarks included.
pub const LINES_MAX: usize = 2_000;
/// Longest line, in bytes.
pub const LINE_BYTES_MAX: usize = 2_000;

/// How each step is written, in the order in which they are told.
pub const USAGES: [(&str, &str); 17] = [
    ("deposit", "deposit [ORG/MEMBER] [--label TEXT]"),
    ("request", "request ORG/MEMBER [DEPOSIT] --rule NAME [--return-by DATE | --destroy-by DATE]"),
    ("show", "show ORG/MEMBER [REQUEST]"),
    ("approve", "approve ORG/MEMBER [REQUEST] [--notified]"),
    ("object", "object ORG/MEMBER [REQUEST]"),
    ("attest", "attest ORG/MEMBER [REQUEST] (--event KIND | --order)"),
    ("settle", "settle ORG/MEMBER [REQUEST] (--joint | --award | --order)"),
    ("withdraw", "withdraw ORG/MEMBER [REQUEST] [--objection]"),
    ("retrieve", "retrieve [ORG/MEMBER] [REQUEST]"),
    (
        "acknowledge",
        "acknowledge ORG/MEMBER [REQUEST] (--received | --returned | --destroyed | --reported)",
    ),
    ("remind", "remind ORG/MEMBER [--org ORG]"),
    ("revoke", "revoke ORG/MEMBER (--left | --compromised-since DATE)"),
    ("amend", "amend ORG/MEMBER TERMS.toml"),
    ("countersign", "countersign ORG/MEMBER"),
    ("terminate", "terminate ORG/MEMBER"),
    ("wait", "wait [TIME, such as 10d; without one, until something happens by itself]"),
    ("until", "until DATE"),
];

/// What the real commands take for people to read; no rule looks at it, and it may be left out.
const FOR_PEOPLE: [(&str, &str); 5] = [
    ("request", "--purpose"),
    ("request", "--evidence"),
    ("object", "--reason"),
    ("attest", "--evidence"),
    ("settle", "--evidence"),
];

/// Words that people try, and what is meant by them.
const MEANT: [(&str, &str); 12] = [
    ("ask", "request"),
    ("consent", "approve"),
    ("contribute", "approve"),
    ("agree", "approve"),
    ("see", "show"),
    ("look", "show"),
    ("notify", "approve"),
    ("complain", "object"),
    ("fetch", "retrieve"),
    ("receive", "retrieve"),
    ("sleep", "wait"),
    ("pass", "wait"),
];

/// On what basis objections are settled, as it is written.
pub const BASES: [(&str, Basis); 3] =
    [("--joint", Basis::Joint), ("--award", Basis::Award), ("--order", Basis::Order)];

/// What became of a bundle, as it is written.
pub const BECAME: [(&str, Acknowledged); 4] = [
    ("--received", Acknowledged::Received),
    ("--returned", Acknowledged::Returned),
    ("--destroyed", Acknowledged::Destroyed),
    ("--reported", Acknowledged::Reported),
];

/// What cannot be read, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Fault {
    pub(super) fn new(message: impl ToString, hint: impl ToString) -> Self {
        Self { message: message.to_string(), hint: hint.to_string() }
    }
}

/// A step as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// In which line, from 1.
    pub number: usize,
    /// As it was written.
    pub text: String,
    /// Whether it is to be refused.
    pub is_to_be_refused: bool,
    /// What is to be done.
    pub step: Step,
}

/// What lines are read by.
pub struct Reader<'a> {
    /// Who can be named.
    pub parties: BTreeSet<OrganisationName>,
    /// Reads the terms in a file, named as the script names it.
    pub terms: &'a dyn Fn(&Path) -> Result<Terms, Fault>,
}

impl Reader<'_> {
    /// Reads a script. The first line that cannot be read is told with its number.
    pub fn script(&self, text: &str) -> Result<Vec<Line>, (usize, Fault)> {
        let mut lines = Vec::new();
        for (number, text) in (1..).zip(text.lines()) {
            if number > LINES_MAX {
                let message = format!("a script has at most {LINES_MAX} lines");
                return Err((number, Fault::new(message, "make several of it")));
            }
            lines.extend(self.line(number, text).map_err(|fault| (number, fault))?);
        }
        Ok(lines)
    }

    /// Reads one line; nothing, if it holds no step.
    pub fn line(&self, number: usize, text: &str) -> Result<Option<Line>, Fault> {
        if text.len() > LINE_BYTES_MAX {
            let message = format!("a line has at most {LINE_BYTES_MAX} bytes");
            return Err(Fault::new(message, "shorten it"));
        }
        if text.chars().any(|c| c != '\t' && is_deceptive(c)) {
            let message = "the line holds characters that cannot be seen";
            return Err(Fault::new(message, "type it anew"));
        }
        let mut words = words(text)?;
        let is_to_be_refused = words.first().is_some_and(|word| word == "refused");
        if is_to_be_refused {
            words.remove(0);
            if words.is_empty() {
                let hint = "write the step behind it: refused approve ORG/MEMBER";
                return Err(Fault::new("nothing is to be refused here", hint));
            }
        }
        let mut words = words.into_iter();
        let Some(word) = words.next() else { return Ok(None) };
        let usage = usage(&word)?;
        let mut rest = Rest { word, usage, words: words.collect() };
        let step = self.step(&mut rest)?;
        rest.is_empty()?;
        Ok(Some(Line { number, text: text.trim().to_owned(), is_to_be_refused, step }))
    }

    fn step(&self, rest: &mut Rest) -> Result<Step, Fault> {
        let word = rest.word.clone();
        for (_, option) in FOR_PEOPLE.into_iter().filter(|(of, _)| *of == word) {
            while rest.value(option)?.is_some() {}
        }
        let say = |saying| Act::Say(saying);
        let step = match word.as_str() {
            "deposit" => {
                let label = rest.value("--label")?.map(|text| read::<Text>(&text)).transpose()?;
                Step::Deposit { by: self.member_if_any(rest)?, label }
            }
            "request" => {
                let rule = rest.value("--rule")?;
                let rule = read(&rule.ok_or_else(|| rest.lacks("under which rule"))?)?;
                let mut duty = |option, kind| {
                    let date = rest.value(option)?;
                    let duty = |text: String| Ok(Duty { kind, by: date_of::<DueDate>(&text)?.0 });
                    date.map(duty).transpose()
                };
                let to_return = duty("--return-by", DutyKind::Return)?;
                let to_destroy = duty("--destroy-by", DutyKind::Destroy)?;
                if to_return.is_some() && to_destroy.is_some() {
                    return Err(rest.confuses());
                }
                let (by, deposit) = (self.member(rest)?, rest.number()?);
                Step::Request { by, rule, deposit, duty: to_return.or(to_destroy) }
            }
            "show" => self.about(rest, Act::Look)?,
            "approve" => {
                let notified = rest.flag("--notified");
                self.about(rest, Act::Approve { notified })?
            }
            "object" => self.about(rest, say(Saying::Objection))?,
            "attest" => {
                let kind = rest.value("--event")?;
                let what = match (kind, rest.flag("--order")) {
                    (Some(kind), false) => Attested::Event(read(&kind)?),
                    (None, true) => Attested::Order,
                    (None, false) => return Err(rest.lacks("what is attested")),
                    (Some(_), true) => return Err(rest.confuses()),
                };
                self.about(rest, say(Saying::Attestation(what)))?
            }
            "settle" => {
                let basis = rest.one_of(BASES, "on what basis")?;
                self.about(rest, say(Saying::Settlement(basis)))?
            }
            "withdraw" => {
                let what = match rest.flag("--objection") {
                    true => Withdrawn::Objection,
                    false => Withdrawn::Request,
                };
                self.about(rest, say(Saying::Withdrawal(what)))?
            }
            "retrieve" => {
                let (by, request) = (self.member_if_any(rest)?, rest.number()?);
                Step::About { request, by, act: say(Saying::Retrieval) }
            }
            "acknowledge" => {
                let what = rest.one_of(BECAME, "what became of it")?;
                self.about(rest, say(Saying::Acknowledgement(what)))?
            }
            "remind" => {
                let organisation =
                    rest.value("--org")?.map(|text| self.party(&text)).transpose()?;
                Step::Remind { by: self.member(rest)?, organisation }
            }
            "revoke" => {
                let since = rest.value("--compromised-since")?;
                let since = since.map(|text| date_of::<StartDate>(&text)).transpose()?;
                let reason = match (rest.flag("--left"), since) {
                    (true, None) => Reason::Left,
                    (false, Some(StartDate(since))) => Reason::CompromisedSince(since),
                    (false, None) => return Err(rest.lacks("why")),
                    (true, Some(_)) => return Err(rest.confuses()),
                };
                Step::Revoke { member: self.member(rest)?, reason }
            }
            "amend" => {
                let by = self.member(rest)?;
                let file = rest.next().ok_or_else(|| rest.lacks("the file of terms"))?;
                Step::Amend { by, terms: Box::new((self.terms)(Path::new(&file))?) }
            }
            "countersign" => Step::Countersign { by: self.member(rest)? },
            "terminate" => Step::Terminate { by: self.member(rest)? },
            "wait" => Step::Wait(rest.next().map(|text| read::<Span>(&text)).transpose()?),
            "until" => {
                let date = rest.next().ok_or_else(|| rest.lacks("the day"))?;
                Step::Until(date_of::<StartDate>(&date)?.0)
            }
            _ => return Err(unknown(&rest.word)),
        };
        Ok(step)
    }

    fn about(&self, rest: &mut Rest, act: Act) -> Result<Step, Fault> {
        let (by, request) = (Some(self.member(rest)?), rest.number()?);
        Ok(Step::About { request, by, act })
    }

    fn member(&self, rest: &mut Rest) -> Result<MemberPath, Fault> {
        self.member_if_any(rest)?.ok_or_else(|| rest.lacks("who does it"))
    }

    /// The member who is named next; a number names none.
    fn member_if_any(&self, rest: &mut Rest) -> Result<Option<MemberPath>, Fault> {
        let is_number = |word: &String| word.bytes().all(|c| c.is_ascii_digit());
        let Some(text) = rest.words.first().filter(|word| !is_number(word)).cloned() else {
            return Ok(None);
        };
        rest.words.remove(0);
        if let Some(option) = text.strip_prefix('-') {
            let message = format!("{} knows no -{option} here", rest.word);
            return Err(Fault::new(message, rest.usage_hint()));
        }
        let member: MemberPath = read(&text)?;
        self.party(member.organisation.as_str())?;
        Ok(Some(member))
    }

    fn party(&self, text: &str) -> Result<OrganisationName, Fault> {
        let organisation: OrganisationName = read(text)?;
        if self.parties.contains(&organisation) {
            return Ok(organisation);
        }
        let parties = self.parties.iter().map(ToString::to_string).collect::<Vec<_>>();
        let hint = format!("the parties are {}", parties.join(", "));
        Err(Fault::new(format!("{organisation} is no party of these terms"), hint))
    }
}

/// What follows the first word of a step.
struct Rest {
    word: String,
    usage: &'static str,
    words: Vec<String>,
}

impl Rest {
    fn next(&mut self) -> Option<String> {
        (!self.words.is_empty()).then(|| self.words.remove(0))
    }

    fn flag(&mut self, name: &str) -> bool {
        let found = self.words.iter().position(|word| word == name);
        found.map(|at| self.words.remove(at)).is_some()
    }

    /// What follows an option, or stands behind its `=`.
    fn value(&mut self, name: &str) -> Result<Option<String>, Fault> {
        let behind = |word: &String| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        if let Some((at, value)) =
            self.words.iter().enumerate().find_map(|(at, word)| Some((at, behind(word)?)))
        {
            self.words.remove(at);
            return Ok(Some(value));
        }
        let Some(at) = self.words.iter().position(|word| word == name) else { return Ok(None) };
        self.words.remove(at);
        if at == self.words.len() {
            let message = format!("something has to follow {name}");
            return Err(Fault::new(message, self.usage_hint()));
        }
        Ok(Some(self.words.remove(at)))
    }

    /// The one of several flags that is there.
    fn one_of<T: Copy, const N: usize>(
        &mut self,
        flags: [(&str, T); N],
        what: &str,
    ) -> Result<T, Fault> {
        let given = flags.iter().filter(|(flag, _)| self.flag(flag)).map(|(_, value)| *value);
        match given.collect::<Vec<_>>().as_slice() {
            [one] => Ok(*one),
            [] => Err(self.lacks(what)),
            [..] => Err(self.confuses()),
        }
    }

    /// The number that is named next, of a deposit or a request.
    fn number(&mut self) -> Result<Option<usize>, Fault> {
        let Some(text) = self.words.first().filter(|word| !word.starts_with('-')) else {
            return Ok(None);
        };
        let number = text.parse::<usize>().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| {
            let message = format!("{text:?} is no number of a deposit or request");
            Fault::new(message, "they are counted from 1; without a number the last is meant")
        })?;
        self.words.remove(0);
        Ok(Some(number))
    }

    fn is_empty(&self) -> Result<(), Fault> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => {
                let message = format!("{} knows no {word} here", self.word);
                Err(Fault::new(message, self.usage_hint()))
            }
        }
    }

    fn lacks(&self, what: &str) -> Fault {
        Fault::new(format!("{} does not say {what}", self.word), self.usage_hint())
    }

    fn confuses(&self) -> Fault {
        Fault::new(format!("{} says two things at once", self.word), self.usage_hint())
    }

    fn usage_hint(&self) -> String {
        format!("write: {}", self.usage)
    }
}

/// How the step of this word is written.
fn usage(word: &str) -> Result<&'static str, Fault> {
    let found = USAGES.iter().find(|(known, _)| *known == word);
    found.map(|(_, usage)| *usage).ok_or_else(|| unknown(word))
}

fn unknown(word: &str) -> Fault {
    let message = format!("{} is no step", shortened(word));
    let meant = MEANT.iter().find(|(tried, _)| *tried == word).map(|(_, meant)| *meant);
    match meant.and_then(|meant| usage(meant).ok()) {
        Some(usage) => Fault::new(message, format!("write: {usage}")),
        None => {
            let all = USAGES.map(|(word, _)| word).join(", ");
            Fault::new(message, format!("the steps are {all}"))
        }
    }
}

fn shortened(word: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    format!("{:?}", word.chars().take(SHOWN_CHARS_MAX).collect::<String>())
}

/// The words of a line. A remark begins where a word would.
fn words(line: &str) -> Result<Vec<String>, Fault> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '#' {
            break;
        }
        let mut word = String::new();
        let mut open = None;
        let mut end = rest.len();
        for (at, c) in rest.char_indices() {
            match open {
                Some(quote) if c == quote => open = None,
                None if c == '\'' || c == '"' => open = Some(c),
                None if c.is_whitespace() => {
                    end = at;
                    break;
                }
                Some(_) | None => word.push(c),
            }
        }
        if open.is_some() {
            let message = "a quotation is not closed";
            return Err(Fault::new(message, "close it with the quotation mark that opened it"));
        }
        words.push(word);
        rest = rest.get(end..).unwrap_or_default().trim_start();
    }
    Ok(words)
}

/// Something that has one form, which its error tells.
fn read<T: std::str::FromStr<Err = crate::domain::id::Malformed>>(text: &str) -> Result<T, Fault> {
    text.parse().map_err(|fault: crate::domain::id::Malformed| {
        let (what, rule) = (fault.what, fault.rule);
        Fault::new(format!("{} is not {what}", shortened(text)), format!("write {rule}"))
    })
}

fn date_of<T: std::str::FromStr<Err = String>>(text: &str) -> Result<T, Fault> {
    let malformed = |hint| Fault::new(format!("{} is no date", shortened(text)), hint);
    text.parse().map_err(malformed)
}

#[cfg(test)]
mod tests;
