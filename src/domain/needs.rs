//! Whose consents a rule takes: seats, joined by `all`, `any` and `at_least`.
//!
//! One member fills one seat over the whole expression. An organisation has one role, so a member
//! fits the seats of that role only, and which of its people take which of them is all one: who
//! sits where comes down to how many people each role needs, which is an [`Alternative`]. What is
//! left to find is which branches to fill. That is not done branch by branch, where people who
//! are seated early may be missed later, but by holding who is there against every smallest way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::id::{Malformed, Role, serde_as_text};

/// Whose consents a rule takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Needs {
    /// `k@role`: this many different members of that role.
    Seats(Seats),
    /// Every one of these.
    All(All),
    /// At least one of these.
    Any(Any),
    /// At least so many of these.
    AtLeast(AtLeast),
}

/// A number of people in one role, written `2@agent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seats {
    /// How many different members.
    pub count: u16,
    /// Of which role.
    pub role: Role,
}

/// Every one of several needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct All {
    /// Which.
    pub all: Vec<Needs>,
}

/// At least one of several needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Any {
    /// Which.
    pub any: Vec<Needs>,
}

/// At least so many of several needs, each of them with people of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AtLeast {
    /// How many.
    pub at_least: u16,
    /// Which.
    pub of: Vec<Needs>,
}

/// Read by hand, so that an error names the entry that is wrong and not the whole.
impl<'de> Deserialize<'de> for Needs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Needs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "needs as \"1@role\", { all = [ … ] }, { any = [ … ] } or \
                     { at_least = 2, of = [ … ] }",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Needs, E> {
                text.parse().map(Needs::Seats).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Needs, A::Error> {
                const WORDS: [&str; 4] = ["all", "any", "at_least", "of"];
                let next = |map: &mut A| map.next_key::<String>();
                let word = next(&mut map)?.ok_or_else(|| A::Error::missing_field("all"))?;
                let needs = match word.as_str() {
                    "all" => Needs::All(All { all: map.next_value()? }),
                    "any" => Needs::Any(Any { any: map.next_value()? }),
                    "at_least" => {
                        let at_least = map.next_value()?;
                        match next(&mut map)?.as_deref() {
                            Some("of") => {}
                            Some(_) | None => return Err(A::Error::missing_field("of")),
                        }
                        Needs::AtLeast(AtLeast { at_least, of: map.next_value()? })
                    }
                    "of" => {
                        let of = map.next_value()?;
                        match next(&mut map)?.as_deref() {
                            Some("at_least") => {}
                            Some(_) | None => return Err(A::Error::missing_field("at_least")),
                        }
                        Needs::AtLeast(AtLeast { at_least: map.next_value()?, of })
                    }
                    other => return Err(A::Error::unknown_field(other, &WORDS)),
                };
                match next(&mut map)? {
                    Some(_) => {
                        let rule = "needs has one of `all`, `any` and `at_least` with `of`, once";
                        Err(A::Error::custom(rule))
                    }
                    None => Ok(needs),
                }
            }
        }

        from.deserialize_any(Reader)
    }
}

impl fmt::Display for Seats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.count, self.role)
    }
}

impl FromStr for Seats {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed =
            || Malformed::new(text, "a need", "a number of people and a role, such as 1@agent");
        let (count, role) = text.split_once('@').ok_or_else(malformed)?;
        if !count.bytes().all(|c| c.is_ascii_digit()) || count.starts_with('0') {
            return Err(malformed());
        }
        let count = count.parse().map_err(|_| malformed())?;
        if count > Needs::SEATS_MAX {
            return Err(malformed());
        }
        Ok(Self { count, role: role.parse()? })
    }
}

serde_as_text!(Seats);

/// One smallest way to meet a need: how many different members of each role.
pub type Alternative = BTreeMap<Role, u16>;

/// A need that is too large to reason about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooComplex {
    /// Nested too deep.
    #[error("it is nested deeper than {}", Needs::DEPTH_MAX)]
    Depth,
    /// Nested too deep for what it is part of.
    #[error("it is nested deeper than {}", Needs::DEPTH_WITHIN_MAX)]
    DepthWithin,
    /// Too many ways to meet it.
    #[error("it can be met in more than {} ways", Needs::ALTERNATIVES_MAX)]
    Alternatives,
    /// An `all` or `any` of nothing.
    #[error("an empty list is met by nobody or by anybody")]
    Empty,
    /// `at_least` of more than there are, or of none.
    #[error("it asks for at least {at_least} of {of}")]
    AtLeast {
        /// How many are asked for.
        at_least: u16,
        /// How many there are.
        of: usize,
    },
    /// Too long to be read.
    #[error("it has more than {} parts", Needs::PARTS_MAX)]
    Parts,
}

impl TooComplex {
    /// What to change.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Depth | Self::DepthWithin | Self::Alternatives | Self::Parts => {
                "write the rule as two or more simpler rules"
            }
            Self::Empty => "name in the list whose consents it takes",
            Self::AtLeast { at_least: 0, of: _ } => "let at_least be 1 or more",
            Self::AtLeast { .. } => "lower at_least, or name more in of",
        }
    }
}

impl Needs {
    /// People that one seat expression may name.
    pub const SEATS_MAX: u16 = 64;
    /// How deep `all` and `any` may nest, the seats within counted. Each level is an object and a
    /// list, and what is sound must still be readable as part of a statement.
    pub const DEPTH_MAX: usize = 7;
    /// The same for a need that is part of something else than a rule: one level less.
    pub const DEPTH_WITHIN_MAX: usize = Self::DEPTH_MAX - 1;
    /// In how many ways a need may be met.
    pub const ALTERNATIVES_MAX: usize = 64;
    /// How many seat expressions and lists a need of format 2 may be made of.
    pub const PARTS_MAX: usize = 64;

    /// Every smallest way to meet this need. One member fills one seat, so seats of one role
    /// that are needed together add up.
    pub fn alternatives(&self) -> Result<Vec<Alternative>, TooComplex> {
        self.expand(Self::DEPTH_MAX)
    }

    /// The roles that have a seat on some way to meet this need; none where it cannot be judged.
    pub fn roles(&self) -> BTreeSet<Role> {
        self.alternatives().unwrap_or_default().into_iter().flat_map(BTreeMap::into_keys).collect()
    }

    /// The seats that are still empty on the shortest way to meet this need; none when it is
    /// met. `seated` says how many different members of each role have consented.
    pub fn missing(&self, seated: &BTreeMap<Role, u16>) -> Result<Alternative, TooComplex> {
        self.shortest(seated)?.into_iter().next().ok_or(TooComplex::Empty)
    }

    /// The same on every way that is as short as the shortest.
    pub fn shortest(&self, seated: &BTreeMap<Role, u16>) -> Result<Vec<Alternative>, TooComplex> {
        let open = |way: &Alternative| -> Alternative {
            let open_seats = way.iter().map(|(role, needed)| {
                (role.clone(), needed.saturating_sub(seated.get(role).copied().unwrap_or_default()))
            });
            open_seats.filter(|(_, seats)| *seats > 0).collect()
        };
        let seats = |open: &Alternative| open.values().map(|n| u32::from(*n)).sum::<u32>();
        let ways: Vec<_> = self.alternatives()?.iter().map(open).collect();
        let least = ways.iter().map(seats).min();
        let mut shortest: Vec<Alternative> = Vec::new();
        for way in ways {
            if Some(seats(&way)) == least && !shortest.contains(&way) {
                shortest.push(way);
            }
        }
        Ok(shortest)
    }

    /// The same of a need of format 2 that is part of something else than a rule: shorter, too.
    pub fn alternatives_within(&self) -> Result<Vec<Alternative>, TooComplex> {
        if self.parts() > Self::PARTS_MAX {
            return Err(TooComplex::Parts);
        }
        if self.depth() > Self::DEPTH_WITHIN_MAX {
            return Err(TooComplex::DepthWithin);
        }
        self.alternatives()
    }

    /// Of how many seat expressions and lists it is made.
    pub fn parts(&self) -> usize {
        1 + self.within().iter().map(Self::parts).sum::<usize>()
    }

    fn depth(&self) -> usize {
        1 + self.within().iter().map(Self::depth).max().unwrap_or_default()
    }

    fn within(&self) -> &[Self] {
        match self {
            Self::Seats(_) => &[],
            Self::All(All { all: list })
            | Self::Any(Any { any: list })
            | Self::AtLeast(AtLeast { at_least: _, of: list }) => list,
        }
    }

    /// Whether format 1 can say it.
    pub(super) fn is_first_format(&self) -> bool {
        match self {
            Self::Seats(_) => true,
            Self::All(All { all: list }) | Self::Any(Any { any: list }) => {
                list.iter().all(Self::is_first_format)
            }
            Self::AtLeast(_) => false,
        }
    }

    fn expand(&self, depth: usize) -> Result<Vec<Alternative>, TooComplex> {
        let depth = depth.checked_sub(1).ok_or(TooComplex::Depth)?;
        match self {
            Self::Seats(seats) => Ok(vec![BTreeMap::from([(seats.role.clone(), seats.count)])]),
            Self::Any(Any { any }) => {
                let mut ways = Vec::new();
                for need in any {
                    ways.extend(need.expand(depth)?);
                    if ways.len() > Self::ALTERNATIVES_MAX {
                        return Err(TooComplex::Alternatives);
                    }
                }
                if ways.is_empty() { Err(TooComplex::Empty) } else { Ok(ways) }
            }
            Self::All(All { all }) => {
                if all.is_empty() {
                    return Err(TooComplex::Empty);
                }
                let mut ways = vec![Alternative::new()];
                for need in all {
                    ways = products(&ways, &need.expand(depth)?)?;
                }
                Ok(ways)
            }
            Self::AtLeast(AtLeast { at_least, of }) => choices(*at_least, of, depth),
        }
    }
}

/// Every way to meet exactly so many of these: more would be no smallest way.
fn choices(at_least: u16, of: &[Needs], depth: usize) -> Result<Vec<Alternative>, TooComplex> {
    let wanted = usize::from(at_least);
    if !(1..=of.len()).contains(&wanted) {
        return Err(TooComplex::AtLeast { at_least, of: of.len() });
    }
    // By how many have been met so far. Only such numbers are followed as can still come to what
    // is wanted: so there are never more ways on the way than at its end.
    let mut met: Vec<Vec<Alternative>> = vec![Vec::new(); wanted + 1];
    if let Some(none) = met.first_mut() {
        none.push(Alternative::new());
    }
    for (i, need) in of.iter().enumerate() {
        let more = need.expand(depth)?;
        let still_to_come = of.len() - i - 1;
        let mut next = Vec::with_capacity(met.len());
        for count in 0..=wanted {
            let mut ways = Vec::new();
            if count + still_to_come >= wanted {
                ways.extend(met.get(count).into_iter().flatten().cloned());
                let before = count.checked_sub(1).and_then(|before| met.get(before));
                ways.extend(products(before.map_or(&[], Vec::as_slice), &more)?);
            }
            if ways.len() > Needs::ALTERNATIVES_MAX {
                return Err(TooComplex::Alternatives);
            }
            next.push(ways);
        }
        met = next;
    }
    Ok(met.pop().unwrap_or_default())
}

/// Every way to meet one of the first and one of the second.
fn products(first: &[Alternative], second: &[Alternative]) -> Result<Vec<Alternative>, TooComplex> {
    if first.len() * second.len() > Needs::ALTERNATIVES_MAX {
        return Err(TooComplex::Alternatives);
    }
    Ok(first.iter().flat_map(|way| second.iter().map(|extra| together(way, extra))).collect())
}

fn together(one: &Alternative, other: &Alternative) -> Alternative {
    let mut sum = one.clone();
    for (role, count) in other {
        let seats = sum.entry(role.clone()).or_default();
        *seats = seats.saturating_add(*count);
    }
    sum
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, needs: &[Self], between: &str| {
            for (i, need) in needs.iter().enumerate() {
                if i > 0 {
                    f.write_str(between)?;
                }
                match need {
                    Self::Seats(seats) => write!(f, "{seats}")?,
                    Self::All(_) | Self::Any(_) | Self::AtLeast(_) => write!(f, "({need})")?,
                }
            }
            Ok(())
        };
        match self {
            Self::Seats(seats) => write!(f, "{seats}"),
            Self::All(All { all }) => list(f, all, " and "),
            Self::Any(Any { any }) => list(f, any, " or "),
            Self::AtLeast(AtLeast { at_least, of }) => {
                write!(f, "at least {at_least} of ")?;
                list(f, of, ", ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(json: &str) -> Needs {
        serde_json::from_str(json).unwrap()
    }

    fn seats(counts: &[(&str, u16)]) -> Alternative {
        counts.iter().map(|(role, count)| (role.parse().unwrap(), *count)).collect()
    }

    #[test]
    fn what_is_missing_is_the_shortest_way() {
        let joint = r#"{"all":["1@depositor","1@agent"]}"#;
        let either = r#"{"any":["2@agent",{"all":["1@depositor","1@arbiter"]}]}"#;
        let twice = r#"{"all":["1@agent","1@agent"]}"#;
        let some = r#"{"at_least":2,"of":["1@agent","1@auditor","2@court"]}"#;
        let shared = r#"{"all":[{"any":["2@agent","1@auditor"]},{"at_least":1,"of":["1@agent"]}]}"#;
        for (need, seated, missing) in [
            (joint, &[][..], &[("depositor", 1), ("agent", 1)][..]),
            (joint, &[("agent", 1)], &[("depositor", 1)]),
            (joint, &[("agent", 1), ("depositor", 2)], &[]),
            (either, &[("arbiter", 1)], &[("depositor", 1)]),
            (either, &[("agent", 2)], &[]),
            (twice, &[("agent", 1)], &[("agent", 1)]),
            (twice, &[("agent", 2)], &[]),
            ("\"3@agent\"", &[("agent", 1), ("depositor", 9)], &[("agent", 2)]),
            (some, &[], &[("agent", 1), ("auditor", 1)]),
            (some, &[("court", 2)], &[("agent", 1)]),
            (some, &[("agent", 1), ("auditor", 1)], &[]),
            (some, &[("agent", 7)], &[("auditor", 1)]),
            // Whoever sits in the one is not there for the other: seated one branch after the
            // other, the agent's two people would be used up by the first.
            (shared, &[("agent", 2), ("auditor", 1)], &[]),
            (shared, &[("agent", 2)], &[("agent", 1)]),
            (shared, &[("agent", 3)], &[]),
        ] {
            assert_eq!(needs(need).missing(&seats(seated)), Ok(seats(missing)), "{need}");
        }
    }

    #[test]
    fn needs_that_cannot_be_reasoned_about_are_refused() {
        let pair = r#"{"any":["1@a","1@b"]}"#;
        let wide = format!(r#"{{"all":[{}]}}"#, [pair; 7].join(","));
        let nested =
            |levels| format!("{}\"1@a\"{}", r#"{"all":["#.repeat(levels), "]}".repeat(levels));
        let deep = nested(Needs::DEPTH_MAX);
        assert!(needs(&nested(Needs::DEPTH_MAX - 1)).alternatives().is_ok());
        let some_of = |n: usize, m: usize| {
            format!(r#"{{"at_least":{n},"of":[{}]}}"#, vec![r#""1@a""#; m].join(","))
        };
        // As many ways as choices, however many there are to leave out.
        for (n, m, ways) in [(1, 64, 64), (64, 64, 1), (63, 64, 64), (4, 8, 70)] {
            let found = needs(&some_of(n, m)).alternatives().map(|ways| ways.len());
            let fault = Err(TooComplex::Alternatives);
            assert_eq!(found, if ways <= 64 { Ok(ways) } else { fault }, "{n} of {m}");
        }
        for (json, fault) in [
            (wide.as_str(), TooComplex::Alternatives),
            (&deep, TooComplex::Depth),
            (r#"{"all":[]}"#, TooComplex::Empty),
            (r#"{"any":[]}"#, TooComplex::Empty),
            (r#"{"all":["1@a",{"any":[]}]}"#, TooComplex::Empty),
            (r#"{"at_least":0,"of":["1@a"]}"#, TooComplex::AtLeast { at_least: 0, of: 1 }),
            (r#"{"at_least":3,"of":["1@a","1@b"]}"#, TooComplex::AtLeast { at_least: 3, of: 2 }),
            (r#"{"at_least":1,"of":[]}"#, TooComplex::AtLeast { at_least: 1, of: 0 }),
            (r#"{"at_least":1,"of":[{"any":[]}]}"#, TooComplex::Empty),
            (&some_of(4, 9), TooComplex::Alternatives),
        ] {
            assert_eq!(needs(json).alternatives(), Err(fault), "{json}");
        }
    }

    #[test]
    fn misspelt_needs_are_refused() {
        for json in [
            r#""0@agent""#,
            r#""01@agent""#,
            r#""@agent""#,
            r#""1@""#,
            r#""agent""#,
            r#""65@agent""#,
            r#"{"some":["1@agent"]}"#,
            r#"{"all":["1@agent"],"any":["1@agent"]}"#,
            r#"{"all":"1@agent"}"#,
            r#"{"at_least":1}"#,
            r#"{"of":["1@agent"]}"#,
            r#"{"at_least":1,"of":["1@agent"],"all":["1@agent"]}"#,
            r#"{"at_least":1,"all":["1@agent"]}"#,
            r#"{"at_least":1,"at_least":1,"of":["1@agent"]}"#,
            r#"{"at_least":-1,"of":["1@agent"]}"#,
            r#"{"at_least":"1","of":["1@agent"]}"#,
            "1",
            "null",
        ] {
            assert!(serde_json::from_str::<Needs>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn needs_read_as_a_sentence() {
        let need = needs(r#"{"any":["2@agent",{"all":["1@depositor","1@arbiter"]}]}"#);
        assert_eq!(need.to_string(), "2@agent or (1@depositor and 1@arbiter)");
        let need = needs(r#"{"all":["1@a",{"of":["2@b","1@c"],"at_least":2}]}"#);
        assert_eq!(need.to_string(), "1@a and (at least 2 of 2@b, 1@c)");
        let written = r#"{"all":["1@a",{"at_least":2,"of":["2@b","1@c"]}]}"#;
        assert_eq!(serde_json::to_string(&need).unwrap(), written, "one spelling");
    }
}
