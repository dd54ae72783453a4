//! Events of receipts as commands put them out.

use serde::Serialize;

use crate::client::receipt::{Judged, Proved, is_beginning};
use crate::domain::id::{Digest, Fingerprint, MemberPath};
use crate::domain::statement::Statement;
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;

/// An event that is proved.
#[derive(Debug, Serialize)]
pub struct ProvedView {
    position: u64,
    log_size: u64,
    stream: Stream,
    sequence: u64,
    at: Timestamp,
    kind: &'static str,
    member: Option<MemberPath>,
    organisation_fingerprint: Option<Fingerprint>,
    statement_sha256: Option<Digest>,
    stamped_at: Option<Timestamp>,
    stamp_ca_sha256: Option<Digest>,
    #[serde(skip)]
    is_about_members: bool,
}

/// How far the witnesses of a policy have seen a log, and when.
pub fn seen_by(Judged { size, judgement }: &Judged) -> String {
    let there = judgement.there.iter().map(|(name, at)| {
        let at = i64::try_from(*at).ok().and_then(|at| at.checked_mul(1_000));
        let at = at.map(Timestamp::from_millis);
        format!("{name} ({})", at.map_or("no time".to_owned(), |at| at.to_string()))
    });
    format!("{size} entries, by {}", there.collect::<Vec<_>>().join(", "))
}

impl ProvedView {
    /// An event as it was verified.
    pub fn new(proved: &Proved) -> Self {
        let statement = proved.stated.as_ref().map(|stated| &stated.statement);
        Self {
            position: proved.position,
            log_size: proved.log_size,
            stream: proved.stream.clone(),
            sequence: proved.sequence,
            at: proved.at,
            kind: statement.map_or("note", Statement::tag),
            member: proved.by.as_ref().map(|(member, _)| member.clone()),
            organisation_fingerprint: proved.by.as_ref().map(|(_, fingerprint)| *fingerprint),
            statement_sha256: proved.statement_sha256(),
            stamped_at: proved.stamp.as_ref().map(|stamp| stamp.at),
            stamp_ca_sha256: proved.stamp.as_ref().map(|stamp| stamp.ca_sha256),
            is_about_members: statement.is_some_and(is_beginning),
        }
    }

    /// Whether it is there to show whose keys the others were signed with.
    pub fn is_about_members(&self) -> bool {
        self.is_about_members
    }

    /// For a table.
    pub fn row(&self) -> Vec<String> {
        vec![
            self.position.to_string(),
            self.at.to_string(),
            self.kind.to_owned(),
            self.member.as_ref().map(ToString::to_string).unwrap_or_default(),
            self.organisation_fingerprint.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]
    }
}
