//! `escrow guide`: short pages on the practice and on the terms, each ending in the commands to run.
//!
//! They are written once, beside this file, and are the same on the terminal and below.
//!
#![doc = include_str!("guide/deposit.md")]
#![doc = include_str!("guide/agent.md")]
#![doc = include_str!("guide/shares.md")]
#![doc = include_str!("guide/leaving.md")]
#![doc = include_str!("guide/requests.md")]
#![doc = include_str!("guide/terms.md")]
#![doc = include_str!("guide/receipt.md")]
#![doc = include_str!("guide/register.md")]

use serde::Serialize;

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;

/// Each topic with its page.
const PAGES: [(&str, &str); 8] = [
    ("deposit", include_str!("guide/deposit.md")),
    ("agent", include_str!("guide/agent.md")),
    ("shares", include_str!("guide/shares.md")),
    ("leaving", include_str!("guide/leaving.md")),
    ("requests", include_str!("guide/requests.md")),
    ("terms", include_str!("guide/terms.md")),
    ("receipt", include_str!("guide/receipt.md")),
    ("register", include_str!("guide/register.md")),
];

/// What stands around the commands of a page, and around what is written into terms.
const FENCE: &str = "```";

#[derive(Serialize)]
struct PageView {
    topic: &'static str,
    title: &'static str,
    text: String,
}

impl PageView {
    fn new((topic, page): (&'static str, &'static str)) -> Self {
        let title = page.lines().next().unwrap_or_default().trim_start_matches("# ");
        Self { topic, title, text: plain(page) }
    }
}

/// Prints a page, or the topics there are.
pub(super) fn guide(output: &Output, topic: Option<&str>) -> Result<Exit, Failure> {
    let Some(topic) = topic else {
        let views = PAGES.map(PageView::new);
        output.list(&views, &["TOPIC", "WHAT IT IS ABOUT"], |view| {
            vec![view.topic.to_owned(), view.title.to_owned()]
        })?;
        output.say("`escrow guide TOPIC` prints a page.");
        return Ok(Exit::Done);
    };
    let Some(page) = PAGES.into_iter().find(|(known, _)| *known == topic) else {
        let topics = PAGES.map(|(topic, _)| topic).join(", ");
        let message = format!("there is no page on {topic}");
        return Err(Failure::failed("NO_PAGE", message, format!("there are: {topics}")));
    };
    output.record(&PageView::new(page), |view| view.text.clone())?;
    Ok(Exit::Done)
}

/// A page as it reads on a terminal: what is to be typed is indented, and nothing else stands for
/// layout.
fn plain(page: &str) -> String {
    let (mut text, mut is_typed) = (String::new(), false);
    for line in page.lines() {
        if line.starts_with(FENCE) {
            is_typed = !is_typed;
            continue;
        }
        let line = match is_typed {
            true if line.is_empty() => String::new(),
            true => format!("    {line}"),
            false => line.trim_start_matches("# ").replace("**", "").replace('`', ""),
        };
        text.push_str(&format!("{line}\n"));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use super::*;
    use crate::cli::args::Cli;
    use crate::client::terms_text;
    use crate::domain::advice::{self, Known};
    use crate::domain::soundness;

    /// The words of a command, as a shell without variables would have them.
    fn words(command: &str) -> Vec<String> {
        let quoted = command.split('\'').enumerate();
        let (mut words, mut open) = (vec![String::new()], false);
        for (place, part) in quoted {
            open = place % 2 == 1;
            match open {
                true => words.last_mut().unwrap().push_str(part),
                false => {
                    let mut parts = part.split(' ');
                    words.last_mut().unwrap().push_str(parts.next().unwrap());
                    words.extend(parts.map(str::to_owned));
                }
            }
        }
        assert!(!open, "{command}: a quote is left open");
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn every_page_ends_in_commands_that_there_are() {
        let fingerprint = ["aaaa"; 8].join("-");
        for (topic, page) in PAGES {
            assert!(page.starts_with("# "), "{topic} has a title");
            let parts: Vec<&str> = page.split(FENCE).collect();
            let [.., commands, end] = parts.as_slice() else { panic!("{topic} has commands") };
            assert_eq!(end.trim(), "", "{topic} ends in commands");
            assert!(commands.starts_with("text\n"), "{topic} ends in commands");
            assert_eq!(
                parts.iter().filter(|part| part.starts_with("text\n")).count(),
                1,
                "{topic}"
            );
            let lines = commands.lines().skip(1);
            let run: Vec<&str> = lines.flat_map(|line| line.split(" && ")).collect();
            let ours = run.iter().filter(|line| line.starts_with("escrow "));
            for command in ours.clone() {
                let command = command.replace("FINGERPRINT", &fingerprint);
                let parsed = Cli::try_parse_from(words(&command));
                assert!(parsed.is_ok(), "{topic}: {command}: {}", parsed.unwrap_err());
            }
            assert!(ours.count() >= 3, "{topic} says what to run");
            let widest = page.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(100), "{topic} is {widest:?} wide");
        }
    }

    /// Every word of terms, and what it can be set to where that is a word, too.
    const WORDS: &str = "title quorum holders contract stock_age amend term parties depositor \
        fingerprints calendar utc_offset weekend holidays time_stamps authority ca rule name requester \
        trigger joint event kind attested order missed deposits interval grace silence role lasts \
        reminders every date needs all any at_least of distinct_organisations reviewers notice vote \
        objection settled_by award expires grants latest label duty return destroy report access \
        within times";

    #[test]
    fn the_page_on_the_terms_is_terms_that_nothing_is_wrong_with_and_has_every_word() {
        let (_, page) = PAGES.into_iter().find(|(topic, _)| *topic == "terms").unwrap();
        let written: String =
            page.split(FENCE).filter_map(|part| part.strip_prefix("toml\n")).collect();
        let read = terms_text::read_unpinned(&written, Path::new("terms.toml")).unwrap();
        assert_eq!(soundness::faults(&read.terms), []);
        let now = "2026-11-24T09:00:00.000Z".parse().unwrap();
        let advice: Vec<_> = advice::advise(&read.terms, now, &Known::default())
            .into_iter()
            .map(|it| it.code)
            .collect();
        assert_eq!(advice, [advice::Code::Coalitions], "it is an example to follow");
        assert!(read.contract.is_some() && read.stamps.is_some());
        for word in WORDS.split_whitespace() {
            let is_there = |line: &str| {
                let mut words = line.split(|c: char| !c.is_ascii_lowercase() && c != '_');
                words.any(|found| found == word)
            };
            assert!(written.lines().any(is_there), "{word} has an example");
        }
    }

    #[test]
    fn a_page_on_a_terminal_has_its_commands_indented_and_no_marks() {
        let page = "# A title\n\nTake **care** of `this`.\n\n```toml\n# a remark\n\nterm = 1\n```\n\n\
                    ```text\nescrow status\n```\n";
        let read =
            "A title\n\nTake care of this.\n\n    # a remark\n\n    term = 1\n\n    escrow status";
        assert_eq!(plain(page), read);
    }
}
