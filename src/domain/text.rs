//! Free text that people read and sign.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::domain::id::{Malformed, serde_as_text};

/// A title, purpose, reason, label or file name: one line of visible text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<str>);

impl Text {
    /// Longest text, in bytes of UTF-8.
    pub const BYTES_MAX: usize = 1_000;

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A text of this program's own, which nobody signs.
    pub(in crate::domain) fn own(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        debug_assert!(text.parse::<Self>().is_ok(), "{text:?}");
        Self(text)
    }
}

/// Characters that make a text look like another one: controls, direction marks and overrides,
/// and characters without width.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Text {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if (1..=Self::BYTES_MAX).contains(&text.len())
            && !text.chars().any(is_deceptive)
            && text.trim() == text
        {
            Ok(Self(text.into()))
        } else {
            let rule = "one line of 1 to 1000 bytes, no control or direction characters, \
                        no blanks at the ends";
            let shown: String = text.chars().filter(|c| !is_deceptive(*c)).collect();
            Err(Malformed::new(&shown, "a text to sign", rule))
        }
    }
}

serde_as_text!(Text);

/// Names as they are read out: `a, b and c`.
pub(in crate::domain) fn listed<T: fmt::Display>(
    names: impl IntoIterator<Item = T>,
    word: &str,
) -> String {
    let mut names: Vec<_> = names.into_iter().map(|name| name.to_string()).collect();
    match names.pop() {
        None => "nobody".to_owned(),
        Some(last) if names.is_empty() => last,
        Some(last) => format!("{} {word} {last}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_seen_can_be_signed() {
        for (text, accepted) in [
            ("Q3 audit of line 7", true),
            ("기판 공정 레시피", true),
            ("", false),
            (" padded", false),
            ("two\nlines", false),
            ("\u{1b}[2Jgone", false),
            ("gnp.\u{202e}exe", false),
            ("a\u{200b}b", false),
        ] {
            assert_eq!(text.parse::<Text>().is_ok(), accepted, "{text:?}");
        }
        assert!("x".repeat(Text::BYTES_MAX + 1).parse::<Text>().is_err());
    }
}
