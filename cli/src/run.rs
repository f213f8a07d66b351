//! `rowmill run`: the pipeline on this machine.

use std::path::Path;
use std::sync::Arc;

use rowmill::dataset::{Dataset, duration, overlap};
use rowmill::event::{Intent, Request};
use rowmill::pipeline::listing::listed;
use rowmill::pipeline::names::Names as OneName;
use rowmill::pipeline::{Context, archive, request};

use crate::advice;
use crate::args::{RunArgs, intent};
use crate::engine::Engine;
use crate::fault::{Exit, Fault};
use crate::ingest::{EAGER, Ingest, RESUME};
use crate::location::Location;
use crate::paste::Paste;
use crate::progress::Expected;
use crate::render::{self, plural};
use crate::report::Report;
use crate::reports;
use crate::sink::Sink;
use crate::sources::{Named, named};
use crate::stores::AnyStores;

/// Runs the command.
pub async fn run(args: RunArgs) -> Result<Exit, Fault> {
    let asked = args.ask.request(intent(&args.intent)?, None);
    args.ask.check(asked.intent)?;
    let dataset = read_dataset(&args.dataset)?;
    refuse_intent(&asked, &args)?;
    let stores = Arc::new(AnyStores::default());
    let sink = Sink::open(&args.sink, &stores).await?;
    let engine = Engine::new(&sink, stores.clone(), args.workers).telling()?;
    engine.ctx.know(&dataset);
    if asked.intent == Intent::Prune {
        if !args.sources.is_empty() {
            return Err(Fault::usage("prune looks at every output: narrow it with --pattern, not with sources"));
        }
        return prune(&engine, &dataset, &asked, args.json).await;
    }
    if asked.intent != Intent::TestSubset {
        engine.ctx.ledger.check_prefix(&dataset).await?;
    }
    if args.sources.is_empty() && dataset.archive().is_some() {
        return archived(&engine, &dataset, &sink, &asked, &args).await;
    }
    let wanted = wanted(&engine.ctx, &dataset, &sink, &asked, &args.sources).await?;
    let is_empty = wanted.sources.is_empty();
    let mut ingest = begin(&engine, &dataset, &sink, &asked, is_empty).await?;
    for note in wanted.notes {
        ingest.note(note);
    }
    for source in wanted.sources {
        ingest.add(source).await?;
    }
    finish(ingest, &engine, &dataset, &sink, &asked, &args, is_empty).await
}

/// Makes the sink ready for what is about to be ingested, if anything is.
async fn begin<'a>(
    engine: &'a Engine,
    dataset: &'a Dataset,
    sink: &Sink,
    asked: &'a Request,
    is_empty: bool,
) -> Result<Ingest<'a>, Fault> {
    if asked.intent != Intent::TestSubset && !asked.dry_run && !is_empty {
        engine.ctx.ledger.own_prefix(dataset).await.map_err(|error| Fault::from(error).then(RESUME))?;
    }
    sink.collect_garbage().await;
    Ingest::new(&engine.ctx, dataset, asked).await
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
    let mut ingest = begin(engine, dataset, sink, asked, keys.is_empty()).await?;
    if keys.is_empty() {
        ingest.note("nothing matched: no file of these days fits the pattern".to_owned());
    }
    let mut rest = keys.as_slice();
    while ingest.left() > 0 && !rest.is_empty() {
        let looked = archive::look_first_up(&engine.ctx, dataset, bucket, rest, ingest.left()).await?;
        rest = rest.get(looked.len()..).unwrap_or_default();
        for source in looked {
            ingest.add(source.into()).await?;
        }
    }
    finish(ingest, engine, dataset, sink, asked, args, keys.is_empty()).await
}

/// Works until every run has ended, and tells how.
async fn finish(
    ingest: Ingest<'_>,
    engine: &Engine,
    dataset: &Dataset,
    sink: &Sink,
    asked: &Request,
    args: &RunArgs,
    is_empty: bool,
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
    report.notes.extend(notes.iter().cloned());
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
    Ok(if is_empty && args.fail_if_empty { Exit::Failed } else { report.exit() })
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
    if path.is_dir() {
        return Err(Fault::usage(format!("{shown}: it is a folder: name a dataset file")));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| Fault::usage(format!("{shown}: {error}: name a dataset file")))?;
    if text.trim().is_empty() {
        return Err(Fault::usage(format!("{shown}: nothing is written there: name a dataset file")));
    }
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

/// What the command is about.
struct Wanted {
    sources: Vec<Named>,
    /// What stands for no source, and why.
    notes: Vec<String>,
}

/// The sources that the command is about: those named, else those listed.
async fn wanted(
    ctx: &Context,
    dataset: &Dataset,
    sink: &Sink,
    asked: &Request,
    arguments: &[String],
) -> Result<Wanted, Fault> {
    if arguments.is_empty() {
        if dataset.source_root().is_none() {
            return Err(Fault::usage(format!(
                "{}: it has no source.uri, so there is nothing to list: name sources on the command line",
                dataset.origin
            )));
        }
        overlap(&[dataset], &sink.uri())?;
        let listing = listed(ctx, dataset, asked).await?;
        let why_empty = listing.why_empty("--modified-within", ", or name them");
        let notes = why_empty.map(|why| format!("nothing matched: {why}")).into_iter().collect();
        return Ok(Wanted { sources: listing.sources.into_iter().map(Named::Found).collect(), notes });
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
    let mut one_name = OneName::new(ctx, dataset);
    let mut too_old = 0;
    let mut wanted = Wanted { sources: Vec::new(), notes: Vec::new() };
    wanted.notes.extend(names.notes.iter().map(|note| format!("nothing matched {note}")));
    for source in names.sources {
        let Named::Found(found) = source else {
            wanted.sources.push(source);
            continue;
        };
        sink.refuse_source(dataset, &Location { bucket: found.bucket.clone(), key: found.key.clone() })?;
        if oldest_ms.is_some_and(|oldest_ms| found.version.last_modified_ms < oldest_ms) {
            too_old += 1;
            continue;
        }
        wanted.sources.extend(one_name.one(found).await?.map(Named::Found));
    }
    if let Some(window) = asked.modified_within.filter(|_| wanted.sources.is_empty() && too_old > 0) {
        let (files, window) = (plural(too_old, "file"), duration::text(window));
        wanted
            .notes
            .push(format!("nothing matched: {files} named, 0 modified within {window}: leave --modified-within out"));
    }
    Ok(wanted)
}

/// Removes the outputs whose source is gone.
async fn prune(engine: &Engine, dataset: &Dataset, asked: &Request, json: bool) -> Result<Exit, Fault> {
    let answer = request::request(&engine.ctx, std::slice::from_ref(dataset), asked, EAGER).await?;
    let failed = engine.drain(Expected::default()).await?.gave_up;
    let kept = if asked.dry_run { Vec::new() } else { still_published(engine, dataset, &answer.pruned).await? };
    let pruned: Vec<String> = answer.pruned.into_iter().filter(|uri| !kept.contains(uri)).collect();
    let mut report = Report::new(Vec::new());
    if !json {
        for uri in &pruned {
            render::print(&format!("{} the output of {uri}\n", if asked.dry_run { "would remove" } else { "removed" }));
        }
    }
    if pruned.is_empty() && kept.is_empty() && answer.problems.is_empty() {
        eprintln!("note: nothing to prune: every output's source is there");
    }
    for uri in kept.iter().filter(|uri| !failed.contains_key(*uri)) {
        eprintln!("note: the output of {uri} stays: the source is back, or its folder is gone as well");
    }
    report.pruned = Some(pruned);
    report.dry_run = asked.dry_run;
    if json {
        render::print_json(&report);
    }
    for problem in answer.problems.iter().chain(failed.values()) {
        eprintln!("error: {problem}");
    }
    Ok(if answer.problems.is_empty() && failed.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Which of these sources are published still: between the request and the removal, a source may come back and a mount go.
async fn still_published(engine: &Engine, dataset: &Dataset, uris: &[String]) -> Result<Vec<String>, Fault> {
    let pointers = engine.ctx.ledger.pointers(&dataset.spec.name).await?.into_iter().map(|read| read.value);
    let published = pointers.filter(|pointer| pointer.published.is_some());
    let published = published.map(|pointer| format!("{}/{}", pointer.bucket, pointer.key));
    Ok(published.filter(|uri| uris.contains(uri)).collect())
}
