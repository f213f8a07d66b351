//! `rowmill apply`: a dataset file into a sink, where the checker finds it.

use std::io::{BufRead, IsTerminal, Write};

use rowmill::dataset::{Dataset, overlap};
use rowmill::event::{Intent, Request};
use rowmill::ledger::Ledger;

use crate::args::ApplyArgs;
use crate::fault::{Exit, Fault};
use crate::paste::Paste;
use crate::render;
use crate::run::read_dataset;
use crate::sink::Sink;
use crate::stack::Stack;
use crate::stores::AnyStores;
use crate::trigger;

/// Runs the command.
pub async fn apply(args: ApplyArgs) -> Result<Exit, Fault> {
    let dataset = read_dataset(&args.dataset)?;
    if let Some(name) = &args.place.stack {
        let stack = Stack::describe(name).await?;
        upload(&stack.ledger().await?, &stack.sink()?, &dataset, &args).await?;
        return backfill(&stack, name, &dataset, args.backfill).await;
    }
    let Some(sink) = &args.place.sink else {
        return Err(Fault::usage("where to? name --stack NAME, or --sink for a bucket or a folder"));
    };
    let sink = Sink::open(sink, &AnyStores::default()).await?;
    upload(&Ledger::new(sink.storage.clone()), &sink.uri(), &dataset, &args).await?;
    Ok(Exit::Done)
}

/// Uploads the file, unless it would write over what another dataset writes, or read what it writes.
async fn upload(ledger: &Ledger, sink: &str, dataset: &Dataset, args: &ApplyArgs) -> Result<(), Fault> {
    let name = &dataset.spec.name;
    let mut applied = Vec::new();
    let mut before = None;
    for (other, read) in ledger.datasets().await? {
        match read {
            Ok(other) if other.spec.name == *name => before = Some(other),
            Ok(other) => applied.push(other),
            Err(error) => eprintln!("note: dataset {other} in this sink is wrong and was not compared: {error}"),
        }
    }
    let all: Vec<&Dataset> = applied.iter().chain([dataset]).collect();
    overlap(&all, sink)?;
    ledger.own_prefix(dataset).await?;
    ledger.keep_config(dataset).await?;
    ledger.apply(dataset).await?;
    let what = match before {
        Some(before) if before == *dataset => "unchanged",
        Some(_) => "replaced",
        None => "new",
    };
    render::print(&format!("applied dataset {name} to {sink} ({what})\n"));
    if what == "replaced" && dataset.source_root().is_some() && dataset.archive().is_none() {
        let stale = stale(dataset, args);
        render::print(&format!(
            "what is published stays as it is until its source changes; to rewrite it:\n  {stale}\n"
        ));
    }
    Ok(())
}

/// The command that rewrites what earlier files of this dataset published.
fn stale(dataset: &Dataset, args: &ApplyArgs) -> Paste {
    let command = match &args.place.stack {
        Some(_) => Paste::new("trigger").arg("reprocess").option("--dataset", &dataset.spec.name),
        None => Paste::new("run").option("--dataset", args.dataset.display()),
    };
    command.at(&args.place).arg("--stale")
}

/// What lies at the dataset's `uri` already has no event to come: a first relist takes it in.
async fn backfill(stack: &Stack, name: &str, dataset: &Dataset, told_to: bool) -> Result<Exit, Fault> {
    if dataset.source_root().is_none() {
        return Ok(Exit::Done);
    }
    let command = Paste::new("trigger").arg("").option("--stack", name).option("--dataset", &dataset.spec.name);
    if dataset.archive().is_some() {
        let day = render::day_before(jiff::Timestamp::now());
        let command = command.option("--from", &day).option("--to", &day);
        render::print(&format!("to ingest some days, such as yesterday:\n  {command}\n"));
        return Ok(Exit::Done);
    }
    if !told_to && !agreed()? {
        render::print(&format!("to ingest what lies there already:\n  {command}\n"));
        return Ok(Exit::Done);
    }
    let request =
        Request { intent: Intent::Incremental, dataset: Some(dataset.spec.name.clone()), ..Request::default() };
    let answer = stack.ask(&request).await?;
    trigger::tell(&answer);
    Ok(trigger::exit(&answer))
}

/// Asks, where somebody is there to answer.
fn agreed() -> Result<bool, Fault> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(false);
    }
    eprint!("ingest what lies at the source already? [y/N] ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
