//! `escrow agreement simulate`: terms walked through before anybody signs them.

pub mod possible;
pub mod script;
pub mod told;

use std::fs::File;
use std::io::{self, BufRead, IsTerminal as _, Read};
use std::path::Path;
use std::time::SystemTime;

use crate::cli::commands::agreement::written;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, count};
use crate::cli::simulate::script::{Fault, Line, Reader, USAGES};
use crate::cli::simulate::told::ToldView;
use crate::client::error::ClientError;
use crate::client::terms_text;
use crate::domain::terms::Terms;
use crate::domain::time::Timestamp;
use crate::domain::walk::Walk;

/// What stands before what is typed.
const PROMPT: &str = "> ";

/// `escrow agreement simulate`
pub(super) fn simulate(
    output: &Output,
    path: &Path,
    script: Option<&Path>,
    from: Option<Timestamp>,
) -> Result<Exit, Failure> {
    let terms = read_terms(path)?;
    let walk = Walk::of(&terms, from.unwrap_or_else(|| Timestamp::from(SystemTime::now())));
    let mut walk = walk.map_err(|refusal| unsound(path, refusal.into()))?;
    let beside = script.and_then(Path::parent).unwrap_or(Path::new(""));
    let amended = |file: &Path| {
        let terms = read_terms(&beside.join(file));
        terms.map_err(|failure| Fault::new(failure.message(), failure.hint()))
    };
    let reader = Reader { parties: terms.organisations().cloned().collect(), terms: &amended };
    if script.is_none() && io::stdin().is_terminal() && !output.json {
        return prompted(output, &mut walk, &reader, io::stdin().lock());
    }
    let name = script.map_or_else(|| "standard input".to_owned(), |it| it.display().to_string());
    let text = match script {
        Some(file) => File::open(file).and_then(whole),
        None => whole(io::stdin().lock()),
    };
    let hint = "name a file with one step a line; `escrow agreement simulate --help` shows one";
    let text =
        text.map_err(|fault| Failure::failed("UNREADABLE", format!("{name}: {fault}"), hint))?;
    if text.len() as u64 > script::BYTES_MAX {
        return Err(Failure::failed("BAD_SCRIPT", format!("{name} is larger than 64 KiB"), hint));
    }
    let lines = reader.script(&text).map_err(|(number, Fault { message, hint })| {
        Failure::failed("BAD_SCRIPT", format!("{name}, line {number}: {message}"), hint)
    })?;
    run(output, &mut walk, &lines)
}

/// Terms that nobody has to have joined for.
fn read_terms(path: &Path) -> Result<Terms, Failure> {
    Ok(terms_text::read_unpinned(&written(path)?, path)?.terms)
}

fn unsound(path: &Path, refused: ClientError) -> Failure {
    let hint = format!("{}; `escrow agreement check {}` tells all", refused.hint(), path.display());
    Failure::failed(refused.code(), &refused, hint)
}

/// As much of it as there may be, and one byte more.
fn whole(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(script::BYTES_MAX + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Walks through a script and tells every step.
fn run(output: &Output, walk: &mut Walk, lines: &[Line]) -> Result<Exit, Failure> {
    tell(output, &ToldView::outset(walk), false)?;
    let mut unexpected = Vec::new();
    for line in lines {
        let told = step(walk, line);
        tell(output, &told, false)?;
        if !told.is_expected() {
            unexpected.push(line.number.to_string());
        }
    }
    let number = unexpected.len();
    if number == 0 {
        return Ok(Exit::Done);
    }
    let message = format!(
        "{} ended otherwise than the script has it, in {} {}",
        count(number, "step", "steps"),
        if number == 1 { "line" } else { "lines" },
        unexpected.join(", ")
    );
    let hint = "a step that is to be refused is written with `refused` in front";
    Err(Failure::failed("UNEXPECTED", message, hint))
}

fn step(walk: &mut Walk, line: &Line) -> ToldView {
    let said_before = walk.said().len();
    let taken = walk.take(&line.step);
    let how = (line.is_to_be_refused, said_before);
    ToldView::after(walk, (line.number, &line.text), &line.step, how, &taken)
}

fn tell(output: &Output, told: &ToldView, is_prompted: bool) -> Result<(), Failure> {
    output.record(told, |told| format!("{}\n", told.text(is_prompted)))
}

/// Reads steps at a terminal, until there are no more.
fn prompted(
    output: &Output,
    walk: &mut Walk,
    reader: &Reader<'_>,
    mut from: impl BufRead,
) -> Result<Exit, Failure> {
    tell(output, &ToldView::outset(walk), true)?;
    output.say("Type a step; `help` lists them, `quit` ends.");
    for number in 1.. {
        output.prompt(PROMPT);
        let mut text = String::new();
        let bytes_max = script::LINE_BYTES_MAX as u64 + 2;
        let read = from.by_ref().take(bytes_max).read_line(&mut text);
        let read = read.map_err(|fault| {
            Failure::failed("UNREADABLE", fault, "begin anew, and type in UTF-8")
        })?;
        match typed(walk, reader, number, &text) {
            _ if read == 0 => break,
            Typed::Quits => break,
            Typed::Nothing => {}
            Typed::Answered(answer) => output.say(&answer),
            Typed::Taken(told) => tell(output, &told, true)?,
        }
    }
    Ok(Exit::Done)
}

/// What has come of a line that was typed.
enum Typed {
    /// It is enough.
    Quits,
    /// There was nothing in it.
    Nothing,
    /// It was a question, or no step.
    Answered(String),
    /// A step.
    Taken(Box<ToldView>),
}

fn typed(walk: &mut Walk, reader: &Reader<'_>, number: usize, text: &str) -> Typed {
    match text.trim() {
        "quit" | "exit" => Typed::Quits,
        "help" => Typed::Answered(help()),
        text => match reader.line(number, text) {
            Ok(None) => Typed::Nothing,
            Ok(Some(line)) => Typed::Taken(Box::new(step(walk, &line))),
            Err(Fault { message, hint }) => Typed::Answered(format!("{message}\n{hint}")),
        },
    }
}

/// Every step there is, as it is written.
fn help() -> String {
    USAGES.map(|(_, usage)| usage).join("\n")
}

#[cfg(test)]
pub(crate) mod tests;
