//! Patterns of paths that are left out.

/// `*` and `?` stand for characters within a name, `**` for anything. Takes time by the length of
/// both multiplied, however many stars there are.
pub(super) fn glob(mut pattern: &[u8], text: &[u8]) -> bool {
    // For each place in the text, whether what was read of the pattern can end there.
    let mut ends: Vec<bool> = vec![false; text.len() + 1];
    ends.iter_mut().take(1).for_each(|begin| *begin = true);
    loop {
        match pattern {
            [] => return ends.last() == Some(&true),
            [b'*', b'*', rest @ ..] => {
                pattern = rest.strip_prefix(b"/").unwrap_or(rest);
                let mut reached = false;
                for end in &mut ends {
                    reached |= *end;
                    *end = reached;
                }
            }
            [b'*', rest @ ..] => {
                pattern = rest;
                let mut reached = false;
                let next = text.iter().map(Some).chain([None]);
                for (end, next) in ends.iter_mut().zip(next) {
                    reached |= *end;
                    *end = reached;
                    reached &= next != Some(&b'/');
                }
            }
            [wanted, rest @ ..] => {
                pattern = rest;
                let fits = |c: &u8| *wanted == *c || (*wanted == b'?' && *c != b'/');
                let moved = ends.iter().zip(text).map(|(end, c)| *end && fits(c));
                ends = [false].into_iter().chain(moved).collect();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::archive::pack::PATH_BYTES_MAX;

    #[test]
    fn many_stars_take_no_longer_than_few() {
        let (pattern, text) = ("*a".repeat(1_000), "a".repeat(PATH_BYTES_MAX));
        assert!(glob(pattern.as_bytes(), text.as_bytes()));
        assert!(!glob((pattern + "b").as_bytes(), text.as_bytes()));
    }

    /// What a glob means, said again as plainly as can be.
    fn plain_glob(pattern: &[u8], text: &[u8]) -> bool {
        let tails = |count: usize| (0..=count).map(|at| &text[at..]).collect::<Vec<_>>();
        match pattern {
            [] => text.is_empty(),
            [b'*', b'*', rest @ ..] => {
                let rest = rest.strip_prefix(b"/").unwrap_or(rest);
                tails(text.len()).iter().any(|tail| plain_glob(rest, tail))
            }
            [b'*', rest @ ..] => {
                let name = text.iter().position(|c| *c == b'/').unwrap_or(text.len());
                tails(name).iter().any(|tail| plain_glob(rest, tail))
            }
            [wanted, rest @ ..] => text.split_first().is_some_and(|(c, tail)| {
                (wanted == c || *wanted == b'?' && *c != b'/') && plain_glob(rest, tail)
            }),
        }
    }

    proptest! {
        #[test]
        fn globs_mean_what_they_say(pattern in "[ab/?*]{0,8}", text in "[ab/]{0,8}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(glob(pattern, text), plain_glob(pattern, text));
        }
    }
}
