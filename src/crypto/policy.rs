//! Policies: which logs and witnesses are known, and which witnesses together are enough (C2SP
//! tlog-policy).
//!
//! A file is octets: names are compared as they are, whatever they mean in UTF-8. What could be read in
//! two ways is refused, with its line.

use std::fmt;

use crate::crypto::cosignature::WitnessKey;
use crate::crypto::note::{NoteFault, NoteKey};

/// Largest policy, in bytes.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;
/// Logs, witnesses and groups in one policy, of each; C2SP asks for 32.
const EACH_MAX: usize = 64;

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Known<NoteKey>>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Member>,
}

/// A key with where its owner is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known<K> {
    /// The key.
    pub key: K,
    /// Where its owner answers, if it is told.
    pub url: Option<String>,
    /// The line that says so, from 1.
    pub line: usize,
}

/// A witness as a policy knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// What the policy calls it; it means nothing elsewhere.
    pub name: String,
    /// Its key, and where it answers.
    pub known: Known<WitnessKey>,
}

/// Some witnesses and groups, of which so many are enough.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    enough: usize,
    members: Vec<Member>,
}

/// A witness or an earlier group, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct PolicyFault {
    /// Where, from 1.
    pub line: usize,
    /// Why.
    pub why: String,
}

/// What a policy says of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Whether enough witnesses have cosigned it.
    pub is_met: bool,
    /// Who has, and when last, in seconds since 1970.
    pub there: Vec<(String, u64)>,
    /// Who has not.
    pub missing: Vec<String>,
}

impl Policy {
    /// Reads a policy.
    pub fn parse(octets: &[u8]) -> Result<Self, PolicyFault> {
        Reader::default().read(octets)
    }

    /// The logs it names.
    pub fn logs(&self) -> &[Known<NoteKey>] {
        &self.logs
    }

    /// The witnesses it names.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Whether it is about this log: it names it, or none.
    pub fn is_about(&self, log: &NoteKey) -> bool {
        self.logs.is_empty() || self.logs.iter().any(|known| known.key == *log)
    }

    /// What it says of a checkpoint, whose own signature is verified elsewhere. A cosignature that is
    /// wrong spoils it.
    pub fn judge(&self, note: &str) -> Result<Judgement, NoteFault> {
        let mut has = Vec::new();
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for Witness { name, known } in &self.witnesses {
            let at = known.key.cosigned(note)?;
            has.push(at.is_some());
            match at {
                Some(at) => there.push((name.clone(), at)),
                None => missing.push(name.clone()),
            }
        }
        let is_met = self.quorum.is_none_or(|quorum| self.is_witnessed(quorum, &has));
        Ok(Judgement { is_met, there, missing })
    }

    fn is_witnessed(&self, member: Member, has: &[bool]) -> bool {
        match member {
            Member::Witness(number) => has.get(number).copied().unwrap_or(false),
            // A group names earlier ones only, and each once: this ends, and soon.
            Member::Group(number) => self.groups.get(number).is_some_and(|group| {
                let met = group.members.iter().filter(|member| self.is_witnessed(**member, has));
                met.count() >= group.enough
            }),
        }
    }
}

/// A policy as far as it was read.
#[derive(Default)]
struct Reader<'t> {
    logs: Vec<Known<NoteKey>>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    names: Vec<Name<'t>>,
    quorum: Option<Option<Member>>,
}

/// A name that was given, and whether a group has it.
struct Name<'t> {
    octets: &'t [u8],
    member: Member,
    is_taken: bool,
}

impl<'t> Reader<'t> {
    fn read(mut self, octets: &'t [u8]) -> Result<Policy, PolicyFault> {
        let fault = |line, why: String| PolicyFault { line, why };
        if octets.len() > POLICY_BYTES_MAX {
            return Err(fault(1, format!("a policy has at most {POLICY_BYTES_MAX} bytes")));
        }
        let mut number = 0;
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            number += 1;
            let line = line.strip_suffix(b"\n");
            let line = line.ok_or_else(|| fault(number, "the last line has no end".to_owned()))?;
            if line.iter().any(|octet| matches!(octet, 0..=8 | 10..=31 | 127)) {
                return Err(fault(number, "control characters other than tabs".to_owned()));
            }
            let words: Vec<&[u8]> = line
                .split(|octet| matches!(octet, b' ' | b'\t'))
                .filter(|word| !word.is_empty())
                .collect();
            self.line(number, &words).map_err(|why| fault(number, why))?;
        }
        let Self { logs, witnesses, groups, quorum, .. } = self;
        let missing = || "there is no quorum line; `quorum none` asks for no witness".to_owned();
        let quorum = quorum.ok_or_else(|| fault(number, missing()))?;
        Ok(Policy { logs, witnesses, groups, quorum })
    }

    fn line(&mut self, line: usize, words: &[&'t [u8]]) -> Result<(), String> {
        match words {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", vkey, url @ ..] if url.len() <= 1 => {
                let key: NoteKey = parse(vkey)?;
                if self.logs.iter().any(|known| known.key.key() == key.key()) {
                    return Err("this log's key is there already".to_owned());
                }
                self.logs.push(Known { key, url: url.first().map(shown), line });
                limited(self.logs.len(), "logs")
            }
            [b"witness", name, vkey, url @ ..] if url.len() <= 1 => {
                let key: WitnessKey = parse(vkey)?;
                if self.witnesses.iter().any(|known| known.known.key.key() == key.key()) {
                    return Err("this witness's key is there already".to_owned());
                }
                self.name(name, Member::Witness(self.witnesses.len()))?;
                let known = Known { key, url: url.first().map(shown), line };
                self.witnesses.push(Witness { name: shown(name), known });
                limited(self.witnesses.len(), "witnesses")
            }
            [b"group", name, enough, members @ ..] if !members.is_empty() => {
                let members = members.iter().map(|member| self.member(member));
                let members: Vec<Member> = members.collect::<Result<_, _>>()?;
                let count = members.len();
                let enough = match *enough {
                    b"all" => count,
                    b"any" => 1,
                    number => parse_count(number).filter(|k| (1..=count).contains(k)).ok_or_else(
                        || {
                            format!(
                                "{} is not all, any or a number from 1 to {count}",
                                shown(&number)
                            )
                        },
                    )?,
                };
                self.name(name, Member::Group(self.groups.len()))?;
                self.groups.push(Group { enough, members });
                limited(self.groups.len(), "groups")
            }
            [b"quorum", name] if self.quorum.is_none() => {
                self.quorum = Some(match *name {
                    b"none" => None,
                    name => Some(self.named(name)?.member),
                });
                Ok(())
            }
            [b"quorum", _] => Err("there is a quorum line already".to_owned()),
            [b"log", ..] => Err("expected `log VKEY [URL]`".to_owned()),
            [b"witness", ..] => Err("expected `witness NAME VKEY [URL]`".to_owned()),
            [b"group", ..] => Err("expected `group NAME all|any|NUMBER NAME…`".to_owned()),
            [b"quorum", ..] => Err("expected `quorum NAME`".to_owned()),
            [word, ..] => {
                let word = shown(word);
                Err(format!("{word} is not log, witness, group or quorum"))
            }
        }
    }

    /// Gives a name, which is free.
    fn name(&mut self, octets: &'t [u8], member: Member) -> Result<(), String> {
        if octets == b"none" || self.names.iter().any(|name| name.octets == octets) {
            return Err(format!("the name {} is taken", shown(&octets)));
        }
        self.names.push(Name { octets, member, is_taken: false });
        Ok(())
    }

    fn named(&mut self, octets: &[u8]) -> Result<&mut Name<'t>, String> {
        let found = self.names.iter_mut().find(|name| name.octets == octets);
        let unknown = || format!("no line before this one gives the name {}", shown(&octets));
        found.ok_or_else(unknown)
    }

    /// A name as a member of a group, which it may be of one only.
    fn member(&mut self, octets: &[u8]) -> Result<Member, String> {
        let name = self.named(octets)?;
        if std::mem::replace(&mut name.is_taken, true) {
            return Err(format!("{} is in a group already", shown(&octets)));
        }
        Ok(name.member)
    }
}

fn limited(count: usize, what: &str) -> Result<(), String> {
    if count <= EACH_MAX { Ok(()) } else { Err(format!("more than {EACH_MAX} {what}")) }
}

fn parse<K: std::str::FromStr<Err: fmt::Display>>(vkey: &[u8]) -> Result<K, String> {
    let text = std::str::from_utf8(vkey).map_err(|_| "a key is written in UTF-8".to_owned())?;
    text.parse().map_err(|fault: K::Err| fault.to_string())
}

/// A number without signs or leading zeros.
fn parse_count(octets: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(octets).ok()?;
    text.parse().ok().filter(|number: &usize| number.to_string() == text)
}

/// Octets as people read them.
fn shown(octets: &impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(octets.as_ref()).into_owned()
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;
    use crate::crypto::signature::SigningKey;

    const TEXT: &str = "vault.example/1\n7\nroot\n";

    /// Witnesses of these names, each with what signs for it.
    fn witnesses<const N: usize>(names: [&str; N]) -> [(SigningKey, WitnessKey); N] {
        names.map(|name| {
            let key = SigningKey::generate(&mut OsRng);
            let named = WitnessKey::new(&format!("{name}.example"), key.public()).unwrap();
            (key, named)
        })
    }

    fn log(name: &str) -> NoteKey {
        NoteKey::new(name, SigningKey::generate(&mut OsRng).public()).unwrap()
    }

    #[test]
    fn a_quorum_is_met_by_whom_the_policy_says() {
        let all = witnesses(["X1", "X2", "X3", "Y1", "Y2"]);
        let lines: String = all.iter().fold(String::new(), |lines, (_, key)| {
            let name = key.name().trim_end_matches(".example");
            format!("{lines}witness {name} {key}\n")
        });
        for (rest, met, unmet) in [
            ("quorum X1\n", &[&["X1"][..], &["X1", "Y1"]][..], &[&["X2"][..], &[]][..]),
            ("quorum none\n", &[&[], &["X1"]], &[]),
            ("group g any X1 X2\nquorum g\n", &[&["X1"], &["X2"]], &[&["X3"], &[]]),
            ("group g all X1 X2\nquorum g\n", &[&["X1", "X2"]], &[&["X1"], &["X2", "X3"]]),
            ("group g 2 X1 X2 X3\nquorum g\n", &[&["X1", "X3"]], &[&["X2"], &["Y1", "Y2"]]),
            (
                "group X 2 X1 X2 X3\n \tgroup Y any Y1\tY2 \n\n # both\n#\ngroup 2 all X Y\nquorum 2\n",
                &[&["X1", "X3", "Y2"]],
                &[&["X1", "Y1"], &["X1", "X2", "X3"], &["Y1", "Y2"]],
            ),
        ] {
            let policy = Policy::parse(format!("{lines}{rest}").as_bytes()).unwrap();
            for (who, is_met) in
                met.iter().map(|who| (who, true)).chain(unmet.iter().map(|who| (who, false)))
            {
                let has = |key: &WitnessKey| {
                    who.iter().any(|name| key.name() == format!("{name}.example"))
                };
                let there = all.iter().filter(|(_, key)| has(key));
                let signed = there.map(|(signer, key)| key.cosign(signer, TEXT, 9));
                let note =
                    format!("{TEXT}\n— vault.example/1 AAAAAAAA\n{}", signed.collect::<String>());
                let judged = policy.judge(&note).unwrap();
                assert_eq!(judged.is_met, is_met, "{rest} {who:?}");
                let there: Vec<_> = judged.there.iter().map(|(name, _)| name.as_str()).collect();
                assert_eq!(there, **who);
                assert_eq!(judged.missing.len() + who.len(), all.len());
            }
        }
        // One that is wrong spoils it, even where the others are enough.
        let policy = Policy::parse(format!("{lines}quorum X1\n").as_bytes()).unwrap();
        let [(x1, one), (_, two), ..] = &all;
        let spoilt = format!("{TEXT}\n{}{}", one.cosign(x1, TEXT, 9), two.cosign(x1, TEXT, 9));
        assert_eq!(policy.judge(&spoilt), Err(NoteFault::Wrong("X2.example".to_owned())));
    }

    #[test]
    fn logs_and_addresses_are_as_they_are_written() {
        let [(_, one)] = witnesses(["one"]);
        let (ours, other) = (log("vault.example/1"), log("vault.example/1"));
        let none = Policy::parse(format!("witness w {one}\nquorum w\n").as_bytes()).unwrap();
        assert!(none.is_about(&ours) && none.is_about(&other));
        let text = format!("log {ours} http://l\n# ü\nwitness ü {one} http://w/\nquorum ü\n");
        let policy = Policy::parse(text.as_bytes()).unwrap();
        assert!(policy.is_about(&ours) && !policy.is_about(&other));
        let [Witness { name, known }] = policy.witnesses() else { panic!("{policy:?}") };
        assert_eq!((name.as_str(), known.url.as_deref(), known.line), ("ü", Some("http://w/"), 3));
        assert_eq!(policy.logs()[0].url.as_deref(), Some("http://l"));
        // Names are octets: these two look alike to a reader of UTF-8.
        let [(_, two)] = witnesses(["two"]);
        let (one, two) = (one.to_string(), two.to_string());
        let lines = [
            &b"witness \xff "[..],
            one.as_bytes(),
            b"\nwitness \xfe ",
            two.as_bytes(),
            b"\ngroup g all \xff \xfe\nquorum g\n",
        ];
        assert_eq!(Policy::parse(&lines.concat()).unwrap().witnesses().len(), 2);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused_with_its_line() {
        let [(_, a), (signer, b)] = witnesses(["a", "b"]);
        let renamed = WitnessKey::new("c.example", signer.public()).unwrap();
        let (l, m) = (log("l"), log("m"));
        let l2 = NoteKey::new("l2", *l.key()).unwrap();
        let two = format!("witness a {a}\nwitness b {b}\n");
        for (text, line, why) in [
            (String::new(), 0, "no quorum line"),
            (two.clone(), 2, "no quorum line"),
            (format!("{two}quorum a"), 3, "no end"),
            (format!("{two}quorum a\nquorum b\n"), 4, "already"),
            (format!("{two}quorum c\n"), 3, "gives the name c"),
            (format!("quorum a\n{two}"), 1, "gives the name a"),
            (format!("{two}quorum\n"), 3, "expected `quorum NAME`"),
            (format!("{two}quorum a b\n"), 3, "expected `quorum NAME`"),
            (format!("{two}Quorum a\n"), 3, "Quorum is not log"),
            (format!("{two}group g 0 a b\nquorum g\n"), 3, "from 1 to 2"),
            (format!("{two}group g 3 a b\nquorum g\n"), 3, "from 1 to 2"),
            (format!("{two}group g 01 a b\nquorum g\n"), 3, "from 1 to 2"),
            (format!("{two}group g +1 a b\nquorum g\n"), 3, "from 1 to 2"),
            (format!("{two}group g some a b\nquorum g\n"), 3, "from 1 to 2"),
            (format!("{two}group g any\nquorum g\n"), 3, "expected `group"),
            (format!("{two}group g any a a\nquorum g\n"), 3, "in a group already"),
            (format!("{two}group g any a\ngroup h any a\nquorum h\n"), 4, "in a group already"),
            (format!("{two}group g any g\nquorum g\n"), 3, "gives the name g"),
            (format!("{two}group g any none\nquorum g\n"), 3, "gives the name none"),
            (format!("{two}group a any b\nquorum a\n"), 3, "the name a is taken"),
            (format!("{two}group none any a\nquorum none\n"), 3, "the name none is taken"),
            (format!("witness none {a}\nquorum none\n"), 1, "the name none is taken"),
            (format!("witness a {a}\nwitness a {b}\nquorum a\n"), 2, "the name a is taken"),
            (format!("{two}witness c {renamed}\nquorum a\n"), 3, "key is there already"),
            (format!("log {l}\nlog {l2}\nquorum none\n"), 2, "key is there already"),
            (format!("log {a}\nquorum none\n"), 1, "is not a verifier key"),
            (format!("witness a {l}\nquorum a\n"), 1, "is not a witness's verifier key"),
            (format!("log {m} http://l more\nquorum none\n"), 1, "expected `log"),
            ("log\nquorum none\n".to_owned(), 1, "expected `log"),
            ("witness a\nquorum a\n".to_owned(), 1, "expected `witness"),
            (format!("{two}quorum a\r\n"), 3, "control"),
            (format!("{two}quorum a\0\n"), 3, "control"),
            (format!("{two}quorum a\x7f\n"), 3, "control"),
            ("\n".repeat(POLICY_BYTES_MAX + 1), 1, "at most"),
        ] {
            let fault = Policy::parse(text.as_bytes()).unwrap_err();
            assert_eq!(fault.line, line, "{text}: {fault}");
            assert!(fault.why.contains(why), "{text}: {fault}");
        }
        let many = (0..=EACH_MAX).map(|number| format!("log {}\n", log(&format!("l{number}"))));
        let fault = Policy::parse(many.collect::<String>().as_bytes()).unwrap_err();
        assert_eq!((fault.line, fault.why.as_str()), (EACH_MAX + 1, "more than 64 logs"));
    }
}
