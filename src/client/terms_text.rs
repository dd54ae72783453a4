//! Terms as people write them, in TOML. Unknown fields are errors: a misspelt safeguard is a
//! lost one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::client::error::ClientError;
use crate::domain::id::{Digest, Fingerprint, OrganisationName, Role, RuleName};
use crate::domain::needs::Needs;
use crate::domain::soundness;
use crate::domain::terms::{Rule, Terms, limit};
use crate::domain::text::Text;
use crate::domain::time::Span;

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
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftRule {
    name: RuleName,
    requester: OneOrMore<Role>,
    needs: Needs,
    #[serde(default)]
    notice: Span,
    #[serde(default)]
    objection: Vec<Role>,
    expires: Option<Span>,
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

/// Terms as read, with the paper contract they name still to be digested.
#[derive(Debug)]
pub struct Drafted {
    /// The terms, without the contract's digest.
    pub terms: Terms,
    /// The paper contract, next to the file of terms.
    pub contract: Option<PathBuf>,
}

/// Reads the terms in `file`. Fingerprints that they leave out come from `trusted`.
pub fn read(
    text: &str,
    file: &Path,
    trusted: &BTreeMap<OrganisationName, Fingerprint>,
) -> Result<Drafted, ClientError> {
    let draft: Draft = toml::from_str(text).map_err(|fault| {
        let message = format!("{}: {}", file.display(), fault.to_string().trim_end());
        ClientError::input("BAD_TERMS", message, "see `escrow agreement template`")
    })?;
    let parties: BTreeMap<Role, Vec<OrganisationName>> =
        draft.parties.into_iter().map(|(role, who)| (role, who.into_vec())).collect();
    let mut fingerprints = draft.fingerprints;
    for organisation in parties.values().flatten() {
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
    let holders = draft.holders.unwrap_or_else(|| parties.keys().cloned().collect());
    let rules = draft.rule.into_iter().map(|rule| Rule {
        name: rule.name,
        requesters: rule.requester.into_vec(),
        needs: rule.needs,
        notice: rule.notice,
        objection: rule.objection,
        expires: rule.expires.unwrap_or(limit::EXPIRES_DEFAULT),
    });
    let terms = Terms {
        title: draft.title,
        quorum: draft.quorum,
        contract_sha256: None,
        stock_age: draft.stock_age,
        parties,
        fingerprints,
        holders,
        rules: rules.collect(),
    };
    soundness::check(&terms).map_err(crate::domain::refusal::Refusal::Unsound)?;
    let beside = file.parent().unwrap_or(Path::new("."));
    let contract = draft.contract.map(|path| beside.join(path));
    Ok(Drafted { terms, contract })
}

impl Drafted {
    /// The terms, with the digest of the paper contract.
    pub fn with_contract(mut self, digest: Option<Digest>) -> Terms {
        self.terms.contract_sha256 = digest;
        self.terms
    }
}

/// The commonest case, commented in plain words.
pub const THREE_PARTY: &str = include_str!("templates/three-party.toml");

/// The templates there are, by name.
pub const TEMPLATES: [(&str, &str); 1] = [("three-party", THREE_PARTY)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Bytes;

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
    fn mistakes_are_named() {
        let change = |from: &str, to: &str| {
            assert!(THREE_PARTY.contains(from), "{from:?} is not in the template");
            let error = parse(&THREE_PARTY.replace(from, to)).unwrap_err();
            (error.code().to_owned(), error.to_string())
        };
        for (from, to, code, says) in [
            ("quorum = 2", "quorom = 2", "BAD_TERMS", "quorom"),
            ("quorum = 2", "quorum = 1", "UNSOUND", "1 shares in the quorum"),
            ("quorum = 2", "quorum = 4", "UNSOUND", "4 shares in the quorum"),
            ("quorum = 2", "quorum = -2", "BAD_TERMS", "-2"),
            (
                "objection = [\"depositor\"]",
                "objections = [\"depositor\"]",
                "BAD_TERMS",
                "objections",
            ),
            ("objection = [\"depositor\"]", "objection = [\"depositer\"]", "UNSOUND", "depositer"),
            ("notice = \"10d\"", "notice = \"10 days\"", "BAD_TERMS", "10 days"),
            ("notice = \"10d\"", "notice = \"60d\"", "UNSOUND", "deadlocks"),
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
        ] {
            let (found, message) = change(from, to);
            assert_eq!(found, code, "{to}: {message}");
            assert!(message.contains(says), "{to}: {message}");
        }
    }
}
