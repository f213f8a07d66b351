//! `rowmill redrive`: failed runs again, under a new generation; or a dead-letter queue's messages back.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rowmill::dataset::Dataset;
use rowmill::event::{Intent, MAX_RUNS, Request};
use rowmill::ledger::{Ledger, Run, Status};
use rowmill::pipeline::open::Eagerness;
use rowmill::pipeline::request;

use crate::args::RedriveArgs;
use crate::engine::Engine;
use crate::fault::{Exit, Fault};
use crate::history;
use crate::ingest::{Ingest, RESUME};
use crate::render::{self, plural};
use crate::report::{Report, RunReport, Status as Shown};
use crate::run::{read_dataset, tell};
use crate::sink::{self, Sink};
use crate::stack::Stack;
use crate::stores::AnyStores;
use crate::{dlq, trigger};

/// Runs the command.
pub async fn redrive(args: RedriveArgs) -> Result<Exit, Fault> {
    match &args.place.stack {
        Some(name) => {
            let stack = Stack::describe(name).await?;
            match args.dlq {
                Some(of) => messages(&stack, of, &args).await,
                None => on_stack(&stack, &args).await,
            }
        }
        None => in_folder(&args).await,
    }
}

async fn messages(stack: &Stack, of: crate::args::DlqArg, args: &RedriveArgs) -> Result<Exit, Fault> {
    let mut moved = BTreeMap::new();
    for queues in dlq::queues(of) {
        let count = dlq::send_back(stack, queues, args.dry_run).await?;
        moved.insert(queues.name, count);
        if !args.json {
            let done = if args.dry_run { "waiting in" } else { "sent back from" };
            let messages = plural(usize::try_from(count).unwrap_or(usize::MAX), "message");
            render::print(&format!("{messages} {done} the {} queue's dead letters\n", queues.name));
        }
    }
    if args.json {
        render::print_json(&serde_json::json!({ "moved": moved, "dry_run": args.dry_run }));
    }
    Ok(Exit::Done)
}

async fn on_stack(stack: &Stack, args: &RedriveArgs) -> Result<Exit, Fault> {
    let failed = failed_runs(&stack.ledger().await?, &args.runs).await?;
    if failed.is_empty() {
        return nothing(args.json);
    }
    let runs = failed.into_iter().map(|run| run.run_id).collect();
    let request = Request { intent: Intent::Redrive, runs, dry_run: args.dry_run, ..Request::default() };
    let answer = stack.ask(&request).await?;
    if args.json {
        render::print_json(&answer);
    } else {
        trigger::tell(&answer);
    }
    Ok(trigger::exit(&answer))
}

async fn in_folder(args: &RedriveArgs) -> Result<Exit, Fault> {
    let given = args.dataset.as_deref().map(read_dataset).transpose()?;
    let stores = Arc::new(AnyStores::default());
    let sink = Sink::existing(args.place.sink.as_deref().unwrap_or(sink::DEFAULT), &stores).await?;
    let engine = Engine::new(&sink, stores, None).telling()?;
    if let Some(given) = &given {
        engine.ctx.know(given);
    }
    let ctx = &engine.ctx;
    let failed = failed_runs(&ctx.ledger, &args.runs).await?;
    if failed.is_empty() {
        return nothing(args.json);
    }
    let mut problems = Vec::new();
    let mut reports = Vec::new();
    let mut opened = Vec::new();
    for run in failed {
        let dataset = match &given {
            Some(given) if given.spec.name == run.dataset => given.clone(),
            Some(given) => {
                problems.push(format!("run {}: it is of dataset {}, not {}", run.run_id, run.dataset, given.spec.name));
                continue;
            }
            None => Dataset::clone(&*ctx.current(&run.dataset, &run.config).await?),
        };
        let asked = Request {
            intent: Intent::Redrive,
            runs: vec![run.run_id.clone()],
            dry_run: args.dry_run,
            ..Request::default()
        };
        let answer = request::request(ctx, std::slice::from_ref(&dataset), &asked, Eagerness::default()).await?;
        problems.extend(answer.problems);
        for run_id in answer.runs {
            let retry = Run { run_id, ..run.clone() };
            match ctx.ledger.open_run(&retry.run_id).await? {
                Some(open) => opened.push((dataset.clone(), open.value.run)),
                None => reports.push(RunReport::bare(&retry, Shown::Planned, None)),
            }
        }
    }
    let (mut interrupted, mut notes) = (false, Vec::new());
    if let Some((dataset, _)) = opened.first().cloned() {
        let asked = Request::default();
        let mut ingest = Ingest::new(ctx, &dataset, &asked).await?;
        for (_, run) in opened {
            ingest.running(run);
        }
        let (done, stopped) = ingest.finish(&engine).await?;
        reports.extend(done.runs);
        notes = done.notes;
        interrupted = stopped;
    }
    let report = Report { dry_run: args.dry_run, notes, ..Report::new(reports) };
    tell(&report, args.json);
    for problem in &problems {
        eprintln!("error: {problem}");
    }
    if interrupted {
        eprintln!("interrupted: {RESUME}");
        return Ok(Exit::Interrupted);
    }
    Ok(if problems.is_empty() { report.exit() } else { Exit::Failed })
}

fn nothing(json: bool) -> Result<Exit, Fault> {
    eprintln!("note: no failed run to retry");
    if json {
        render::print_json(&Report::new(Vec::new()));
    }
    Ok(Exit::Done)
}

/// The runs named; else each source's newest run, where it failed.
async fn failed_runs(ledger: &Ledger, named: &[String]) -> Result<Vec<Run>, Fault> {
    let mut failed = Vec::new();
    if !named.is_empty() {
        for id in named {
            let known = history::read(ledger, history::find(ledger, id).await?).await?;
            match known.outcome {
                Some(outcome) if matches!(outcome.status, Status::Failed | Status::Missing) => failed.push(outcome.run),
                Some(_) => return Err(Fault::usage(format!("run {id}: it has not failed: use `reprocess`"))),
                None => return Err(Fault::usage(format!("run {id}: it has not ended"))),
            }
        }
        return Ok(failed);
    }
    let mut seen = HashSet::new();
    for entry in history::entries(ledger, None).await? {
        let known = history::read(ledger, entry).await?;
        let Some(run) = known.run else { continue };
        let newest = seen.insert((run.dataset.clone(), run.source.bucket.clone(), run.source.key.clone()));
        if newest && known.outcome.is_some_and(|outcome| outcome.status == Status::Failed) && failed.len() < MAX_RUNS {
            failed.push(run);
        }
    }
    Ok(failed)
}
