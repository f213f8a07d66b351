//! Sources in, runs out: opens a run of each, works, and tells how they ended.

use std::collections::BTreeMap;

use rowmill::dataset::Dataset;
use rowmill::event::{Intent, Request};
use rowmill::ledger::identity::same_version;
use rowmill::ledger::{Purpose, Run, Source};
use rowmill::pipeline::message::Message;
use rowmill::pipeline::open::{Eagerness, Opened, Skip, is_published, open, open_incremental, source_of};
use rowmill::pipeline::{Context, archive};

use rowmill::storage::web::is_web;

use crate::engine::{Drained, Engine};
use crate::fault::Fault;
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
        if self.asked.intent == Intent::Incremental && self.skip_published(&source).await? {
            return Ok(());
        }
        self.taken += 1;
        self.start(source).await
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
    pub async fn finish(self, engine: &Engine) -> Result<(Report, bool), Fault> {
        let mut expected = Expected::default();
        for line in &self.lines {
            if let Line::Running(run) = line {
                expected.runs += 1;
                expected.bytes = expected.bytes.saturating_add(run.source.size);
            }
        }
        let mut drained = if expected.runs == 0 { Drained::default() } else { engine.drain(expected).await? };
        if !drained.interrupted && !self.asked.dry_run {
            engine.tell_left(&self.dataset.spec.name).await;
        }
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
