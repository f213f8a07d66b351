//! `rowmill run`: the pipeline on this machine.

use std::path::Path;
use std::sync::Arc;

use rowmill::dataset::{Dataset, overlap};
use rowmill::event::{Intent, Request};
use rowmill::pipeline::{Context, archive, request};

use crate::args::{RunArgs, intent};
use crate::engine::Engine;
use crate::fault::{Exit, Fault};
use crate::ingest::{EAGER, Ingest, RESUME};
use crate::location::Location;
use crate::render;
use crate::report::Report;
use crate::reports;
use crate::sink::Sink;
use crate::sources::{Named, named};
use crate::stores::AnyStores;

/// Runs the command.
pub async fn run(args: RunArgs) -> Result<Exit, Fault> {
    let asked = args.ask.request(intent(&args.intent)?, None);
    let dataset = read_dataset(&args.dataset)?;
    refuse_intent(asked.intent)?;
    let stores = Arc::new(AnyStores::default());
    let sink = Sink::open(&args.sink, &stores).await?;
    let engine = Engine::new(&sink, stores.clone(), args.workers).telling()?;
    if asked.intent == Intent::Prune {
        if !args.sources.is_empty() {
            return Err(Fault::usage("prune looks at every output: narrow it with --pattern, not with sources"));
        }
        return prune(&engine, &dataset, &asked, args.json).await;
    }
    let wanted = wanted(&engine.ctx, &dataset, &sink, &asked, &args.sources).await?;
    if wanted.is_empty() {
        eprintln!("note: nothing matched: no source to ingest");
    }
    sink.collect_garbage().await;
    let mut ingest = Ingest::new(&engine.ctx, &dataset, &asked).await?;
    for source in wanted {
        ingest.add(source).await?;
    }
    let (mut report, interrupted) = ingest.finish(&engine).await?;
    let has_reports = !dataset.spec.reports.is_empty() && !report.dry_run && asked.intent != Intent::TestSubset;
    let shown = if has_reports { reports::all(&engine.ctx.ledger, &dataset.spec.name).await? } else { Vec::new() };
    report.reports = shown.iter().map(|shown| reports::place(shown, sink.storage.as_ref())).collect();
    tell(&report, args.json);
    if !args.json {
        for shown in &shown {
            render::print(&format!("\n{}", reports::text(shown, sink.storage.as_ref(), reports::FEW)));
        }
    }
    if interrupted {
        eprintln!("interrupted: {RESUME}");
        return Ok(Exit::Interrupted);
    }
    Ok(report.exit())
}

/// Prints a report, as JSON or for people.
pub fn tell(report: &Report, json: bool) {
    if json {
        render::print_json(report);
    } else {
        render::print(&report.text());
    }
    eprint!("{}", report.problems());
}

/// Reads and validates a dataset file: what is wrong with it is told with line and column.
pub fn read_dataset(path: &Path) -> Result<Dataset, Fault> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Fault::usage(format!("{shown}: {error}: name a dataset file")))?;
    let dataset = Dataset::parse(&text, &shown.to_string())?;
    rowmill::clean::validate(&dataset)?;
    Ok(dataset)
}

fn refuse_intent(intent: Intent) -> Result<(), Fault> {
    match intent {
        Intent::Incremental | Intent::Reprocess | Intent::TestSubset | Intent::Prune => Ok(()),
        Intent::Heal => Err(Fault::usage("heal is for a deployed stack: here, run the same command again")),
        Intent::Redrive => Err(Fault::usage("to retry failed runs, use `rowmill redrive`")),
    }
}

/// The sources that the command is about: those named, else those listed.
async fn wanted(
    ctx: &Context,
    dataset: &Dataset,
    sink: &Sink,
    asked: &Request,
    arguments: &[String],
) -> Result<Vec<Named>, Fault> {
    if arguments.is_empty() {
        if dataset.source_root().is_none() {
            return Err(Fault::usage(format!(
                "{}: it has no source.uri, so there is nothing to list: name sources on the command line",
                dataset.origin
            )));
        }
        overlap(&[dataset], &sink.uri())?;
        if dataset.archive().is_some() {
            let looked = archive::look_all_up(ctx, dataset, asked).await?;
            return Ok(looked.into_iter().map(Named::from).collect());
        }
        let listed = request::listed(ctx, dataset, asked).await?;
        return Ok(listed.into_iter().map(Named::Found).collect());
    }
    let names = named(
        ctx.stores.as_ref(),
        dataset.web_rules(),
        arguments,
        asked.pattern.as_deref(),
        dataset.spec.source.format.extensions(),
    )
    .await?;
    for folder in &names.folders {
        sink.refuse_folder(folder)?;
    }
    if asked.from.is_some() || asked.to.is_some() {
        return Err(Fault::usage("--from and --to are for an archive's files: name dates or sources, not both"));
    }
    let now_ms = ctx.now_ms();
    let oldest_ms = asked.modified_within.map(|window| now_ms - i64::try_from(window.as_millis()).unwrap_or(i64::MAX));
    let mut wanted = Vec::new();
    for source in names.sources {
        if let Named::Found(found) = &source {
            sink.refuse_source(dataset, &Location { bucket: found.bucket.clone(), key: found.key.clone() })?;
            if oldest_ms.is_some_and(|oldest_ms| found.version.last_modified_ms < oldest_ms) {
                continue;
            }
        }
        wanted.push(source);
    }
    Ok(wanted)
}

/// Removes the outputs whose source is gone.
async fn prune(engine: &Engine, dataset: &Dataset, asked: &Request, json: bool) -> Result<Exit, Fault> {
    let answer = request::request(&engine.ctx, std::slice::from_ref(dataset), asked, EAGER).await?;
    engine.drain(crate::progress::Expected::default()).await?;
    let mut report = Report::new(Vec::new());
    if !json {
        for uri in &answer.pruned {
            render::print(&format!("{} the output of {uri}\n", if asked.dry_run { "would remove" } else { "removed" }));
        }
    }
    if answer.pruned.is_empty() {
        eprintln!("note: nothing to prune: every output's source is there");
    }
    report.pruned = Some(answer.pruned);
    report.dry_run = asked.dry_run;
    if json {
        render::print_json(&report);
    }
    for problem in &answer.problems {
        eprintln!("error: {problem}");
    }
    Ok(if answer.problems.is_empty() { Exit::Done } else { Exit::Failed })
}
