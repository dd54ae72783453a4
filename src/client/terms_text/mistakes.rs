//! What people write who never wrote TOML, and what to write instead.

/// What is said of the terms as a whole.
const OF_THE_WHOLE: [&str; 7] =
    ["title", "quorum", "contract", "stock_age", "holders", "amend", "term"];

/// What to do about what the reader of TOML says, which shows the line.
pub(super) fn remedy(fault: &str) -> &'static str {
    const REMEDIES: [(&[&str], &str); 8] = [
        (
            &["\u{201c}", "\u{201d}", "\u{201e}", "\u{2018}", "\u{2019}"],
            "write straight quotation marks (\"), and not those of a word processor",
        ),
        (
            &["string values must be quoted"],
            "put what is no number, and neither true nor false, in quotation marks: \"90d\"",
        ),
        (&["missing field `rule`"], "write each way to a release below a line [[rule]]"),
        (
            &["invalid boolean", "expected `nan`", "expected `inf`"],
            "write true or false in small letters, numbers in digits, all else in quotation marks",
        ),
        (
            &["invalid type: map, expected a time such", "invalid type: map, expected a date such"],
            "write times in full and in quotation marks, such as \"2036-12-31T00:00:00.000Z\", and \
             days such as \"2027-01-01\"",
        ),
        (
            &["invalid unquoted key", "key with no value"],
            "write names in small letters, digits and hyphens, without spaces, and = behind them",
        ),
        (&["unicode value digits", "escape"], "write a path in single quotation marks, or with /"),
        (&["invalid value: integer"], "write a whole number that is neither negative nor so large"),
    ];
    let is_misplaced = |word: &&str| fault.contains(&format!("unknown field `{word}`"));
    if OF_THE_WHOLE.iter().any(is_misplaced) {
        return "move it up, before the first line in brackets: what stands below one belongs to it";
    }
    let fits = |said: &[&str]| said.iter().any(|said| fault.contains(said));
    let found = REMEDIES.iter().find(|(said, _)| fits(said));
    found.map_or("`escrow guide terms` has every word with an example", |(_, remedy)| remedy)
}

/// What the reader of TOML expected, in words of people who write it and not of programmers.
pub(super) fn in_words(fault: &str) -> String {
    const WORDS: [(&str, &str); 5] = [
        ("a sequence", "a list such as [\"agent\"]"),
        ("a map", "a table"),
        ("a boolean", "true or false"),
        ("u16", "a whole number"),
        ("unit", "nothing but the word in quotes"),
    ];
    let said = fault.rsplit_once(", expected ").and_then(|(before, expected)| {
        let (_, words) = WORDS.into_iter().find(|(kind, _)| *kind == expected)?;
        Some(format!("{before}, expected {words}"))
    });
    said.unwrap_or_else(|| fault.to_owned())
}
