//! Registrations as commands put them out.

use serde::Serialize;

use crate::cli::output::{fields, size};
use crate::domain::id::{Digest, MemberPath, RegistrationId};
use crate::domain::registration::Registration;
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

/// A registration.
#[derive(Debug, Serialize)]
pub struct RegistrationView {
    id: RegistrationId,
    label: Text,
    member: MemberPath,
    size: u64,
    sha256: Digest,
    registered_at: Timestamp,
    stamped_at: Option<Timestamp>,
}

impl RegistrationView {
    /// A registration as it is believed, and the time of the stamp that this home has of it.
    pub fn new(registration: &Registration, stamped_at: Option<Timestamp>) -> Self {
        let stated = &registration.statement;
        Self {
            id: registration.id.clone(),
            label: stated.label.clone(),
            member: stated.made.by.clone(),
            size: stated.size,
            sha256: stated.sha256,
            registered_at: registration.registered_at,
            stamped_at,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        fields(&[
            ("registration", self.id.to_string()),
            ("label", self.label.to_string()),
            ("registered", format!("{} by {}", self.registered_at, self.member)),
            ("time-stamped", self.stamped_at.map_or("no".to_owned(), |at| at.to_string())),
            ("size", format!("{} ({} bytes)", size(self.size), self.size)),
            ("SHA-256", self.sha256.to_string()),
        ])
    }

    /// For a table.
    pub fn row(&self) -> Vec<String> {
        let (id, at) = (self.id.to_string(), self.registered_at.to_string());
        vec![id, size(self.size), at, self.sha256.to_string(), self.label.to_string()]
    }
}
