//! Streams: the ordered sequences of events, each with a reader's circle of its own.

use std::fmt;
use std::str::FromStr;

use crate::domain::id::{AgreementId, Malformed, OrganisationName, serde_as_text};

/// One ordered sequence of events. Sequence numbers begin at 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// What concerns the vault itself, written `vault`.
    Vault,
    /// An organisation's members, written `org_NAME`.
    Organisation(OrganisationName),
    /// An agreement, its deposits and its requests, written as the agreement's id.
    Agreement(AgreementId),
    /// Who looked at an organisation's members or registrations, written `org_NAME/accesses`.
    OrganisationAccesses(OrganisationName),
    /// What an organisation has registered, written `org_NAME/registrations`. A stream of its own:
    /// partners read who an organisation's members are, and must not read this.
    OrganisationRegistrations(OrganisationName),
    /// Who looked at an agreement, written `agr_…/accesses`.
    AgreementAccesses(AgreementId),
}

const ORGANISATION_PREFIX: &str = "org_";
const ACCESSES_SUFFIX: &str = "/accesses";
const REGISTRATIONS_SUFFIX: &str = "/registrations";

impl Stream {
    /// Where looks at this stream are entered; looks at accesses are entered there too.
    pub fn accesses(&self) -> Option<Self> {
        match self {
            Self::Vault => None,
            Self::Organisation(name)
            | Self::OrganisationRegistrations(name)
            | Self::OrganisationAccesses(name) => Some(Self::OrganisationAccesses(name.clone())),
            Self::Agreement(id) | Self::AgreementAccesses(id) => {
                Some(Self::AgreementAccesses(id.clone()))
            }
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault => f.write_str("vault"),
            Self::Organisation(name) => write!(f, "{ORGANISATION_PREFIX}{name}"),
            Self::Agreement(id) => write!(f, "{id}"),
            Self::OrganisationAccesses(name) => {
                write!(f, "{ORGANISATION_PREFIX}{name}{ACCESSES_SUFFIX}")
            }
            Self::OrganisationRegistrations(name) => {
                write!(f, "{ORGANISATION_PREFIX}{name}{REGISTRATIONS_SUFFIX}")
            }
            Self::AgreementAccesses(id) => write!(f, "{id}{ACCESSES_SUFFIX}"),
        }
    }
}

impl FromStr for Stream {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text == "vault" {
            return Ok(Self::Vault);
        }
        if let Some(subject) = text.strip_suffix(REGISTRATIONS_SUFFIX)
            && let Some(name) = subject.strip_prefix(ORGANISATION_PREFIX)
        {
            return Ok(Self::OrganisationRegistrations(name.parse()?));
        }
        let (subject, accesses) = match text.strip_suffix(ACCESSES_SUFFIX) {
            Some(subject) => (subject, true),
            None => (text, false),
        };
        if let Some(name) = subject.strip_prefix(ORGANISATION_PREFIX) {
            let name = name.parse()?;
            Ok(if accesses { Self::OrganisationAccesses(name) } else { Self::Organisation(name) })
        } else {
            let id = subject.parse().map_err(|_: Malformed| {
                Malformed::new(text, "a stream", "vault, org_NAME or agr_…, or what is behind it")
            })?;
            Ok(if accesses { Self::AgreementAccesses(id) } else { Self::Agreement(id) })
        }
    }
}

serde_as_text!(Stream);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_read_as_they_are_written() {
        let agreement = format!("agr_{}", "a".repeat(26));
        for (text, accesses) in [
            ("vault".to_owned(), None),
            ("org_hanbit-parts".to_owned(), Some("org_hanbit-parts/accesses".to_owned())),
            (
                "org_hanbit-parts/registrations".to_owned(),
                Some("org_hanbit-parts/accesses".to_owned()),
            ),
            (agreement.clone(), Some(format!("{agreement}/accesses"))),
            (format!("{agreement}/accesses"), Some(format!("{agreement}/accesses"))),
        ] {
            let stream: Stream = text.parse().unwrap();
            assert_eq!(stream.to_string(), text);
            assert_eq!(stream.accesses().map(|s| s.to_string()), accesses);
        }
        for text in [
            "",
            "Vault",
            "org_",
            "org_A",
            "agr_short",
            "vault/accesses",
            "vault/registrations",
            "org_/registrations",
            "org_a/accesses/accesses",
            "org_a/registrations/accesses",
            &format!("{agreement}/registrations"),
        ] {
            assert!(text.parse::<Stream>().is_err(), "{text}");
        }
    }
}
