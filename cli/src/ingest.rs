//! Sources in, runs out: opens a run of each, works, and tells how they ended.

use rowmill::dataset::Dataset;
use rowmill::event::{Intent, Request};
use rowmill::ledger::identity::same_version;
use rowmill::ledger::{Ledger, Outcome, Purpose, Run, Source};
use rowmill::pipeline::message::Message;
use rowmill::pipeline::open::{Eagerness, Opened, Skip, is_published, open, open_incremental, source_of};
use rowmill::pipeline::{Context, archive};

use rowmill::storage::Storage;
use rowmill::storage::web::is_web;

use crate::engine::{Drained, Engine};
use crate::fault::Fault;
use crate::intact::{self, Damaged};
use crate::location::Location;
use crate::progress::Expected;
use crate::report::{Report, RunReport, Status};
use crate::sources::Named;

/// Told when Ctrl-C came, or a run was given up for now.
pub const RESUME: &str = "run the same command again to resume";

/// A person asked for these very sources, and the queue does not outlive its process.
pub const EAGER: Eagerness = Eagerness { resend: true, retry: true };

/// One line of the report in the making.
enum Line {
    /// Told already.
    Told(Box<RunReport>),
    /// Published before, by a run that ended so: whether it still lies there is looked up at the end.
    Skipped(Box<Outcome>),
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
    /// What a person should know, as told on standard error.
    notes: Vec<String>,
    /// Sources that a request for stale ones leaves alone, because nothing of them is published.
    unpublished: usize,
}

impl<'a> Ingest<'a> {
    /// Nothing yet, but the knowledge of what earlier processes left unfinished.
    pub async fn new(ctx: &'a Context, dataset: &'a Dataset, asked: &'a Request) -> Result<Self, Fault> {
        let open = ctx.ledger.open_runs().await?.into_iter().map(|open| open.value.run);
        let left_open = open.filter(|run| run.dataset == dataset.spec.name).collect();
        let default_limit = if asked.intent == Intent::TestSubset { 1 } else { u64::MAX };
        let limit = asked.limit.unwrap_or(default_limit);
        Ok(Self {
            ctx,
            dataset,
            asked,
            generation: ctx.clock.new_id(),
            limit,
            taken: 0,
            left_open,
            lines: Vec::new(),
            notes: Vec::new(),
            unpublished: 0,
        })
    }

    /// Tells what a person should know, now and in the report.
    pub fn note(&mut self, note: String) {
        eprintln!("note: {note}");
        self.notes.push(note);
    }

    /// How many more sources the request's limit allows.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.taken)
    }

    /// Sources that a request for stale ones left alone, because nothing of them is published.
    pub fn unpublished(&self) -> usize {
        self.unpublished
    }

    /// Opens the source's run, unless it is published as the request wants it, or the limit is reached.
    pub async fn add(&mut self, named: Named) -> Result<(), Fault> {
        let source = match named {
            Named::Unfound { uri, problem } => {
                let report = RunReport::unfound(self.dataset, uri, problem);
                self.lines.push(Line::Told(Box::new(report)));
                return Ok(());
            }
            Named::Missing(place) => return self.note_missing(&place).await,
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
        if (self.asked.intent == Intent::Incremental || self.asked.stale) && self.skip(&source).await? {
            return Ok(());
        }
        self.taken += 1;
        // Runs that were opened before this one stay open.
        self.start(source).await.map_err(|fault| fault.then(RESUME))
    }

    /// Has it recorded that a web server has no such file.
    async fn note_missing(&mut self, place: &Location) -> Result<(), Fault> {
        let run = archive::missing_run(self.dataset, &place.bucket, &place.key);
        if self.asked.dry_run || self.asked.intent == Intent::TestSubset {
            self.lines.push(Line::Told(Box::new(RunReport::bare(&run, Status::Missing, None))));
            return Ok(());
        }
        archive::note_missing(self.ctx, self.dataset, &run).await?;
        self.lines.push(Line::Running(Box::new(run)));
        Ok(())
    }

    /// Sends the source's unfinished runs again. True where one of them is what was asked for.
    async fn resume(&mut self, source: &Source) -> Result<bool, Fault> {
        let same_source = |run: &Run| run.source.bucket == source.bucket && run.source.key == source.key;
        let (here, elsewhere) = std::mem::take(&mut self.left_open).into_iter().partition(same_source);
        self.left_open = elsewhere;
        let mut asked_for = false;
        for run in here {
            asked_for |= same_version(&run.source.version, &source.version) && self.is_asked_for(&run);
            if self.asked.dry_run {
                self.lines.push(Line::Told(Box::new(RunReport::bare(&run, Status::Planned, None))));
                continue;
            }
            if run.config != self.dataset.hash {
                self.note(format!("run {} goes on with the dataset file that it was opened with", run.run_id));
            }
            let message = Message::File { run: Box::new(run.clone()) };
            self.ctx.work.send(&[message.encode()?]).await?;
            self.lines.push(Line::Running(Box::new(run)));
        }
        Ok(asked_for)
    }

    fn is_asked_for(&self, run: &Run) -> bool {
        match self.asked.intent {
            // What goes on with an older dataset file would be stale again.
            Intent::Reprocess if self.asked.stale => {
                run.purpose == Purpose::Reprocess && run.config == self.dataset.hash
            }
            Intent::Reprocess => run.purpose == Purpose::Reprocess,
            Intent::TestSubset => run.purpose == Purpose::TestSubset,
            Intent::Incremental | Intent::Prune | Intent::Heal | Intent::Redrive => run.purpose.publishes(),
        }
    }

    /// Tells of a source that is published as the request wants it. False where it is not.
    async fn skip(&mut self, source: &Source) -> Result<bool, Fault> {
        let (ledger, name) = (&self.ctx.ledger, &self.dataset.spec.name);
        let pointer = ledger.pointer(name, &source.bucket, &source.key).await?.map(|read| read.value);
        if !self.asked.stale && !is_published(pointer.as_ref(), source) {
            return Ok(false);
        }
        let Some(published) = pointer.and_then(|pointer| pointer.published) else {
            self.unpublished += usize::from(self.asked.stale);
            return Ok(self.asked.stale);
        };
        match ledger.outcome(name, &published.claim.run_id).await? {
            Some(outcome) if self.asked.stale && outcome.run.config != self.dataset.hash => return Ok(false),
            Some(outcome) => self.lines.push(Line::Skipped(Box::new(outcome))),
            None if self.asked.stale => return Ok(false),
            None => {
                let run = Run::new(name, &self.dataset.hash, Purpose::Incremental, "", source.clone());
                let bare = RunReport::bare(&run, Status::Skipped, None);
                self.lines.push(Line::Told(Box::new(RunReport { run_id: published.claim.run_id, ..bare })));
            }
        }
        Ok(true)
    }

    async fn start(&mut self, source: Source) -> Result<(), Fault> {
        let (ctx, dataset) = (self.ctx, self.dataset);
        let source = match self.newest(source).await? {
            Ok(source) => source,
            Err(gone) => {
                let report = RunReport::unfound(dataset, gone.uri(), "gone since it was listed".to_owned());
                self.lines.push(Line::Told(Box::new(report)));
                return Ok(());
            }
        };
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
            Purpose::Reprocess | Purpose::Retry | Purpose::TestSubset => {
                open(ctx, dataset, wanted, EAGER.resend).await?
            }
        };
        self.lines.push(match opened {
            Opened::Enqueued(run) => Line::Running(Box::new(run)),
            // Published by another process since it was looked up.
            Opened::Skipped { run, .. } => Line::Told(Box::new(RunReport::bare(&run, Status::Skipped, None))),
        });
        Ok(())
    }

    /// The source as it is now, or what is gone. A listing tells no version id, a look-up does; files of web servers were
    /// looked up one by one.
    async fn newest(&self, source: Source) -> Result<Result<Source, Source>, Fault> {
        if is_web(&source.bucket) {
            return Ok(Ok(source));
        }
        let storage = self.ctx.stores.open(&source.bucket).await?;
        Ok(match storage.head(&source.key).await? {
            Some(meta) => Ok(source_of(&source.bucket, meta)),
            None => Err(source),
        })
    }

    /// Takes in a run that was opened elsewhere.
    pub fn running(&mut self, run: Run) {
        self.lines.push(Line::Running(Box::new(run)));
    }

    /// Works until every run has ended, and tells how; and whether Ctrl-C came first.
    pub async fn finish(mut self, engine: &Engine) -> Result<(Report, bool), Fault> {
        let mut expected = Expected::default();
        for line in &self.lines {
            if let Line::Running(run) = line {
                expected.runs += 1;
                expected.bytes = expected.bytes.saturating_add(run.source.size);
            }
        }
        let mut drained = if expected.runs == 0 { Drained::default() } else { engine.drain(expected).await? };
        if !drained.interrupted
            && !self.asked.dry_run
            && let Some(note) = engine.tell_left(&self.dataset.spec.name).await
        {
            self.note(note);
        }
        let (ledger, sink) = (&self.ctx.ledger, self.ctx.ledger.sink().as_ref());
        let skipped = self.lines.iter().filter_map(|line| match line {
            Line::Skipped(outcome) => Some(outcome.as_ref()),
            Line::Told(_) | Line::Running(_) => None,
        });
        let mut damaged = intact::damaged(ledger, skipped).await?;
        let mut reports = Vec::new();
        for line in self.lines {
            let run = match line {
                Line::Skipped(outcome) => {
                    let damaged = damaged.remove(&outcome.run.run_id).unwrap_or_default();
                    reports.push(skipped_report(&outcome, &self.dataset.hash, damaged, sink));
                    continue;
                }
                Line::Told(report) => {
                    reports.push(*report);
                    continue;
                }
                Line::Running(run) => run,
            };
            reports.push(match drained.ended.remove(&run.run_id) {
                Some(outcome) => RunReport::of(&outcome, sink),
                None => not_ended(ledger, &run, drained.gave_up.get(&run.run_id), drained.interrupted).await?,
            });
        }
        // Newer versions that took the place of what was asked for.
        reports.extend(drained.ended.values().map(|outcome| RunReport::of(outcome, sink)));
        let report = Report { dry_run: self.asked.dry_run, notes: self.notes, ..Report::new(reports) };
        Ok((report, drained.interrupted))
    }
}

fn skipped_report(outcome: &Outcome, config: &str, damaged: Vec<Damaged>, sink: &dyn Storage) -> RunReport {
    let (parts, quarantine) = (outcome.parts.len(), outcome.quarantine.len());
    RunReport {
        status: Status::Skipped,
        error: (!damaged.is_empty()).then(|| intact::words(&damaged, parts, quarantine)),
        stale: outcome.run.config != config,
        damaged,
        ..RunReport::of(outcome, sink)
    }
}

/// A run that this command could not end, as the ledger has it: that is what `runs` and `show` tell as well.
async fn not_ended(
    ledger: &Ledger,
    run: &Run,
    gave_up: Option<&String>,
    interrupted: bool,
) -> Result<RunReport, Fault> {
    if let Some(outcome) = ledger.outcome(&run.dataset, &run.run_id).await? {
        let ended = RunReport::of(&outcome, ledger.sink().as_ref());
        let error = gave_up.map(|error| format!("what follows its end is not done: {error}; then {RESUME}"));
        return Ok(RunReport { error: ended.error.clone().or(error), ..ended });
    }
    if interrupted && gave_up.is_none() {
        return Ok(RunReport::bare(run, Status::Interrupted, Some(format!("interrupted: {RESUME}"))));
    }
    let is_open = ledger.open_run(&run.run_id).await?.is_some();
    let (status, what) = if is_open { (Status::Open, "open: not finished") } else { (Status::Failed, "not finished") };
    let why = gave_up.map_or_else(|| ": nobody works on it".to_owned(), |error| format!(": {error}"));
    Ok(RunReport::bare(run, status, Some(format!("{what}{why}; then {RESUME}"))))
}
