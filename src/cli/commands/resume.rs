//! `resume`: after the vault was recovered.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, fields};
use crate::client::acts::resume::{self, HandedIn, Lost};
use crate::client::session::Session;
use crate::domain::id::{AgreementId, MemberPath};
use crate::domain::stream::Stream;
use crate::domain::text::Text;
use crate::domain::time::Timestamp;

#[derive(Serialize)]
struct ResumedView {
    generation: u32,
    handed_in: u64,
    lost: Vec<LostView>,
    evidence: Option<PathBuf>,
    agreements: Vec<AgreementView>,
}

#[derive(Serialize)]
struct LostView {
    stream: Stream,
    sequence: u64,
    at: Timestamp,
    kind: String,
    member: Option<MemberPath>,
}

#[derive(Serialize)]
struct AgreementView {
    id: AgreementId,
    title: Text,
    state: &'static str,
}

const GOES_ON: &str = "goes on";
const WAITS: &str = "waits for other parties";

/// `escrow resume`
pub(super) async fn resume(output: &Output, session: &mut Session) -> Result<Exit, Failure> {
    let handed_in = resume::hand_in(session).await?;
    tell(output, &handed_in);
    let suspended = resume::suspended(session).await?;
    let mut agreements = Vec::new();
    if !suspended.is_empty() {
        let titles: Vec<_> =
            suspended.iter().map(|a| format!("  {}  \"{}\"", a.id, a.terms.title)).collect();
        output.ask(&format!(
            "This takes up again, for {}, as the vault shows them now:\n{}\nWait with it until \
             your colleagues have run `escrow resume` as well: what they remember and you do not \
             can be handed in only before.",
            session.owner.path.organisation,
            titles.join("\n")
        ))?;
    }
    for agreement in suspended {
        let goes_on = resume::resume(session, &agreement.id).await?;
        let state = if goes_on { GOES_ON } else { WAITS };
        agreements.push(AgreementView {
            id: agreement.id,
            title: agreement.terms.title.clone(),
            state,
        });
    }
    let waits = agreements.iter().any(|agreement| agreement.state == WAITS);
    let HandedIn { generation, events, lost, evidence } = handed_in;
    let lost = lost.into_iter().map(LostView::from).collect();
    let view = ResumedView { generation, handed_in: events, lost, evidence, agreements };
    output.record(&view, |view| {
        let line = |a: &AgreementView| format!("{}  \"{}\": {}", a.id, a.title, a.state);
        let agreements: Vec<_> = view.agreements.iter().map(line).collect();
        fields(&[
            ("generation", view.generation.to_string()),
            ("handed in", format!("{} events", view.handed_in)),
            ("lost", format!("{} events", view.lost.len())),
            ("agreements", agreements.join("\n")),
        ])
    })?;
    Ok(if waits { Exit::NotYet } else { Exit::Done })
}

fn tell(output: &Output, handed_in: &HandedIn) {
    if handed_in.events > 0 {
        output.say(&format!(
            "The vault had lost {} events that this home remembers, and has them back.",
            handed_in.events
        ));
    }
    for Lost { stream, sequence, at, kind, by } in &handed_in.lost {
        let by = by.as_ref().map(ToString::to_string).unwrap_or_else(|| "the vault".to_owned());
        output.say(&format!("Lost: event {sequence} of {stream}, {kind} by {by} at {at}."));
    }
    if let Some(evidence) = &handed_in.evidence {
        output.say(&format!(
            "What is lost is kept as evidence in {}. Tell the other parties, and do again what \
             still matters; a lost revocation first.",
            evidence.display()
        ));
    }
}

impl From<Lost> for LostView {
    fn from(lost: Lost) -> Self {
        let Lost { stream, sequence, at, kind, by } = lost;
        Self { stream, sequence, at, kind, member: by }
    }
}
