//! What a person is told of a run that ended.

use std::collections::BTreeMap;

use serde_json::Value;

use super::figures::{bytes, count, dollars, duration, percent, plural};
use super::slack;
use crate::ledger::{Outcome, Status};

/// SNS takes subjects of 100 ASCII characters without line ends (API reference, Publish).
const MAX_SUBJECT: usize = 100;
/// Reasons named; the others are counted.
const MAX_REASONS: usize = 5;
/// Characters of anything that a source, a dataset file or an error says.
const MAX_QUOTED: usize = 600;

/// A message, for whichever channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The run.
    pub run_id: String,
    /// Its dataset.
    pub dataset: String,
    /// `complete`, `failed` or `superseded`.
    pub status: &'static str,
    /// One line of ASCII, at most 100 characters.
    pub subject: String,
    /// Plain text of several lines.
    pub text: String,
    /// The JSON that a Slack-style webhook takes.
    pub slack: Value,
}

/// The parts of a message before a channel's form is given to them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub icon: &'static str,
    pub dataset: String,
    /// `trips.parquet is complete`.
    pub headline: String,
    pub error: Option<String>,
    /// Short facts, by name.
    pub facts: Vec<(&'static str, String)>,
    /// Where the source lies.
    pub source: String,
    /// Where the parts lie.
    pub parts: Option<String>,
    pub run_id: String,
    /// What to do next.
    pub next: Option<String>,
}

/// Composes the message of an outcome. `uri` tells where an object of the sink lies.
pub fn compose(outcome: &Outcome, uri: &dyn Fn(&str) -> String) -> Message {
    let run = &outcome.run;
    let file = plain(run.source.key.rsplit('/').next().unwrap_or_default());
    let (status, verb, icon) = match outcome.status {
        Status::Complete => ("complete", "is complete", "\u{2705}"),
        Status::Failed => ("failed", "failed", "\u{274c}"),
        Status::Superseded => ("superseded", "was superseded", "\u{23ed}\u{fe0f}"),
        Status::Missing => ("missing", "is missing", "\u{2754}"),
    };
    let told = Told {
        icon,
        dataset: run.dataset.clone(),
        headline: format!("{file} {verb}"),
        error: outcome.error.as_ref().map(|error| plain(&error.message)),
        facts: facts(outcome),
        source: plain(&run.source.uri()),
        parts: outcome.parts.first().map(|part| plain(folder(&uri(&part.key)))),
        run_id: run.run_id.clone(),
        next: (outcome.status == Status::Failed)
            .then(|| format!("What was published before stays. Once mended: rowmill redrive {}", run.run_id)),
    };
    Message {
        run_id: run.run_id.clone(),
        dataset: run.dataset.clone(),
        status,
        subject: subject(&run.dataset, status, &file),
        text: text(&told),
        slack: slack::payload(&told),
    }
}

fn facts(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let rows = &outcome.rows;
    let mut facts = Vec::new();
    if rows.read > 0 {
        let mut fates = format!("{} read, {} kept", count(rows.read), count(rows.kept));
        for (number, fate) in [(rows.quarantined, "quarantined"), (rows.filtered, "filtered")] {
            if number > 0 {
                fates.push_str(&format!(", {} {fate} ({})", count(number), percent(number, rows.read)));
            }
        }
        facts.push(("rows", fates));
    }
    if !outcome.reasons.is_empty() {
        facts.push(("reasons", reasons(&outcome.reasons)));
    }
    if !outcome.dropped.is_empty() {
        facts.push(("dropped", reasons(&outcome.dropped)));
    }
    if !outcome.parts.is_empty() {
        let parts = u64::try_from(outcome.parts.len()).unwrap_or(u64::MAX);
        let written = outcome.parts.iter().map(|part| part.bytes).sum();
        facts.push((
            "output",
            format!("{}, {} of {}", plural(parts, "part"), bytes(written), bytes(outcome.run.source.size)),
        ));
    }
    let took_ms = u64::try_from(outcome.finished_at_ms - outcome.started_at_ms).unwrap_or(0);
    facts.push(("time", duration(took_ms)));
    if let Some(took) = &outcome.took {
        match took.dollars {
            Some(amount) => facts.push((
                "cost",
                format!(
                    "about {}: {:.1} GB-seconds in {}",
                    dollars(amount),
                    took.gb_seconds,
                    plural(took.invocations, "invocation")
                ),
            )),
            None => facts.push(("work", format!("{} on this machine, no bill", duration(took.compute_ms())))),
        }
    }
    facts
}

/// The reasons that most rows have.
fn reasons(reasons: &BTreeMap<String, u64>) -> String {
    let mut sorted: Vec<(&String, &u64)> = reasons.iter().collect();
    sorted.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
    let named = sorted.iter().take(MAX_REASONS).map(|(reason, rows)| format!("{} {}", count(**rows), plain(reason)));
    let mut text = named.collect::<Vec<_>>().join(", ");
    if sorted.len() > MAX_REASONS {
        text.push_str(&format!(" and {} more", sorted.len() - MAX_REASONS));
    }
    cut(&text, MAX_QUOTED)
}

/// What an e-mail's subject says: its end, where most files of a dataset differ, is kept.
fn subject(dataset: &str, status: &str, file: &str) -> String {
    let ascii = |text: &str| text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect::<String>();
    let start = ascii(&format!("Rowmill: {dataset} {status}: "));
    let file: Vec<char> = ascii(file).chars().collect();
    let room = MAX_SUBJECT.saturating_sub(start.chars().count());
    let file: String = match file.len() <= room {
        true => file.into_iter().collect(),
        false => {
            let tail = file.len() - room.saturating_sub(3);
            format!("...{}", file.into_iter().skip(tail).collect::<String>())
        }
    };
    let subject: String = start.chars().chain(file.chars()).take(MAX_SUBJECT).collect();
    subject.trim_end().to_owned()
}

fn text(told: &Told) -> String {
    let mut text = format!("{}: {}\n\n", told.dataset, told.headline);
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<9}{value}\n"));
    if let Some(error) = &told.error {
        line("why", error);
    }
    for (name, value) in &told.facts {
        line(name, value);
    }
    line("source", &told.source);
    if let Some(parts) = &told.parts {
        line("parts", parts);
    }
    line("run", &told.run_id);
    if let Some(next) = &told.next {
        text.push_str(&format!("\n{next}\n"));
    }
    text
}

/// One line without control characters, and not too long.
fn plain(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(&line, MAX_QUOTED)
}

/// The text, or its beginning.
pub(super) fn cut(text: &str, max_characters: usize) -> String {
    match text.char_indices().nth(max_characters) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max_characters.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A URI up to its last slash.
fn folder(uri: &str) -> &str {
    uri.rfind('/').and_then(|slash| uri.get(..=slash)).unwrap_or(uri)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
