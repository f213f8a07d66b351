//! `rowmill run`: the pipeline on this machine.

use std::path::Path;
use std::sync::Arc;

use rowmill::dataset::{Dataset, overlap};
use rowmill::event::{Intent, Request};
use rowmill::pipeline::{Context, archive, request};

use crate::advice;
use crate::args::{RunArgs, intent};
use crate::engine::Engine;
use crate::fault::{Exit, Fault};
use crate::ingest::{EAGER, Ingest, RESUME};
use crate::location::Location;
use crate::paste::Paste;
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
    refuse_intent(&asked, &args)?;
    let stores = Arc::new(AnyStores::default());
    let sink = Sink::open(&args.sink, &stores).await?;
    let engine = Engine::new(&sink, stores.clone(), args.workers).telling()?;
    if asked.intent == Intent::Prune {
        if !args.sources.is_empty() {
            return Err(Fault::usage("prune looks at every output: narrow it with --pattern, not with sources"));
        }
        return prune(&engine, &dataset, &asked, args.json).await;
    }
    if args.sources.is_empty() && dataset.archive().is_some() {
        return archived(&engine, &dataset, &sink, &asked, &args).await;
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
    finish(ingest, &engine, &dataset, &sink, &asked, &args).await
}

/// Ingests the files that a request's days name. They are looked up as the request's limit asks for them.
async fn archived(
    engine: &Engine,
    dataset: &Dataset,
    sink: &Sink,
    asked: &Request,
    args: &RunArgs,
) -> Result<Exit, Fault> {
    overlap(&[dataset], &sink.uri())?;
    let (bucket, keys) = archive::keys(dataset, asked)?;
    if keys.is_empty() {
        eprintln!("note: nothing matched: no source to ingest");
    }
    sink.collect_garbage().await;
    let mut ingest = Ingest::new(&engine.ctx, dataset, asked).await?;
    let mut rest = keys.as_slice();
    while ingest.left() > 0 && !rest.is_empty() {
        let looked = archive::look_first_up(&engine.ctx, dataset, bucket, rest, ingest.left()).await?;
        rest = rest.get(looked.len()..).unwrap_or_default();
        for source in looked {
            ingest.add(source.into()).await?;
        }
    }
    finish(ingest, engine, dataset, sink, asked, args).await
}

/// Works until every run has ended, and tells how.
async fn finish(
    ingest: Ingest<'_>,
    engine: &Engine,
    dataset: &Dataset,
    sink: &Sink,
    asked: &Request,
    args: &RunArgs,
) -> Result<Exit, Fault> {
    let unpublished = ingest.unpublished();
    let (mut report, interrupted) = ingest.finish(engine).await?;
    let has_reports = !dataset.spec.reports.is_empty() && !report.dry_run && asked.intent != Intent::TestSubset;
    let shown = if has_reports { reports::all(&engine.ctx.ledger, &dataset.spec.name).await? } else { Vec::new() };
    report.reports = shown.iter().map(|shown| reports::place(shown, sink.storage.as_ref())).collect();
    if has_reports {
        report.reports_to_come = advice::to_come(dataset, &shown);
    }
    let notes = advice::advise(&mut report, args, unpublished);
    tell(&report, args.json);
    if !args.json {
        let more = Paste::new("report").arg(&dataset.spec.name).sink(&args.sink);
        for shown in &shown {
            render::print(&format!("\n{}", reports::text(shown, sink.storage.as_ref(), Some((reports::FEW, &more)))));
        }
    }
    for note in notes {
        eprintln!("note: {note}");
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

fn refuse_intent(asked: &Request, args: &RunArgs) -> Result<(), Fault> {
    match asked.intent {
        Intent::TestSubset | Intent::Prune if asked.stale => {
            Err(Fault::usage("--stale is for what is to be reprocessed: leave --intent out"))
        }
        Intent::Incremental | Intent::Reprocess | Intent::TestSubset | Intent::Prune => Ok(()),
        Intent::Heal => Err(Fault::usage("heal is for a deployed stack: here, run the same command again")),
        Intent::Redrive => Err(Fault::usage(format!(
            "to retry failed runs: `{}`",
            Paste::new("redrive").option("--dataset", args.dataset.display()).sink(&args.sink)
        ))),
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
    engine.drain(0).await?;
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
