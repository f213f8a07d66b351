//! `rowmill runs`: the runs of a ledger, newest first.

use rowmill::ledger::{Ledger, RowCounts};
use serde::Serialize;

use crate::args::RunsArgs;
use crate::fault::{Exit, Fault};
use crate::history::{self, Known, word};
use crate::location::shown;
use crate::render::{self, Align, Table, count, moment, seconds};
use crate::stack::ledger_at;

/// One run, as `runs --json` tells it.
#[derive(Debug, Serialize)]
struct Listed {
    run_id: String,
    dataset: String,
    source: Option<String>,
    purpose: Option<rowmill::ledger::Purpose>,
    status: &'static str,
    error: Option<String>,
    started_at_ms: i64,
    finished_at_ms: Option<i64>,
    slices: Option<usize>,
    recorded: usize,
    rows: Option<RowCounts>,
}

/// Runs the command.
pub async fn runs(args: RunsArgs) -> Result<Exit, Fault> {
    let ledger = ledger_at(&args.place).await?;
    let listed = list(&ledger, &args).await?;
    if args.json {
        render::print_json(&serde_json::json!({ "runs": listed }));
        return Ok(Exit::Done);
    }
    if listed.is_empty() {
        eprintln!("note: no runs in this ledger{}", if args.status.is_some() { " that are so" } else { "" });
        return Ok(Exit::Done);
    }
    render::print(&table(&listed).text(""));
    Ok(Exit::Done)
}

async fn list(ledger: &Ledger, args: &RunsArgs) -> Result<Vec<Listed>, Fault> {
    let mut listed = Vec::new();
    for entry in history::entries(ledger, args.dataset.as_deref()).await? {
        if listed.len() == args.limit {
            break;
        }
        let known = history::read(ledger, entry).await?;
        if args.status.is_none_or(|status| status == known.status()) {
            listed.push(line(&known));
        }
    }
    Ok(listed)
}

fn line(known: &Known) -> Listed {
    let outcome = known.outcome.as_ref();
    let slices = outcome.map(|outcome| usize::try_from(outcome.slices).unwrap_or(usize::MAX));
    Listed {
        run_id: known.entry.run_id.clone(),
        dataset: known.entry.dataset.clone(),
        source: known.run.as_ref().map(|run| run.source.uri()),
        purpose: known.run.as_ref().map(|run| run.purpose),
        status: word(known.status()),
        error: outcome.and_then(|outcome| outcome.error.as_ref()).map(|failure| failure.message.clone()),
        started_at_ms: known.started_at_ms(),
        finished_at_ms: outcome.map(|outcome| outcome.finished_at_ms),
        slices: slices.or(known.plan.as_ref().map(|plan| plan.slices.len())),
        recorded: known.entry.recorded,
        rows: outcome.map(|outcome| outcome.rows),
    }
}

fn table(listed: &[Listed]) -> Table {
    let mut table = Table::new(&[
        ("run", Align::Left),
        ("dataset", Align::Left),
        ("status", Align::Left),
        ("started (UTC)", Align::Left),
        ("seconds", Align::Right),
        ("slices", Align::Right),
        ("read", Align::Right),
        ("quarantined", Align::Right),
        ("source", Align::Left),
    ]);
    for run in listed {
        let took_ms = run.finished_at_ms.and_then(|finished_ms| u64::try_from(finished_ms - run.started_at_ms).ok());
        let slices = match (run.status, run.slices) {
            ("open", Some(slices)) => format!("{} of {slices}", run.recorded),
            (_, Some(slices)) => slices.to_string(),
            (_, None) => String::new(),
        };
        table.row([
            run.run_id.clone(),
            run.dataset.clone(),
            run.status.to_owned(),
            moment(run.started_at_ms),
            took_ms.map(seconds).unwrap_or_default(),
            slices,
            run.rows.map(|rows| count(rows.read)).unwrap_or_default(),
            run.rows.map(|rows| count(rows.quarantined)).unwrap_or_default(),
            run.source.as_deref().map(shown).unwrap_or_default().to_owned(),
        ]);
    }
    table
}
