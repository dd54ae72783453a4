//! Terms as people write them, in TOML. Unknown fields are errors: a misspelt safeguard is a
//! lost one.

mod mistakes;
mod written;

pub use written::write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::client::error::ClientError;
use crate::client::terms_text::mistakes::{in_words, remedy};
use crate::crypto::pem::certificates_of;
use crate::crypto::timestamp::check_ca;
use crate::domain::calendar::{Calendar, Period};
use crate::domain::der::Der;
use crate::domain::id::{Digest, Fingerprint, OrganisationName, Role, RuleName};
use crate::domain::needs::Needs;
use crate::domain::soundness;
use crate::domain::terms::{
    Access, Format, Grants, Rule, RuleDuty, SettledBy, Terms, TimeStamps, limit,
};
use crate::domain::text::Text;
use crate::domain::time::{Span, Timestamp};
use crate::domain::trigger::Trigger;
use crate::domain::url::Url;

/// Largest file of terms, in bytes.
pub const BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    title: Text,
    quorum: u16,
    contract: Option<PathBuf>,
    #[serde(default)]
    stock_age: bool,
    holders: Option<Vec<Role>>,
    parties: BTreeMap<Role, OneOrMore<OrganisationName>>,
    #[serde(default)]
    fingerprints: BTreeMap<OrganisationName, Fingerprint>,
    rule: Vec<DraftRule>,
    amend: Option<Needs>,
    term: Option<Timestamp>,
    calendar: Option<Calendar>,
    time_stamps: Option<DraftStamps>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with authority and ca")]
struct DraftStamps {
    authority: Url,
    ca: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table that begins with [[rule]]")]
struct DraftRule {
    name: RuleName,
    requester: OneOrMore<Role>,
    #[serde(default)]
    trigger: Trigger,
    needs: Needs,
    distinct_organisations: Option<u16>,
    #[serde(default)]
    reviewers: Vec<Role>,
    #[serde(default)]
    notice: Period,
    vote: Option<Span>,
    #[serde(default)]
    objection: Vec<Role>,
    settled_by: Option<SettledBy>,
    expires: Option<Span>,
    #[serde(default)]
    grants: Grants,
    duty: Option<RuleDuty>,
    access: Option<Access>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a name or a list of names: lowercase letters, digits and hyphens")]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

/// Terms as read, with the files they name still to be looked at.
#[derive(Debug)]
pub struct Drafted {
    /// The terms, without the contract's digest and without who stamps times.
    pub terms: Terms,
    /// The paper contract, next to the file of terms.
    pub contract: Option<PathBuf>,
    /// Who stamps times, and the file with the certificate of its CA.
    pub stamps: Option<(Url, PathBuf)>,
}

/// Reads the terms in `file`. Fingerprints that they leave out come from `trusted`.
pub fn read(
    text: &str,
    file: &Path,
    trusted: &BTreeMap<OrganisationName, Fingerprint>,
) -> Result<Drafted, ClientError> {
    let mut drafted = parse(text, file)?;
    let fingerprints = &mut drafted.terms.fingerprints;
    for organisation in drafted.terms.parties.values().flatten() {
        match (fingerprints.get(organisation), trusted.get(organisation)) {
            (None, Some(fingerprint)) => {
                fingerprints.insert(organisation.clone(), *fingerprint);
            }
            (Some(written), Some(pinned)) if written != pinned => {
                return Err(ClientError::input(
                    "OTHER_FINGERPRINT",
                    format!(
                        "the terms give {organisation} another fingerprint than is trusted here"
                    ),
                    format!("ask {organisation} by telephone which one is theirs"),
                ));
            }
            (Some(_), Some(_) | None) => {}
            (None, None) => {
                return Err(ClientError::input(
                    "NO_FINGERPRINT",
                    format!("the terms have no fingerprint for {organisation}"),
                    format!(
                        "ask them by telephone (`escrow whoami` prints it), then write it under \
                         [fingerprints] or run `escrow trust {organisation} FINGERPRINT`"
                    ),
                ));
            }
        }
    }
    soundness::check(&drafted.terms).map_err(crate::domain::refusal::Refusal::Unsound)?;
    Ok(drafted)
}

/// Reads the terms in `file` to advise on them: where they have no fingerprint, something stands in
/// for it that is nobody's, and nothing says that they are sound. So it is with the files they name,
/// which nobody has looked at.
pub fn read_unpinned(text: &str, file: &Path) -> Result<Drafted, ClientError> {
    let mut drafted = parse(text, file)?;
    let terms = &mut drafted.terms;
    for (organisation, place) in terms.parties.values().flatten().zip(1_u64..) {
        let mut nobody = Digest::default();
        nobody.0.iter_mut().zip(place.to_be_bytes()).for_each(|(to, from)| *to = from);
        let stand_in = Fingerprint::of(&nobody);
        terms.fingerprints.entry(organisation.clone()).or_insert(stand_in);
    }
    let stamps = drafted.stamps.as_ref();
    terms.time_stamps = stamps
        .map(|(authority, _)| TimeStamps { authority: authority.clone(), ca: Der::stand_in() });
    Ok(drafted)
}

/// Terms as they are written, with no more fingerprints than they have.
fn parse(text: &str, file: &Path) -> Result<Drafted, ClientError> {
    let draft: Draft = toml::from_str(text).map_err(|fault| {
        let fault = fault.to_string();
        let message = format!("{}: {}", file.display(), in_words(fault.trim_end()));
        let is_rule = |line: &str| ["[rule]", "[rules]", "[[rules]]"].contains(&line.trim());
        let hint = match text.lines().any(is_rule) {
            true => "begin each rule with [[rule]], in two brackets each and without an s",
            false => remedy(&fault),
        };
        ClientError::input("BAD_TERMS", message, hint)
    })?;
    let parties: BTreeMap<Role, Vec<OrganisationName>> =
        draft.parties.into_iter().map(|(role, who)| (role, who.into_vec())).collect();
    let holders = draft.holders.unwrap_or_else(|| parties.keys().cloned().collect());
    let rules = draft.rule.into_iter().map(|rule| Rule {
        name: rule.name,
        requesters: rule.requester.into_vec(),
        trigger: rule.trigger,
        needs: rule.needs,
        distinct_organisations: rule.distinct_organisations,
        reviewers: rule.reviewers,
        notice: rule.notice,
        vote: rule.vote,
        objection: rule.objection,
        settled_by: rule.settled_by,
        expires: rule.expires.unwrap_or(limit::EXPIRES_DEFAULT),
        grants: rule.grants,
        duty: rule.duty,
        access: rule.access,
    });
    let mut terms = Terms {
        format: Format::First,
        title: draft.title,
        quorum: draft.quorum,
        contract_sha256: None,
        stock_age: draft.stock_age,
        parties,
        fingerprints: draft.fingerprints,
        holders,
        rules: rules.collect(),
        amend: draft.amend,
        term: draft.term,
        calendar: draft.calendar,
        time_stamps: None,
    };
    terms.format = terms.least_format();
    let beside = file.parent().unwrap_or(Path::new("."));
    let contract = draft.contract.map(|path| beside.join(path));
    let stamps = draft.time_stamps.map(|draft| (draft.authority, beside.join(draft.ca)));
    Ok(Drafted { terms, contract, stamps })
}

impl Drafted {
    /// The terms, with the digest of the paper contract, and with the CA of who stamps times.
    pub fn complete(mut self, contract: Option<Digest>) -> Result<Terms, ClientError> {
        self.terms.contract_sha256 = contract;
        let pinned = self.stamps.map(|(authority, ca)| -> Result<_, ClientError> {
            Ok(TimeStamps { authority, ca: pinned_ca(&ca)? })
        });
        self.terms.time_stamps = pinned.transpose()?;
        Ok(self.terms)
    }
}

/// The certificate of a CA, in PEM: exactly one, and one under which tokens can count.
fn pinned_ca(file: &Path) -> Result<Der<{ limit::CA_BYTES_MAX }>, ClientError> {
    let bad = |code, what: String| {
        let message = format!("[time_stamps] ca: {}: {what}", file.display());
        let hint = "name a file, beside the terms, with the root certificate of the authority in PEM, \
                    as the authority publishes it";
        ClientError::input(code, message, hint)
    };
    let mut text = Vec::new();
    let read = File::open(file).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut text));
    let read = read.map_err(|fault| bad("UNREADABLE", fault.to_string()))?;
    if read as u64 > BYTES_MAX {
        return Err(bad("BAD_CA", "it is larger than 64 KiB".to_owned()));
    }
    let found = certificates_of(&text).unwrap_or_default();
    let [der] = found.as_slice() else {
        let what = match found.len() {
            0 => "it holds no certificate in PEM".to_owned(),
            count => format!("it holds {count} certificates; one is pinned, the root"),
        };
        return Err(bad("BAD_CA", what));
    };
    check_ca(der).map_err(|fault| bad("BAD_CA", fault.to_string()))?;
    let pinned = Der::new(der.clone());
    pinned.ok_or_else(|| bad("BAD_CA", format!("{} bytes are too many", der.len())))
}

/// The commonest case, commented in plain words.
pub const THREE_PARTY: &str = include_str!("templates/three-party.toml");

/// The templates there are, by name.
pub const TEMPLATES: [(&str, &str); 6] = [
    ("two-party", include_str!("templates/two-party.toml")),
    ("three-party", THREE_PARTY),
    ("registry", include_str!("templates/registry.toml")),
    ("audit", include_str!("templates/audit.toml")),
    ("clean-team", include_str!("templates/clean-team.toml")),
    ("estate", include_str!("templates/estate.toml")),
];

#[cfg(test)]
mod tests {
    use rcgen::CustomExtension;
    use serde_json::json;

    use super::*;
    use crate::crypto::pem::pem;
    use crate::crypto::timestamp::tests::{ca_params, params, root};
    use crate::domain::id::Bytes;
    use crate::domain::tests::terms::{second_format, terms};

    fn trusted() -> BTreeMap<OrganisationName, Fingerprint> {
        let names = ["hanbit-parts", "orient-display", "trade-secret-center"];
        let pins = (1..).map(|key| Fingerprint::of(&Bytes([key; 32])));
        names.iter().map(|name| name.parse().unwrap()).zip(pins).collect()
    }

    fn parse(text: &str) -> Result<Drafted, ClientError> {
        read(text, Path::new("terms.toml"), &trusted())
    }

    #[test]
    fn the_template_is_complete_and_sound() {
        let drafted = parse(THREE_PARTY).unwrap();
        let rules: Vec<_> = drafted.terms.rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(rules, ["joint", "bankruptcy"]);
        assert_eq!(drafted.terms.holder_organisations().len(), 3);
        assert_eq!(drafted.terms.fingerprints, trusted());
    }

    #[test]
    fn every_template_is_sound_and_advised_on_as_its_comments_say() {
        use crate::domain::advice::Code::{self, *};
        use crate::domain::advice::{Known, advise};
        let now = "2026-11-24T09:00:00.000Z".parse().unwrap();
        let expected: [(&str, &[(Code, &str)]); 6] = [
            (
                "two-party",
                &[
                    (NoSpareShare, ""),
                    (Coalitions, ""),
                    (SeveralPeople, "joint"),
                    (SeveralPeople, "joint"),
                ],
            ),
            (
                "three-party",
                &[
                    (SingleAgent, ""),
                    (Coalitions, ""),
                    (ObjectionWithoutEnd, "bankruptcy"),
                    (SeveralPeople, "bankruptcy"),
                ],
            ),
            ("registry", &[(SingleAgent, ""), (Coalitions, ""), (SeveralPeople, "")]),
            ("audit", &[(SingleAgent, ""), (Coalitions, ""), (SeveralPeople, "inquiry")]),
            ("clean-team", &[(SingleAgent, ""), (Coalitions, ""), (SeveralPeople, "closing")]),
            ("estate", &[(SingleAgent, ""), (SingleAgent, ""), (Coalitions, "")]),
        ];
        for ((name, text), (expected_name, advice)) in TEMPLATES.into_iter().zip(expected) {
            assert_eq!(name, expected_name);
            let terms = read_unpinned(text, Path::new(name)).unwrap().terms;
            assert_eq!(soundness::check(&terms), Ok(()), "{name}");
            let found = advise(&terms, now, &Known::default());
            let found: Vec<_> = found
                .iter()
                .map(|found| (found.code, found.rule.as_ref().map_or("", RuleName::as_str)))
                .collect();
            assert_eq!(found, advice, "{name}");
            // Every party but the depositor is to be asked for its fingerprint.
            let others = terms.organisations().filter(|who| terms.depositor() != Some(*who));
            for organisation in others {
                let is_asked = |line: &str| {
                    let named =
                        line.strip_prefix("# ").and_then(|line| line.split_once(" = \"…\""));
                    named.is_some_and(|(named, _)| named.trim() == organisation.as_str())
                };
                assert!(text.lines().any(is_asked), "{name}: {organisation}");
            }
        }
    }

    /// Where a table may stand in the template.
    const RULE: &str = "[[rule]]\nname = \"joint\"";

    fn stamps(section: &str) -> String {
        format!("[time_stamps]\n{section}\n\n{RULE}")
    }

    fn calendar(section: &str) -> String {
        format!("[calendar]\n{section}\n\n{RULE}")
    }

    #[test]
    fn the_certificate_that_is_pinned_is_one_of_a_ca_that_tokens_can_hang_on() {
        let good = root(ca_params("root")).der;
        let pem = |der: &[u8]| pem("CERTIFICATE", der);
        let mut large = ca_params("root");
        large.custom_extensions =
            vec![CustomExtension::from_oid_content(&[1, 2, 3], vec![0; limit::CA_BYTES_MAX])];
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("terms.toml");
        let text = stamps("authority = \"http://tsa.example/tsr\"\nca = \"root.pem\"");
        let text = THREE_PARTY.replace(RULE, &text);
        let complete = || read(&text, &file, &trusted()).unwrap().complete(None);
        assert_eq!(complete().unwrap_err().code(), "UNREADABLE", "it is not there");
        for (why, pem, says) in [
            ("one", pem(&good), None),
            ("with words around it", format!("The root:\n{}", pem(&good)), None),
            ("none", String::new(), Some("no certificate")),
            ("DER", String::from_utf8_lossy(&good).into_owned(), Some("no certificate")),
            ("nothing in it", pem(&[0x30, 0]).clone(), Some("no certificate")),
            ("two", pem(&good).repeat(2), Some("holds 2 certificates")),
            ("no CA", pem(&root(params("server", 2020..2040)).der), Some("not of a CA")),
            ("too large", pem(&root(large).der), Some("are too many")),
            ("far too large", "x".repeat(70_000), Some("larger than 64 KiB")),
        ] {
            std::fs::write(dir.path().join("root.pem"), pem).unwrap();
            let refused = complete().map(|terms| {
                let pinned = terms.time_stamps.unwrap();
                assert_eq!(pinned.authority.to_string(), "http://tsa.example/tsr");
                assert_eq!(pinned.ca.as_bytes(), good);
            });
            let refused = refused.map_err(|fault| (fault.code().to_owned(), fault.to_string()));
            match (&refused, says) {
                (Ok(()), None) => {}
                (Err((code, message)), Some(says)) => {
                    assert_eq!(code, "BAD_CA", "{why}");
                    assert!(message.contains(says) && message.contains("root.pem"), "{message}");
                }
                (_, _) => panic!("{why}: {refused:?}"),
            }
        }
    }

    /// Every word of format 2, as people write it.
    const EVERY_WORD: &str = r#"
title  = "Substrate process recipe"
quorum = 2
holders = ["depositor", "beneficiary", "agent"]
amend  = { all = ["1@depositor", "1@agent"] }
term   = "2031-03-02T00:00:00.000Z"

[parties]
depositor   = "hanbit-parts"
beneficiary = "orient-display"
agent       = "trade-secret-center"

[calendar]
utc_offset = "+09:00"
weekend    = ["sunday", "saturday"]
holidays   = ["2026-03-06"]

[[rule]]
name       = "joint"
requester  = "beneficiary"
needs      = { of = ["1@depositor", "1@beneficiary", "1@agent"], at_least = 2 }
distinct_organisations = 2
reviewers  = ["agent"]
notice     = "4wd"
vote       = "5d"
objection  = ["depositor"]
expires    = "90d"
grants     = "latest"
duty       = { kind = "report", within = "60d" }
access     = { within = "30d", times = 2 }
[rule.settled_by]
joint = { all = ["1@depositor", "1@beneficiary"] }
award = "1@agent"
order = "2@agent"

[[rule]]
name      = "bankruptcy"
requester = "beneficiary"
needs     = { all = ["1@beneficiary", "1@agent"] }
notice    = "10d"
objection = ["depositor"]
expires   = "60d"
trigger   = { event = { kind = "insolvency", attested = "1@agent" } }
"#;

    #[test]
    fn every_word_of_format_2_is_read_as_it_is_signed() {
        let read = parse(EVERY_WORD).unwrap().terms;
        let mut written = second_format();
        written["rules"][1]["trigger"] =
            json!({ "event": { "kind": "insolvency", "attested": "1@agent" } });
        let signed = Terms { fingerprints: trusted(), ..terms(written) };
        assert_eq!(read, signed);
        // And none of it in another place.
        for line in EVERY_WORD.lines().filter(|line| line.contains(" = ")) {
            let (word, _) = line.split_once('=').unwrap();
            let misspelt = line.replacen(word.trim(), &format!("{}x", word.trim()), 1);
            let refused = parse(&EVERY_WORD.replacen(line, &misspelt, 1));
            assert!(refused.is_err(), "{misspelt}");
        }
    }

    #[test]
    fn words_of_format_2_are_read_and_make_the_terms_ones_of_format_2() {
        let joint = "needs = { all = [\"1@depositor\", \"1@agent\"] }";
        for (why, needs, format, said) in [
            ("as it was", joint, Format::First, "1@depositor and 1@agent"),
            (
                "some of several",
                "needs = { at_least = 2, of = [\"1@depositor\", \"1@agent\", \"1@beneficiary\"] }",
                Format::Second,
                "at least 2 of 1@depositor, 1@agent, 1@beneficiary",
            ),
            (
                "from several houses",
                "needs = { any = [\"1@depositor\", \"1@agent\"] }\ndistinct_organisations = 2",
                Format::Second,
                "1@depositor or 1@agent",
            ),
            (
                "nothing but consents, in so many words",
                "needs = { all = [\"1@depositor\", \"1@agent\"] }\ntrigger = \"joint\"",
                Format::First,
                "1@depositor and 1@agent",
            ),
            (
                "a date",
                "needs = { all = [\"1@depositor\", \"1@agent\"] }\n\
                 trigger = { date = \"2030-01-01T00:00:00.000Z\" }",
                Format::Second,
                "1@depositor and 1@agent",
            ),
            (
                "clocks",
                "needs = { all = [\"1@depositor\", \"1@agent\"] }\nnotice = \"10wd\"\nvote = \"14d\"\n\
                 access = { within = \"30d\", times = 3 }",
                Format::Second,
                "1@depositor and 1@agent",
            ),
        ] {
            let calendar = "[calendar]\nutc_offset = \"+09:00\"\nweekend = [\"sunday\", \
                            \"saturday\"]\nholidays = [\"2027-01-01\", \"2026-12-25\"]\n\n[[rule]]\n";
            let mut text = THREE_PARTY.replacen(joint, needs, 1);
            if needs.contains("wd") {
                text = text.replacen("[[rule]]\n", calendar, 1);
            }
            let terms = parse(&text).unwrap().terms;
            assert_eq!(terms.format, format, "{why}");
            assert_eq!(terms.rules[0].needs.to_string(), said, "{why}");
            let written = serde_json::to_string(&terms).unwrap();
            assert_eq!(written.contains("format"), format == Format::Second, "{why}");
        }
    }

    #[test]
    fn what_people_write_who_never_wrote_toml_is_told_with_what_to_write() {
        let appended = format!("{THREE_PARTY}\nterm = \"2031-01-01T00:00:00.000Z\"\n");
        let of_a_word_processor = "title = \u{201c}Substrate process recipe\u{201d}";
        let title = "title = \"Substrate process recipe\"";
        let changed = |from: &str, to: &str| {
            assert!(THREE_PARTY.contains(from), "{from:?} is not in the template");
            THREE_PARTY.replacen(from, to, 1)
        };
        let (before_rules, _) = THREE_PARTY.split_once("[[rule]]").unwrap();
        for (text, hint) in [
            (appended, "move it up, before the first line in brackets"),
            (changed(title, of_a_word_processor), "straight quotation marks"),
            (before_rules.to_owned(), "below a line [[rule]]"),
            (changed("stock_age = false", "stock_age = no"), "true or false in small letters"),
            (changed("stock_age = false", "stock_age = False"), "true or false in small letters"),
            (
                changed("quorum = 2", "quorum = 2\nterm = 2031-01-01"),
                "in full and in quotation marks",
            ),
            (changed("agent       =", "대리인 ="), "small letters, digits and hyphens"),
            (changed("agent       =", "escrow agent ="), "small letters, digits and hyphens"),
            (changed("quorum = 2", "quorum = 2\ncontract = \"C:\\Users\\a.pdf\""), "with /"),
            (changed("\"10d\"", "10d"), "in quotation marks: \"90d\""),
            (changed("quorum = 2", "quorum = -2"), "neither negative nor so large"),
            (changed("quorum = 2", "quorom = 2"), "`escrow guide terms` has every word"),
        ] {
            let error = parse(&text).unwrap_err();
            assert_eq!(error.code(), "BAD_TERMS", "{error}");
            assert!(error.hint().contains(hint), "{hint}: {error}: {}", error.hint());
        }
        let notice = changed("notice = \"10d\"", "notice = \"10bd\"");
        let error = parse(&notice).unwrap_err().to_string();
        assert!(error.contains("or wd for working days"), "{error}");
    }

    #[test]
    fn rules_in_other_brackets_are_told_of_theirs() {
        for brackets in ["[rule]", "[rules]", "[[rules]]"] {
            let error = parse(&THREE_PARTY.replace("[[rule]]", brackets)).unwrap_err();
            assert_eq!(error.code(), "BAD_TERMS", "{brackets}");
            assert!(error.hint().contains("[[rule]]"), "{brackets}: {}", error.hint());
        }
    }

    #[test]
    fn every_rule_that_is_proposed_is_one_that_the_terms_stay_sound_with() {
        use crate::domain::advice::{Finding, Known, advise};
        let told = |text: &str| -> Vec<Finding> {
            let terms = read_unpinned(text, Path::new("terms.toml")).unwrap().terms;
            assert_eq!(soundness::check(&terms), Ok(()), "{text}");
            advise(&terms, "2026-11-24T09:00:00.000Z".parse().unwrap(), &Known::default())
        };
        let date = format!("{RULE}\ntrigger = {{ date = \"2030-01-01T00:00:00.000Z\" }}");
        let dated = THREE_PARTY.replace(RULE, &date);
        let mut proposed = Vec::new();
        for (template, text) in TEMPLATES.into_iter().chain([("dated", dated.as_str())]) {
            for found in told(text) {
                let Some((_, rule)) = found.fix.split_once("Add a rule named ") else { continue };
                let (named, rest) = rule.split_once(": requester = ").unwrap();
                let (requester, rest) = rest.split_once(", needs = ").unwrap();
                let (needs, _) = rest.split_once(" }").unwrap();
                let name = named.split(',').next().unwrap();
                let rule = format!(
                    "[[rule]]\nname = \"{name}\"\nrequester = {requester}\nneeds = {needs} }}\n"
                );
                // And the next time it is not told any more.
                let again = told(&format!("{text}\n{rule}"));
                assert!(again.iter().all(|again| again.why != found.why), "{template}: {rule}");
                proposed.push(format!("{template}: {name}: {requester}: {needs} }}"));
            }
        }
        let expected = [
            r#"three-party: without-agent: "beneficiary": { all = ["1@depositor", "1@beneficiary"] }"#,
            r#"registry: without-agent: "successor": { all = ["1@depositor", "1@authority"] }"#,
            r#"audit: without-agent: "regulator": { all = ["1@depositor", "1@regulator"] }"#,
            r#"clean-team: without-agent: "clean-team": { all = ["1@depositor", "1@buyer"] }"#,
            r#"estate: without-executor: "heir": { all = ["1@depositor", "1@notary"] }"#,
            r#"estate: without-notary: "heir": { all = ["1@depositor", "1@executor"] }"#,
            r#"dated: agreed: "beneficiary": { all = ["1@depositor", "1@agent"] }"#,
            r#"dated: without-agent: "beneficiary": { all = ["1@depositor", "1@beneficiary"] }"#,
        ];
        assert_eq!(proposed, expected);
    }

    #[test]
    fn mistakes_are_named() {
        let change = |from: &str, to: &str| {
            assert!(THREE_PARTY.contains(from), "{from:?} is not in the template");
            let error = parse(&THREE_PARTY.replace(from, to)).unwrap_err();
            (error.code().to_owned(), error.to_string())
        };
        for (from, to, code, says) in [
            ("quorum = 2", "quorom = 2", "BAD_TERMS", "quorom"),
            ("quorum = 2", "quorum = 1", "UNSOUND", "1 share in the quorum"),
            ("quorum = 2", "quorum = 4", "UNSOUND", "4 shares in the quorum"),
            ("quorum = 2", "quorum = -2", "BAD_TERMS", "-2"),
            ("quorum = 2", "quorum = 2\namend = \"1@agent\"", "UNSOUND", "lets one organisation"),
            ("quorum = 2", "quorum = 2\nterm = \"2031-01-01\"", "BAD_TERMS", "2031-01-01"),
            (
                "objection = [\"depositor\"]",
                "objections = [\"depositor\"]",
                "BAD_TERMS",
                "objections",
            ),
            ("objection = [\"depositor\"]", "objection = [\"depositer\"]", "UNSOUND", "depositer"),
            ("notice = \"10d\"", "notice = \"10 days\"", "BAD_TERMS", "10 days"),
            ("notice = \"10d\"", "notice = \"60d\"", "UNSOUND", "deadlocks"),
            ("notice = \"10d\"", "notice = \"10wd\"", "UNSOUND", "no calendar"),
            ("notice = \"10d\"", "notice = \"0wd\"", "BAD_TERMS", "at most 366wd"),
            ("notice = \"10d\"", "vote = \"59m\"", "UNSOUND", "good for less than an hour"),
            (
                "notice = \"10d\"",
                "trigger = { event = { kind = \"insolvency\", attested = \"1@beneficiary\" } }",
                "UNSOUND",
                "attested by a role that may request",
            ),
            (
                "notice = \"10d\"",
                "trigger = { event = { kind = \"insolvency\", by = \"1@agent\" } }",
                "BAD_TERMS",
                "by",
            ),
            ("notice = \"10d\"", "trigger = \"jiont\"", "BAD_TERMS", "jiont"),
            ("notice = \"10d\"", "trigger = { joint = 5 }", "BAD_TERMS", "nothing but the word"),
            ("notice = \"10d\"", "reviewers = \"agent\"", "BAD_TERMS", "a list such as"),
            ("quorum = 2", "quorum = \"2\"", "BAD_TERMS", "expected a whole number"),
            ("quorum = 2", "quorum = 2\ncalendar = 5", "BAD_TERMS", "utc_offset, weekend"),
            ("notice = \"10d\"", "trigger = \"event\"", "BAD_TERMS", "a table like { event = {"),
            ("notice = \"10d\"", "trigger = \"date\"", "BAD_TERMS", "a table like { event = {"),
            ("notice = \"10d\"", "trigger = 5", "BAD_TERMS", "a table like { event = {"),
            (
                "notice = \"10d\"",
                "trigger = { event = 5 }",
                "BAD_TERMS",
                "kind and attested (event)",
            ),
            ("notice = \"10d\"", "trigger = { date = 5 }", "BAD_TERMS", "expected a time such as"),
            (
                "notice = \"10d\"",
                "trigger = { date = \"2030-01-01T00:00:00.000Z\", order = { attested = \"1@agent\" } }",
                "BAD_TERMS",
                "one thing only",
            ),
            (
                "notice = \"10d\"",
                "notice = 10",
                "BAD_TERMS",
                "a time span such as \"10d\" or \"10wd\"",
            ),
            ("notice = \"10d\"", "vote = 10", "BAD_TERMS", "expected a time span such as \"10d\""),
            ("notice = \"10d\"", "grants = \"label\"", "BAD_TERMS", "a table like { label = "),
            (
                "notice = \"10d\"",
                "settled_by = \"1@agent\"",
                "BAD_TERMS",
                "a table like { award = ",
            ),
            ("notice = \"10d\"", "duty = \"report\"", "BAD_TERMS", "a table like { kind = "),
            ("notice = \"10d\"", "access = \"30d\"", "BAD_TERMS", "a table like { within = "),
            ("notice = \"10d\"", "reviewers = [\"auditor\"]", "UNSOUND", "reviewers of rule"),
            ("notice = \"10d\"", "settled_by = {}", "UNSOUND", "names no way"),
            ("notice = \"10d\"", "settled_by = { awards = \"1@agent\" }", "BAD_TERMS", "awards"),
            (
                "notice = \"10d\"",
                "settled_by = { award = \"1@beneficiary\" }",
                "UNSOUND",
                "its award is signed by a role that may request under it",
            ),
            ("notice = \"10d\"", "grants = \"newest\"", "BAD_TERMS", "newest"),
            (
                "notice = \"10d\"",
                "duty = { kind = \"destroy\", by = \"30d\" }",
                "BAD_TERMS",
                "within",
            ),
            ("notice = \"10d\"", "access = {}", "UNSOUND", "neither within nor times"),
            ("notice = \"10d\"", "access = { time = 3 }", "BAD_TERMS", "time"),
            (
                RULE,
                &calendar("utc_offset = \"+9\"\nweekend = []\nholidays = []"),
                "BAD_TERMS",
                "+09:00",
            ),
            (RULE, &calendar("weekend = []\nholidays = []"), "BAD_TERMS", "utc_offset"),
            (
                RULE,
                &calendar("utc_offset = \"+09:00\"\nweekend = [\"funday\"]\nholidays = []"),
                "BAD_TERMS",
                "funday",
            ),
            (
                RULE,
                &calendar("utc_offset = \"+09:00\"\nweekend = []\nholidays = [\"2026-02-30\"]"),
                "BAD_TERMS",
                "2026-02-30",
            ),
            (
                "\"1@depositor\", \"1@agent\"",
                "\"1@agent\"",
                "UNSOUND",
                "one organisation alone: 1 of trade-secret-center",
            ),
            (
                "\"1@depositor\", \"1@agent\"",
                "\"1@depositor\", \"one@agent\"",
                "BAD_TERMS",
                "\"one@agent\" is not a need: a number of people and a role",
            ),
            (
                "agent       = \"trade-secret-center\"",
                "agent = \"hanbit-parts\"",
                "UNSOUND",
                "named twice",
            ),
            (
                "agent       = \"trade-secret-center\"",
                "agent = \"Trade Secret\"",
                "BAD_TERMS",
                "a name or a list",
            ),
            (
                "agent       = \"trade-secret-center\"",
                "agent = \"somebody\"",
                "NO_FINGERPRINT",
                "somebody",
            ),
            ("name = \"bankruptcy\"", "name = \"joint\"", "UNSOUND", "joint twice"),
            (RULE, &stamps("authority = \"http://tsa.example\""), "BAD_TERMS", "ca"),
            (RULE, &stamps("ca = \"root.pem\""), "BAD_TERMS", "authority"),
            (
                RULE,
                &stamps("authority = \"https://tsa.example\"\nca = \"root.pem\""),
                "BAD_TERMS",
                "for https, put a proxy",
            ),
            (
                RULE,
                &stamps("authority = \"http://tsa.example\"\nca = \"root.pem\"\npolicy = \"1.2\""),
                "BAD_TERMS",
                "policy",
            ),
        ] {
            let (found, message) = change(from, to);
            assert_eq!(found, code, "{to}: {message}");
            assert!(message.contains(says), "{to}: {message}");
        }
    }
}
