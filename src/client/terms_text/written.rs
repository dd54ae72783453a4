//! Terms that were signed, written down as people write them: to be checked, tried and amended by
//! parties that never had the file.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use crate::domain::terms::Terms;

/// What is said of a rule, as it is signed and as people write it, in the order of the templates.
const OF_A_RULE: [(&str, &str); 14] = [
    ("name", "name"),
    ("requesters", "requester"),
    ("trigger", "trigger"),
    ("needs", "needs"),
    ("distinct_organisations", "distinct_organisations"),
    ("reviewers", "reviewers"),
    ("notice", "notice"),
    ("vote", "vote"),
    ("objection", "objection"),
    ("settled_by", "settled_by"),
    ("expires", "expires"),
    ("grants", "grants"),
    ("duty", "duty"),
    ("access", "access"),
];

/// A file of these terms, in TOML. Files that they name are not part of them, only a digest or a
/// certificate is: where one belongs, a remark says so.
pub fn write(terms: &Terms) -> String {
    let mut text = String::new();
    let mut put = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    put(said("title", &terms.title));
    put(said("quorum", &terms.quorum));
    put(said("holders", &terms.holders));
    put(said("stock_age", &terms.stock_age));
    if let Some(sha256) = &terms.contract_sha256 {
        put(format!("# contract = \"…\"    # SHA-256 {sha256}: name your copy of it"));
    }
    terms.amend.iter().for_each(|amend| put(said("amend", amend)));
    terms.term.iter().for_each(|term| put(said("term", term)));
    put("\n[parties]".to_owned());
    for (role, who) in &terms.parties {
        put(match who.as_slice() {
            [one] => said(role.as_str(), one),
            several => said(role.as_str(), &several),
        });
    }
    put("\n[fingerprints]".to_owned());
    terms.fingerprints.iter().for_each(|(who, print)| put(said(who.as_str(), print)));
    if let Some(calendar) = &terms.calendar {
        put("\n[calendar]".to_owned());
        for (word, value) in table(calendar) {
            put(said(&word, &value));
        }
    }
    if let Some(pinned) = &terms.time_stamps {
        put("\n# Name your copy of the certificate of the authority that is pinned.".to_owned());
        put("# [time_stamps]".to_owned());
        put(format!("# {}", said("authority", &pinned.authority)));
        put("# ca = \"…\"".to_owned());
    }
    for rule in &terms.rules {
        put("\n[[rule]]".to_owned());
        let signed = table(rule);
        for (word, written) in OF_A_RULE {
            match signed.get(word) {
                None | Some(Value::Null) => {}
                Some(Value::Array(none)) if none.is_empty() => {}
                Some(value) => put(said(written, value)),
            }
        }
    }
    text
}

fn table(value: &impl Serialize) -> serde_json::Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(words)) => words,
        Ok(_) | Err(_) => serde_json::Map::new(),
    }
}

fn said(word: &str, value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    let mut line = format!("{word} = ");
    inline(&mut line, &value);
    line
}

/// In one line. Texts, numbers and lists are written in TOML as in JSON; tables are not. Words are
/// names, which need no quotes.
fn inline(line: &mut String, value: &Value) {
    match value {
        Value::Array(items) => {
            line.push('[');
            for (i, item) in items.iter().enumerate() {
                line.push_str(if i == 0 { "" } else { ", " });
                inline(line, item);
            }
            line.push(']');
        }
        Value::Object(words) => {
            line.push_str("{ ");
            for (i, (word, value)) in words.iter().filter(|(_, it)| !it.is_null()).enumerate() {
                let comma = if i == 0 { "" } else { ", " };
                let _ = write!(line, "{comma}{word} = ");
                inline(line, value);
            }
            line.push_str(" }");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let _ = write!(line, "{value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::client::terms_text::{TEMPLATES, read_unpinned};
    use crate::domain::der::Der;
    use crate::domain::terms::TimeStamps;
    use crate::domain::tests::terms::{any_terms, second_format, terms, three_party};

    /// What is read again of what was written down.
    fn again(terms: &Terms) -> Terms {
        let text = write(terms);
        let read = read_unpinned(&text, Path::new("terms.toml"));
        let read = read.unwrap_or_else(|fault| panic!("{fault}: {text}")).terms;
        // Of files there are digests alone.
        let (contract_sha256, time_stamps) = (terms.contract_sha256, terms.time_stamps.clone());
        Terms { contract_sha256, time_stamps, format: terms.format, ..read }
    }

    #[test]
    fn terms_that_were_signed_are_read_again_as_what_they_are() {
        let page = include_str!("../../cli/guide/terms.md");
        let blocks = page.split("```toml\n").skip(1).filter_map(|it| it.split("```").next());
        let page = blocks.collect::<String>();
        for (name, text) in TEMPLATES.into_iter().chain([("the guide", page.as_str())]) {
            let terms = read_unpinned(text, Path::new(name)).unwrap().terms;
            assert_eq!(again(&terms), terms, "{name}");
        }
        for terms in [terms(three_party()), terms(second_format())] {
            assert_eq!(again(&terms), terms);
        }
    }

    #[test]
    fn what_is_not_in_the_terms_themselves_is_remarked() {
        let mut signed = terms(second_format());
        signed.contract_sha256 = Some(Default::default());
        let authority = "http://tsa.example/".parse().unwrap();
        signed.time_stamps = Some(TimeStamps { authority, ca: Der::stand_in() });
        let text = write(&signed);
        assert!(text.contains("# contract = \"…\"    # SHA-256 0000"), "{text}");
        assert!(text.contains("# authority = \"http://tsa.example/\""), "{text}");
        assert_eq!(again(&signed), signed);
    }

    proptest! {
        #[test]
        fn whatever_was_signed_is_read_again(terms in any_terms(), title in "\\PC{1,40}") {
            let title = title.parse();
            let terms = Terms { title: title.unwrap_or(terms.title.clone()), ..terms };
            prop_assert_eq!(again(&terms), terms);
        }
    }
}
