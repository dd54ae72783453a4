//! What an export proves, as commands put it out.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::output::{count, fields};
use crate::cli::view::{AgreementView, AuditView, RequestView, seen_by};
use crate::client::export::Verified;
use crate::client::receipt::Judged;
use crate::domain::id::{Digest, Fingerprint, OrganisationName};
use crate::domain::statement::Log;
use crate::domain::stream::Stream;
use crate::domain::time::Timestamp;

/// An export that was verified.
#[derive(Debug, Serialize)]
pub struct ExportView {
    agreement: AgreementView,
    log: Log,
    log_key: String,
    log_size: u64,
    log_root: Digest,
    ends_at: Timestamp,
    parties: Vec<PartyKeyView>,
    streams: Vec<StreamView>,
    earlier_generations: Vec<GenerationView>,
    requests: Vec<RequestView>,
    /// How many entries enough of the verifier's witnesses have seen.
    witnessed_size: Option<u64>,
    /// What the file of the verifier's is in it.
    document: Option<String>,
    not_checked: Vec<String>,
    #[serde(skip)]
    witnessed: Option<String>,
    #[serde(skip)]
    deposits: usize,
    #[serde(skip)]
    histories: Vec<String>,
}

/// A party's key.
#[derive(Debug, Serialize)]
struct PartyKeyView {
    organisation: OrganisationName,
    organisation_fingerprint: Fingerprint,
    /// Whether the verifier knows it from elsewhere.
    is_known: bool,
}

/// A stream of it.
#[derive(Debug, Serialize)]
struct StreamView {
    stream: Stream,
    events: usize,
    last_position: Option<u64>,
}

/// Events of an earlier generation of the log.
#[derive(Debug, Serialize)]
struct GenerationView {
    generation: u32,
    events: usize,
}

/// What the verifier had to compare with.
#[derive(Debug, Default)]
pub struct Compared<'k> {
    /// Whether it knows the log's key.
    pub log_key: bool,
    /// How many checkpoints.
    pub checkpoints: usize,
    /// Whose fingerprints.
    pub organisations: Vec<&'k OrganisationName>,
    /// How far the witnesses that it trusts have seen the log.
    pub witnessed: Option<&'k Judged>,
}

impl ExportView {
    /// An export as it was verified. `deeds` are those in it in their order, by what they concern.
    pub fn new(
        verified: &Verified,
        log_key: String,
        compared: &Compared<'_>,
        document: Option<String>,
        deeds: &BTreeMap<String, Vec<AuditView>>,
    ) -> Self {
        let Verified { agreement, log, checkpoint, streams, states, ends_at, parties, .. } =
            verified;
        let parties = parties.iter().map(|(organisation, fingerprint)| PartyKeyView {
            organisation: organisation.clone(),
            organisation_fingerprint: *fingerprint,
            is_known: compared.organisations.contains(&organisation),
        });
        let parties: Vec<_> = parties.collect();
        let streams = streams.iter().map(|(stream, followed)| StreamView {
            stream: stream.clone(),
            events: followed.events().len(),
            last_position: followed.events().last().map(|believed| believed.position),
        });
        let earlier = verified.of_earlier_generations().into_iter();
        let earlier = earlier.map(|(generation, events)| GenerationView { generation, events });
        let deposit = |id| states.deposit(id);
        let requests = states.requests();
        let requests = requests.map(|it| RequestView::new(it, deposit(&it.deposit), *ends_at));
        let histories = states.requests().map(|request| {
            let (id, rule) = (request.id.to_string(), &request.statement.rule);
            let history = deeds.get(&id).into_iter().flatten().map(AuditView::deed);
            let history: Vec<_> = history.collect();
            let state = request.state(*ends_at);
            format!("{id} ({rule}) is {state}: {}", history.join("; "))
        });
        let mut view = Self {
            agreement: AgreementView::new(agreement, log),
            log: log.clone(),
            log_key,
            log_size: checkpoint.size,
            log_root: checkpoint.root,
            ends_at: *ends_at,
            parties,
            streams: streams.collect(),
            earlier_generations: earlier.collect(),
            requests: requests.collect(),
            witnessed_size: compared.witnessed.map(|judged| judged.size),
            witnessed: compared.witnessed.map(seen_by),
            document,
            not_checked: Vec::new(),
            deposits: states.deposits().count(),
            histories: histories.collect(),
        };
        view.not_checked = view.left_open(compared);
        view
    }

    /// What the verifier has to find out elsewhere.
    fn left_open(&self, compared: &Compared<'_>) -> Vec<String> {
        let mut open = Vec::new();
        if !compared.log_key {
            open.push(
                "the log's key was taken as it came: compare it, or give it with --log".into(),
            );
        }
        match (compared.witnessed, compared.checkpoints) {
            (None, 0) => open.push(
                "whether others are shown the same log: give a checkpoint of theirs with \
                 --checkpoint, or say with --policy which witnesses you trust"
                    .to_owned(),
            ),
            (Some(judged), _) if judged.size < self.log_size => open.push(format!(
                "whether others are shown the same log behind its first {} entries",
                judged.size
            )),
            (Some(_), _) | (None, _) => {}
        }
        let unknown = self.parties.iter().filter(|party| !party.is_known);
        let unknown: Vec<_> = unknown.map(|party| party.organisation.to_string()).collect();
        if !unknown.is_empty() {
            let whose = unknown.join(", ");
            open.push(format!(
                "whose keys these are: compare fingerprints, or give --org: {whose}"
            ));
        }
        for GenerationView { generation, events } in &self.earlier_generations {
            let events = count(*events, "event", "events");
            open.push(format!(
                "the log of generation {generation}, before the vault was recovered: {events} of it \
                 stand in this one as they were put back"
            ));
        }
        open.push(
            "times, who looked and what was handed out: these are the vault's word".to_owned(),
        );
        open.push(format!("what happened after {}, and what the bundles hold", self.ends_at));
        open
    }

    /// For people.
    pub fn text(&self) -> String {
        let lines = |lines: Vec<String>| match lines.is_empty() {
            true => "none".to_owned(),
            false => lines.join("\n"),
        };
        let events: usize = self.streams.iter().map(|stream| stream.events).sum();
        let parties = self.parties.iter().map(|party| {
            let known = if party.is_known { " (as you know it)" } else { "" };
            format!("{} {}{known}", party.organisation, party.organisation_fingerprint)
        });
        let streams = self.streams.iter().map(|StreamView { stream, events, .. }| {
            format!("{}: {stream}", count(*events, "event", "events"))
        });
        let mut pairs = vec![
            ("agreement", self.agreement.line()),
            (
                "log",
                format!("{}/{}, {}", self.log.origin, self.log.generation, {
                    count(self.log_size, "entry", "entries")
                }),
            ),
            ("log key", self.log_key.clone()),
            ("parties", lines(parties.collect())),
            ("held", {
                format!(
                    "{} of {}, each where the log has it and none withheld; every signature; every \
                     step, decided anew by the rules",
                    count(events, "event", "events"),
                    count(self.streams.len(), "stream", "streams"),
                )
            }),
            ("streams", lines(streams.collect())),
            ("deposits", self.deposits.to_string()),
            ("requests", lines(self.histories.clone())),
            ("not checked", lines(self.not_checked.clone())),
        ];
        if let Some(witnessed) = &self.witnessed {
            pairs.push(("witnessed", witnessed.clone()));
        }
        if let Some(document) = &self.document {
            pairs.push(("the file is", document.clone()));
        }
        fields(&pairs)
    }
}
