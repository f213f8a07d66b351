//! `rowmill run`: the pipeline on this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rowmill::dataset::{Dataset, Format, overlap};
use rowmill::event::{Intent, Request};
use rowmill::ledger::identity::same_version;
use rowmill::ledger::{Purpose, Run, Source};
use rowmill::pipeline::message::Message;
use rowmill::pipeline::open::{Eagerness, Opened, Skip, is_published, open, open_incremental, source_of};
use rowmill::pipeline::{Context, request};
use rowmill::queue::Queue;

use crate::args::{RunArgs, intent};
use crate::engine::{Drained, Engine};
use crate::fault::{Exit, Fault};
use crate::location::Location;
use crate::render;
use crate::report::{Report, RunReport, Status};
use crate::sink::Sink;
use crate::sources::{Named, named};
use crate::stores::AnyStores;

/// Told when Ctrl-C came, or a run was given up for now.
pub const RESUME: &str = "run the same command again to resume";

/// A person asked for these very sources, and the queue does not outlive its process.
const EAGER: Eagerness = Eagerness { resend: true, retry: true };

/// Runs the command.
pub async fn run(args: RunArgs) -> Result<Exit, Fault> {
    let asked = args.ask.request(intent(&args.intent)?, None);
    let dataset = read_dataset(&args.dataset)?;
    refuse_intent(asked.intent)?;
    refuse_format(&dataset)?;
    let stores = Arc::new(AnyStores::default());
    let sink = Sink::open(&args.sink, &stores).await?;
    let engine = Engine::new(&sink, stores.clone(), args.workers);
    if asked.intent == Intent::Prune {
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
    let (report, interrupted) = ingest.finish(&engine).await?;
    tell(&report, args.json);
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
}

/// Reads and validates a dataset file: what is wrong with it is told with line and column.
pub fn read_dataset(path: &Path) -> Result<Dataset, Fault> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| Fault::usage(format!("{shown}: {error}: name a dataset file")))?;
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

/// Refuses formats that are not read yet.
pub fn refuse_format(dataset: &Dataset) -> Result<(), Fault> {
    let name = match dataset.spec.source.format {
        Format::Parquet => return Ok(()),
        Format::Csv => "csv",
        Format::Ndjson => "ndjson",
    };
    Err(dataset.error_at("source.format", None, format!("{name} is not supported yet: use parquet")).into())
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
    let names = named(ctx.stores.as_ref(), arguments, asked.pattern.as_deref(), ".parquet").await?;
    for folder in &names.folders {
        sink.refuse_folder(folder)?;
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

/// One line of the report in the making.
enum Line {
    /// Told already.
    Told(Box<RunReport>),
    /// A run that this command works on.
    Running(Box<Run>),
}

/// Opens a run of each source, and tells how it ended.
pub struct Ingest<'a> {
    ctx: &'a Context,
    dataset: &'a Dataset,
    asked: &'a Request,
    generation: String,
    limit: u64,
    taken: u64,
    /// Runs that an earlier process left unfinished.
    left_open: Vec<Run>,
    lines: Vec<Line>,
}

impl<'a> Ingest<'a> {
    /// Nothing yet, but the knowledge of what earlier processes left unfinished.
    pub async fn new(ctx: &'a Context, dataset: &'a Dataset, asked: &'a Request) -> Result<Self, Fault> {
        let open = ctx.ledger.open_runs().await?.into_iter().map(|open| open.value.run);
        let left_open = open.filter(|run| run.dataset == dataset.spec.name).collect();
        let default_limit = if asked.intent == Intent::TestSubset { 1 } else { u64::MAX };
        let limit = asked.limit.unwrap_or(default_limit);
        Ok(Self { ctx, dataset, asked, generation: ctx.clock.new_id(), limit, taken: 0, left_open, lines: Vec::new() })
    }

    /// Opens the source's run, unless its version is published or the limit is reached.
    pub async fn add(&mut self, named: Named) -> Result<(), Fault> {
        let source = match named {
            Named::Unfound { uri, problem } => {
                let report = RunReport::unfound(self.dataset, uri, problem);
                self.lines.push(Line::Told(Box::new(report)));
                return Ok(());
            }
            Named::Found(source) => source,
        };
        if self.taken == self.limit {
            return Ok(());
        }
        let resumed = self.resume(&source).await?;
        if resumed {
            self.taken += 1;
            return Ok(());
        }
        if self.asked.intent == Intent::Incremental && self.skip_published(&source).await? {
            return Ok(());
        }
        self.taken += 1;
        self.start(source).await
    }

    /// Sends the source's unfinished runs again. True where one of them is what was asked for.
    async fn resume(&mut self, source: &Source) -> Result<bool, Fault> {
        let same_source = |run: &Run| run.source.bucket == source.bucket && run.source.key == source.key;
        let (here, elsewhere) = std::mem::take(&mut self.left_open).into_iter().partition(same_source);
        self.left_open = elsewhere;
        let mut asked_for = false;
        for run in here {
            asked_for |= same_version(&run.source.version, &source.version) && self.is_asked_for(run.purpose);
            if self.asked.dry_run {
                self.lines.push(Line::Told(Box::new(RunReport::bare(&run, Status::Planned, None))));
                continue;
            }
            if run.config != self.dataset.hash {
                eprintln!("note: run {} goes on with the dataset file that it was opened with", run.run_id);
            }
            let message = Message::File { run: Box::new(run.clone()) };
            self.ctx.work.send(&[message.encode()?]).await?;
            self.lines.push(Line::Running(Box::new(run)));
        }
        Ok(asked_for)
    }

    fn is_asked_for(&self, purpose: Purpose) -> bool {
        match self.asked.intent {
            Intent::Reprocess => purpose == Purpose::Reprocess,
            Intent::TestSubset => purpose == Purpose::TestSubset,
            Intent::Incremental | Intent::Prune | Intent::Heal | Intent::Redrive => purpose.publishes(),
        }
    }

    /// Tells of a source whose version is published. False where it is not.
    async fn skip_published(&mut self, source: &Source) -> Result<bool, Fault> {
        let (ledger, name) = (&self.ctx.ledger, &self.dataset.spec.name);
        let pointer = ledger.pointer(name, &source.bucket, &source.key).await?.map(|read| read.value);
        if !is_published(pointer.as_ref(), source) {
            return Ok(false);
        }
        let Some(published) = pointer.and_then(|pointer| pointer.published) else { return Ok(false) };
        let outcome = ledger.outcome(name, &published.claim.run_id).await?;
        let report = match outcome {
            Some(outcome) => RunReport { status: Status::Skipped, ..RunReport::of(&outcome, ledger.sink().as_ref()) },
            None => {
                let run = Run::new(name, &self.dataset.hash, Purpose::Incremental, "", source.clone());
                RunReport { run_id: published.claim.run_id, ..RunReport::bare(&run, Status::Skipped, None) }
            }
        };
        self.lines.push(Line::Told(Box::new(report)));
        Ok(true)
    }

    async fn start(&mut self, source: Source) -> Result<(), Fault> {
        let (ctx, dataset) = (self.ctx, self.dataset);
        // A listing tells no version id; a look-up does.
        let storage = ctx.stores.open(&source.bucket).await?;
        let Some(meta) = storage.head(&source.key).await? else {
            let report = RunReport::unfound(dataset, source.uri(), "gone since it was listed".to_owned());
            self.lines.push(Line::Told(Box::new(report)));
            return Ok(());
        };
        let source = source_of(&source.bucket, meta);
        let run = |purpose, generation: &str| {
            Run::new(&dataset.spec.name, &dataset.hash, purpose, generation, source.clone())
        };
        let wanted = match self.asked.intent {
            Intent::Reprocess => run(Purpose::Reprocess, &self.generation),
            Intent::TestSubset => run(Purpose::TestSubset, &self.generation),
            Intent::Incremental | Intent::Prune | Intent::Heal | Intent::Redrive => run(Purpose::Incremental, ""),
        };
        if self.asked.dry_run {
            self.lines.push(Line::Told(Box::new(RunReport::bare(&wanted, Status::Planned, None))));
            return Ok(());
        }
        let opened = match wanted.purpose {
            Purpose::Incremental => match open_incremental(ctx, dataset, source.clone(), EAGER).await? {
                // It lost its place once; this version is the newest again, and somebody asks for it.
                Opened::Skipped { why: Skip::Superseded, .. } => {
                    open(ctx, dataset, run(Purpose::Retry, &self.generation), EAGER.resend).await?
                }
                opened => opened,
            },
            Purpose::Reprocess | Purpose::Retry | Purpose::TestSubset => open(ctx, dataset, wanted, EAGER.resend).await?,
        };
        self.lines.push(match opened {
            Opened::Enqueued(run) => Line::Running(Box::new(run)),
            // Published by another process since it was looked up.
            Opened::Skipped { run, .. } => Line::Told(Box::new(RunReport::bare(&run, Status::Skipped, None))),
        });
        Ok(())
    }

    /// Takes in a run that was opened elsewhere.
    pub fn running(&mut self, run: Run) {
        self.lines.push(Line::Running(Box::new(run)));
    }

    /// Works until every run has ended, and tells how; and whether Ctrl-C came first.
    pub async fn finish(self, engine: &Engine) -> Result<(Report, bool), Fault> {
        let running = self.lines.iter().filter(|line| matches!(line, Line::Running(_))).count();
        let mut drained = if running == 0 { Drained::default() } else { engine.drain(running).await? };
        let sink = self.ctx.ledger.sink().as_ref();
        let mut reports = Vec::new();
        for line in self.lines {
            let run = match line {
                Line::Told(report) => {
                    reports.push(*report);
                    continue;
                }
                Line::Running(run) => run,
            };
            let outcome = match drained.ended.remove(&run.run_id) {
                Some(outcome) => Some(outcome),
                None => self.ctx.ledger.outcome(&run.dataset, &run.run_id).await?,
            };
            reports.push(match outcome {
                Some(outcome) => RunReport::of(&outcome, sink),
                None => unfinished(&run, &drained.gave_up, drained.interrupted),
            });
        }
        // Newer versions that took the place of what was asked for.
        reports.extend(drained.ended.values().map(|outcome| RunReport::of(outcome, sink)));
        let report = Report { dry_run: self.asked.dry_run, ..Report::new(reports) };
        Ok((report, drained.interrupted))
    }
}

fn unfinished(run: &Run, gave_up: &BTreeMap<String, String>, interrupted: bool) -> RunReport {
    match gave_up.get(&run.run_id) {
        Some(error) => RunReport::bare(run, Status::Failed, Some(format!("{error}: {RESUME}"))),
        None if interrupted => RunReport::bare(run, Status::Interrupted, Some(format!("interrupted: {RESUME}"))),
        None => RunReport::bare(run, Status::Failed, Some(format!("the run has not ended: {RESUME}"))),
    }
}
