//! `rowmill show`: one run, from its plan to its outcome.

use std::collections::{BTreeSet, HashMap};

use rowmill::cost::Took;
use rowmill::ledger::records::{Notified, Open, SliceResult};
use rowmill::ledger::{Ledger, Outcome, Plan, RowCounts, SliceRecord};
use serde::Serialize;

use crate::args::{ShowArgs, WhereArgs};
use crate::drift::{coerced_table, uncounted};
use crate::fault::{Exit, Fault};
use crate::history::{self, word};
use crate::intact::{self, Damaged, Problem};
use crate::location::shown;
use crate::render::{self, Align, Table, bytes, count, length, moment, seconds};
use crate::stack::ledger_at;

/// The document of `show --json`: the ledger's objects as they are.
#[derive(Debug, Serialize)]
struct Shown {
    run_id: String,
    dataset: String,
    status: &'static str,
    source: Option<String>,
    open: Option<Open>,
    plan: Option<Plan>,
    slices: Vec<SliceRecord>,
    outcome: Option<Outcome>,
    /// Parts and quarantine files that are gone from the sink or have another size.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<Damaged>,
    /// The run that has taken this one's place, or is about to: what lies at this one's keys is not its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_by: Option<String>,
    notified: Option<Notified>,
}

/// Runs the command.
pub async fn show(args: ShowArgs) -> Result<Exit, Fault> {
    let ledger = ledger_at(&args.place).await?;
    let entry = history::find(&ledger, &args.place, &args.run).await?;
    let shown = gather(&ledger, entry).await?;
    if args.json {
        render::print_json(&shown);
    } else {
        render::print(&text(&ledger, &args.place, &shown));
    }
    Ok(Exit::Done)
}

async fn gather(ledger: &Ledger, entry: history::Entry) -> Result<Shown, Fault> {
    let plan = ledger.plan(&entry.dataset, &entry.run_id).await?;
    let records = ledger.slices(&entry.dataset, &entry.run_id).await?;
    let notified = ledger.notified(&entry.dataset, &entry.run_id).await?;
    let known = history::read(ledger, entry).await?;
    let (mut damaged, mut replaced_by) = (Vec::new(), None);
    if let Some(outcome) = &known.outcome {
        replaced_by = intact::replaced_by(ledger, outcome).await?;
        damaged = intact::damaged(ledger, [outcome]).await?.remove(&outcome.run.run_id).unwrap_or_default();
    }
    Ok(Shown {
        run_id: known.entry.run_id.clone(),
        dataset: known.entry.dataset.clone(),
        status: word(known.status()),
        source: known.run.as_ref().map(|run| run.source.uri()),
        open: known.entry.open.clone(),
        plan,
        slices: records.into_iter().map(|record| record.value).collect(),
        outcome: known.outcome,
        damaged,
        replaced_by,
        notified,
    })
}

fn text(ledger: &Ledger, place: &WhereArgs, run: &Shown) -> String {
    let mut facts = Table::bare(&[Align::Left, Align::Left]);
    let mut fact = |name: &str, value: String| facts.row([name.to_owned(), value]);
    fact("run", run.run_id.clone());
    fact("dataset", run.dataset.clone());
    fact("status", run.status.to_owned());
    fact("source", run.source.as_deref().map(shown).unwrap_or("unknown").to_owned());
    let of = run.plan.as_ref().map(|plan| &plan.run).or(run.outcome.as_ref().map(|outcome| &outcome.run));
    if let Some(of) = of.or(run.open.as_ref().map(|open| &open.run)) {
        fact("version", of.source.version.version_id.as_ref().unwrap_or(&of.source.version.etag).clone());
        fact("size", bytes(of.source.size));
        fact("purpose", format!("{:?}", of.purpose).to_lowercase());
        fact("config", of.config.clone());
    }
    if let Some(open) = &run.open {
        fact("open since", format!("{}, {} restarts", moment(open.opened_at_ms), open.restarts));
        fact("to go on", history::to_go_on(place));
    }
    if let Some(plan) = &run.plan {
        let slices = format!("{} rows in {} slices", count(plan.rows), length(plan.slices.len()));
        fact("plan", format!("{slices}, {} rows a row group", count(plan.row_group_rows)));
        fact("recorded", format!("{} of {} slices", length(run.slices.len()), length(plan.slices.len())));
        if run.outcome.is_none() {
            let recorded: BTreeSet<u32> = run.slices.iter().map(|record| record.slice).collect();
            let planned = plan.slices.iter().map(|slice| slice.index);
            fact("waiting for", waiting(planned.filter(|index| !recorded.contains(index)).collect()));
        }
    } else if run.outcome.is_none() {
        fact("waiting for", "a processor to read its footer and plan it".to_owned());
    }
    if let Some(outcome) = &run.outcome {
        let took_ms = u64::try_from(outcome.finished_at_ms - outcome.started_at_ms).unwrap_or(0);
        fact("ended", format!("{}, after {} s", moment(outcome.finished_at_ms), seconds(took_ms)));
        fact("rows", fates(&outcome.rows));
        if let Some(took) = &outcome.took {
            fact("took", taken(took));
        }
        if let Some(error) = &outcome.error {
            fact("error", error.message.clone());
        }
    }
    if let Some(by) = &run.replaced_by {
        fact("replaced by", format!("{by}: what lies at the keys below is that run's, or gone"));
    }
    if let Some(notified) = &run.notified {
        fact("told", told(notified));
    }
    let mut text = facts.text("");
    if let Some(outcome) = &run.outcome {
        text.push_str(&details(ledger, outcome, &run.damaged));
    } else {
        text.push_str(&slices(&run.slices));
    }
    text
}

/// What a run took, in one line.
fn taken(took: &Took) -> String {
    let worked = format!("{} s of work in {} invocations", seconds(took.compute_ms()), count(took.invocations));
    let peak = took.peak_mib.map(|mib| format!(", {} MiB at most", count(mib))).unwrap_or_default();
    let bill = took.dollars.map(|dollars| format!(", {:.1} GB-seconds, about ${dollars:.5}", took.gb_seconds));
    format!("{worked}{peak}{}", bill.unwrap_or_default())
}

/// Who was told how the run ended.
fn told(notified: &Notified) -> String {
    let mut text = format!("{} at {}", notified.told.join(" and "), moment(notified.at_ms));
    if notified.told.is_empty() {
        text = "nobody".to_owned();
    }
    for (channel, problem) in &notified.dropped {
        text.push_str(&format!("; {channel} never took it: {problem}"));
    }
    text
}

/// Rows by fate, as a sum.
pub fn fates(rows: &RowCounts) -> String {
    let (read, kept, quarantined) = (count(rows.read), count(rows.kept), count(rows.quarantined));
    format!("{read} read = {kept} kept + {quarantined} quarantined + {} filtered", count(rows.filtered))
}

fn details(ledger: &Ledger, outcome: &Outcome, damaged: &[Damaged]) -> String {
    let mut text = String::new();
    let problems: HashMap<&str, &Problem> =
        damaged.iter().map(|damaged| (damaged.uri.as_str(), &damaged.problem)).collect();
    for (title, rows) in [
        ("quarantined, by reason", &outcome.reasons),
        ("dropped, by expectation", &outcome.dropped),
        ("kept with a warning", &outcome.warnings),
    ] {
        if rows.is_empty() {
            continue;
        }
        let mut table = Table::new(&[("rows", Align::Right), (title, Align::Left)]);
        for (name, rows) in rows {
            table.row([count(*rows), name.clone()]);
        }
        text.push_str(&format!("\n{}", table.text("")));
    }
    let drift = uncounted(&outcome.drift, &outcome.coerced);
    let notes: Vec<&str> = outcome.notes.iter().map(String::as_str).collect();
    let reports: Vec<String> =
        outcome.report_errors.iter().map(|error| format!("{}: {}", error.report, error.message)).collect();
    let reports: Vec<&str> = reports.iter().map(String::as_str).collect();
    for (title, lines) in
        [("how the source differs", &drift), ("notes", &notes), ("reports that lack this run", &reports)]
    {
        if !lines.is_empty() {
            text.push_str(&format!("\n{title}\n  {}\n", lines.join("\n  ")));
        }
    }
    text.push_str(&coerced_table(&outcome.coerced));
    for (title, visible) in [("part", &outcome.parts), ("quarantine", &outcome.quarantine)] {
        if visible.is_empty() {
            continue;
        }
        let mut table = Table::new(&[
            ("rows", Align::Right),
            ("row groups", Align::Right),
            ("size", Align::Right),
            (title, Align::Left),
            (if damaged.is_empty() { "" } else { "in the sink" }, Align::Left),
        ]);
        for part in visible {
            let uri = ledger.sink().uri(&part.key);
            let state = problems.get(uri.as_str()).map(|problem| problem.text()).unwrap_or_default();
            let groups = length(part.row_groups.len());
            table.row([count(part.rows), groups, bytes(part.bytes), shown(&uri).to_owned(), state]);
        }
        text.push_str(&format!("\n{}", table.text("")));
    }
    text
}

/// What an open run without these slices waits for.
fn waiting(missing: Vec<u32>) -> String {
    const SHOWN: usize = 10;
    if missing.is_empty() {
        return "a finalizer to verify and publish it".to_owned();
    }
    let named: Vec<String> = missing.iter().take(SHOWN).map(u32::to_string).collect();
    let more = missing.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("processors to record slices {}{rest}", named.join(", "))
}

fn slices(records: &[SliceRecord]) -> String {
    if records.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[("slice", Align::Right), ("seconds", Align::Right), ("rows", Align::Left)]);
    for record in records {
        let (took, rows) = match &record.result {
            SliceResult::Done(done) => (seconds(done.duration_ms), fates(&done.rows)),
            SliceResult::Failed(failure) => (String::new(), format!("failed: {}", failure.message)),
        };
        table.row([record.slice.to_string(), took, rows]);
    }
    format!("\n{}", table.text(""))
}

#[cfg(test)]
mod tests {
    use super::waiting;

    #[test]
    fn an_open_run_says_what_it_waits_for() {
        assert_eq!(waiting(vec![]), "a finalizer to verify and publish it");
        assert_eq!(waiting(vec![3, 5]), "processors to record slices 3, 5");
        assert_eq!(waiting((0..14).collect()), "processors to record slices 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 4 more");
    }
}
