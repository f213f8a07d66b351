//! `rowmill redrive`: failed runs again, under a new generation; or a dead-letter queue's messages back.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rowmill::dataset::Dataset;
use rowmill::event::{Intent, MAX_RUNS, Request};
use rowmill::ledger::{Ledger, Run, Source, Status};
use rowmill::pipeline::open::{Eagerness, source_of};
use rowmill::pipeline::{Context, request};

use crate::args::RedriveArgs;
use crate::engine::Engine;
use crate::fault::{Exit, Fault};
use crate::history;
use crate::ingest::{Ingest, RESUME};
use crate::location::shown;
use crate::paste::Paste;
use crate::render::{self, plural};
use crate::report::{Report, RunReport, Status as Shown};
use crate::run::{read_dataset, tell};
use crate::sink::{self, Sink};
use crate::stack::Stack;
use crate::stores::AnyStores;
use crate::{dlq, trigger};

/// Open runs that are named one by one.
const SHOWN: usize = 10;

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
    let Found { failed, open } = failed_runs(&stack.ledger().await?, args).await?;
    if failed.is_empty() {
        tell_open(&open, args);
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
    let Found { failed, open } = failed_runs(&ctx.ledger, args).await?;
    tell_open(&open, args);
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
                None => {
                    let source = now(ctx, &dataset, &retry.source).await?;
                    reports.push(RunReport::bare(&Run { source, ..retry }, Shown::Planned, None));
                }
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

/// The source as it is now: the failed run may be of an older version.
async fn now(ctx: &Context, dataset: &Dataset, source: &Source) -> Result<Source, Fault> {
    let found = ctx.open_source(dataset, &source.bucket).await?.head(&source.key).await?;
    Ok(found.map_or_else(|| source.clone(), |meta| source_of(&source.bucket, meta)))
}

/// Open runs have not failed, and are not retried.
fn tell_open(open: &[Run], args: &RedriveArgs) {
    for run in open.iter().take(SHOWN) {
        let (id, source) = (&run.run_id, run.source.uri());
        eprintln!("note: run {id} of {} is open, and has not failed: {}", shown(&source), to_go_on(run, args));
    }
    if open.len() > SHOWN {
        let runs = Paste::new("runs").at(&args.place).option("--status", "open");
        eprintln!("note: {} more are open: `{runs}`", open.len() - SHOWN);
    }
}

/// What to do about an open run: the very command, where its dataset file is given.
fn to_go_on(run: &Run, args: &RedriveArgs) -> String {
    let Some(dataset) = &args.dataset else { return history::to_go_on(&args.place) };
    let command = Paste::new("run").option("--dataset", dataset.display()).at(&args.place);
    format!("`{}` goes on with it", command.arg(shown(&run.source.uri())))
}

fn nothing(json: bool) -> Result<Exit, Fault> {
    eprintln!("note: no failed run to retry");
    if json {
        render::print_json(&Report::new(Vec::new()));
    }
    Ok(Exit::Done)
}

/// What there is to retry, and what is not.
#[derive(Debug, Default)]
struct Found {
    failed: Vec<Run>,
    /// Runs that have not ended.
    open: Vec<Run>,
}

/// The runs named; else each source's newest run, where it failed or is open.
async fn failed_runs(ledger: &Ledger, args: &RedriveArgs) -> Result<Found, Fault> {
    let mut found = Found::default();
    for id in &args.runs {
        let known = history::read(ledger, history::find(ledger, &args.place, id).await?).await?;
        match (known.outcome, known.run) {
            (Some(outcome), _) if matches!(outcome.status, Status::Failed | Status::Missing) => {
                found.failed.push(outcome.run);
            }
            (Some(_), _) => return Err(Fault::usage(format!("run {id}: it has not failed: use `reprocess`"))),
            (None, run) => {
                let what = run.map_or_else(|| history::to_go_on(&args.place), |run| to_go_on(&run, args));
                return Err(Fault::usage(format!("run {id}: it is open, and has not failed: {what}")));
            }
        }
    }
    if !args.runs.is_empty() {
        return Ok(found);
    }
    let mut seen = HashSet::new();
    for entry in history::entries(ledger, None).await? {
        let known = history::read(ledger, entry).await?;
        let Some(run) = known.run else { continue };
        if !seen.insert((run.dataset.clone(), run.source.bucket.clone(), run.source.key.clone())) {
            continue;
        }
        match known.outcome {
            None => found.open.push(run),
            Some(outcome) if outcome.status == Status::Failed && found.failed.len() < MAX_RUNS => {
                found.failed.push(run);
            }
            Some(_) => {}
        }
    }
    Ok(found)
}
