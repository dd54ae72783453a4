//! stdout is data, stderr is speech.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write};

use serde::Serialize;
use serde_json::json;

use crate::cli::PROGRAM;
use crate::cli::failure::{Failure, visible};
use crate::cli::interrupt;
use crate::cli::line;
pub use crate::cli::progress::Progress;

/// The terminal that a program was started from, whatever its standard input is.
pub(super) const TERMINAL: &str = "/dev/tty";

/// How a command answers.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// One JSON object a line instead of text for people.
    pub json: bool,
    /// Signs without asking.
    pub yes: bool,
}

impl Output {
    /// Puts out one record: as JSON, or as the text made for people.
    pub fn record<T: Serialize>(
        &self,
        record: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let line = match self.json {
            true => serde_json::to_string(record).map_err(defect)?,
            false => visible(&text(record)),
        };
        put(&line)
    }

    /// Puts out a list: a JSON object a line, or a table with a head.
    pub fn list<T: Serialize>(
        &self,
        records: &[T],
        head: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), Failure> {
        if self.json {
            return records
                .iter()
                .try_for_each(|record| put(&serde_json::to_string(record).map_err(defect)?));
        }
        if records.is_empty() {
            self.say("none");
            return Ok(());
        }
        let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
        rows.extend(records.iter().map(row));
        put(&table(&rows))
    }

    /// Puts out a text as it is.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        put(text)
    }

    /// Says something to the person at the terminal.
    pub fn say(&self, text: &str) {
        if !self.json {
            line::say(&visible(text));
        }
    }

    /// Says what a person at the terminal is to type behind.
    pub fn prompt(&self, text: &str) {
        line::prompt(text);
    }

    /// Says what may be dangerous to overlook, to programs too.
    pub fn warn(&self, text: impl ToString) {
        let text = text.to_string();
        match self.json {
            true => line::say(&json!({ "warning": { "message": text } }).to_string()),
            false => line::say(&format!("{PROGRAM}: warning: {}", visible(&text))),
        }
    }

    /// Says what is for people to weigh, to programs too.
    pub fn advise<T: Serialize + Display>(&self, advice: &T) {
        match self.json {
            true => line::say(&json!({ "advice": advice }).to_string()),
            false => line::say(&visible(&advice.to_string())),
        }
    }

    /// Shows what is about to be signed, and asks. Without a terminal only `--yes` will do.
    pub fn ask(&self, what: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(nobody_to_ask());
        }
        interrupt::asking(|| agreed(what, io::stdin().lock(), io::stderr()))
    }

    /// The same for a command that has read its data from standard input: asks at the terminal
    /// it was started from, if there is one.
    pub fn ask_beside_input(&self, what: &str) -> Result<(), Failure> {
        if self.yes || io::stdin().is_terminal() {
            return self.ask(what);
        }
        let terminal = File::options().read(true).write(true).open(TERMINAL);
        let terminal = terminal.map_err(|_| nobody_to_ask())?;
        interrupt::asking(|| agreed(what, BufReader::new(&terminal), &terminal))
    }
}

fn nobody_to_ask() -> Failure {
    Failure::usage(
        "this signs a statement, and nobody is at a terminal to agree",
        "read what is signed, then add --yes",
    )
}

/// Shows and asks, on some terminal.
fn agreed(what: &str, mut from: impl BufRead, mut to: impl Write) -> Result<(), Failure> {
    let mut answer = String::new();
    let asked = write!(to, "{}\nSign this? [y/N] ", visible(what))
        .and_then(|()| to.flush())
        .and_then(|()| from.read_line(&mut answer));
    match (asked, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        (Ok(_) | Err(_), _) => {
            Err(Failure::failed("NOT_SIGNED", "nothing was signed", "answer y to sign"))
        }
    }
}

/// A number of things: one of them, or several.
pub fn count<N: TryInto<u64> + Copy>(number: N, one: &str, several: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {}", if number == 1 { one } else { several })
}

fn put(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
    match written.and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // Whoever was reading has seen enough.
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(fault) => Err(Failure::failed("OUTPUT", fault, "check where the output goes")),
    }
}

fn defect(fault: serde_json::Error) -> Failure {
    Failure::failed("OUTPUT", fault, "this is a defect; please report it")
}

/// Rows in columns, two blanks apart.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| visible(cell).chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let cell = visible(cell).replace('\n', " ");
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Names and values under each other.
pub fn fields(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    let line = |(name, value): &(&str, String)| {
        let mut lines = value.lines();
        let first = lines.next().unwrap_or_default();
        let rest = lines.map(|line| format!("\n{:width$}{line}", ""));
        format!("{name:<width$}{first}{}\n", rest.collect::<String>())
    };
    pairs.iter().map(line).collect()
}

/// A size as people read it.
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut shown = (bytes as f64, "bytes");
    for unit in units {
        if shown.0 < 1024.0 {
            break;
        }
        shown = (shown.0 / 1024.0, unit);
    }
    match shown.1 {
        "bytes" => format!("{bytes} bytes"),
        unit => format!("{:.1} {unit}", shown.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        let shown = table(&[vec!["a\u{1b}[2J".to_owned(), "b\nc".to_owned()]]);
        assert_eq!(shown, "a\u{fffd}[2J  b c\n");
    }

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn fields_stand_under_each_other() {
        let text = fields(&[("id", "x".to_owned()), ("state", "a\nb".to_owned())]);
        assert_eq!(text, "id     x\nstate  a\n       b\n");
    }
}
