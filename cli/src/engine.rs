//! The embedded engine: the library's use cases over a sink and two in-process queues.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use rowmill::clock::SystemClock;
use rowmill::ledger::Outcome;
use rowmill::notify::{Channels, FixedUrl, Webhook};
use rowmill::pipeline::embedded::{Progress, drain};
use rowmill::pipeline::{Context, Limits, notices};
use rowmill::queue::MemoryQueue;
use rowmill::reports::Reports;
use rowmill::storage::Stores;

use crate::fault::Fault;
use crate::progress::{Bar, Expected};
use crate::sink::Sink;

/// Longer than any slice takes: a message of this process is never delivered twice for being slow.
const VISIBILITY: Duration = Duration::from_secs(7 * 24 * 3600);

/// The variable that holds the URL of a webhook that is told how runs ended.
const WEBHOOK: &str = "ROWMILL_WEBHOOK_URL";
/// How often a command tries what a webhook did not take, and how long it waits for the next try at most.
const TELLS: u32 = 3;
const LONGEST_PAUSE_MS: u64 = 5_000;

/// What one command runs on.
#[derive(Debug)]
pub struct Engine {
    /// The context that runs are opened in.
    pub ctx: Context,
    work: Arc<MemoryQueue>,
    finalize: Arc<MemoryQueue>,
    workers: usize,
}

/// What became of the messages.
#[derive(Debug, Default)]
pub struct Drained {
    /// Runs that ended, by id.
    pub ended: BTreeMap<String, Outcome>,
    /// The last error of runs that were given up for now, by id.
    pub gave_up: BTreeMap<String, String>,
    /// Ctrl-C came before the end.
    pub interrupted: bool,
}

impl Engine {
    /// An engine of so many workers, by default one per core.
    pub fn new(sink: &Sink, stores: Arc<dyn Stores>, workers: Option<u16>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let workers = workers.map_or(cores, usize::from);
        // Two threads encode what one decodes.
        let encoding_slices = workers.min(cores / 2).max(1);
        let limits = Limits {
            threads: (cores / encoding_slices).max(1),
            encoding_slices,
            small_whole: false,
            peak_mib: rowmill::telemetry::peak_mib,
            ..Limits::default()
        };
        let clock = Arc::new(SystemClock);
        // The worker loop counts receives itself, and gives a message up in the open.
        let queue = |name| Arc::new(MemoryQueue::new(name, clock.clone(), VISIBILITY, u32::MAX));
        let (work, finalize) = (queue("work"), queue("finalize"));
        let ctx = Context::new(
            Arc::clone(&sink.storage),
            stores,
            Arc::clone(&work) as _,
            Arc::clone(&finalize) as _,
            clock.clone(),
            limits,
        )
        .with_reports(Some(Arc::new(Reports)));
        Self { ctx, work, finalize, workers }
    }

    /// The same engine, which tells a webhook how runs ended, if the environment names one.
    pub fn telling(self) -> Result<Self, Fault> {
        let Some(url) = std::env::var(WEBHOOK).ok().filter(|url| !url.is_empty()) else { return Ok(self) };
        let url = FixedUrl::new(&url).map_err(|problem| Fault::usage(format!("{WEBHOOK}: {problem}")))?;
        let Some(channels) = Channels::of(vec![Arc::new(Webhook::new(url))]) else { return Ok(self) };
        Ok(Self { ctx: self.ctx.telling(channels), ..self })
    }

    /// Tells what could not be told when runs ended, now or by an earlier command. What stays is left to the next one: the
    /// answer says so.
    pub async fn tell_left(&self, dataset: &str) -> Option<String> {
        for tells in 1..=TELLS {
            let next_ms = match notices::tell_left(&self.ctx, dataset).await {
                Ok(None) => return None,
                Ok(Some(next_ms)) => u64::try_from(next_ms).unwrap_or(0),
                Err(error) => return Some(format!("not told how runs ended: {error}")),
            };
            if tells == TELLS || next_ms > LONGEST_PAUSE_MS {
                break;
            }
            tokio::time::sleep(Duration::from_millis(next_ms)).await;
        }
        Some("the webhook did not take every message: the next command tries again".to_owned())
    }

    /// Slices in hand at once.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Works until no message is left, or Ctrl-C. Then what is in hand is dropped: none of it is visible, and the
    /// ledger knows what is missing.
    pub async fn drain(&self, expected: Expected) -> Result<Drained, Fault> {
        let mut drained = Drained::default();
        let mut bar = Bar::new(expected, Arc::clone(&self.ctx.meter));
        let watch = |progress: Progress| {
            bar.watch(&progress);
            match progress {
                Progress::Ended(outcome) => {
                    drained.ended.insert(outcome.run.run_id.clone(), *outcome);
                }
                Progress::GaveUp { run_id, error } => {
                    drained.gave_up.insert(run_id, error.to_string());
                }
                Progress::Planned { .. } | Progress::Recorded { .. } => {}
            }
        };
        let interrupted = tokio::select! {
            done = drain(&self.ctx, &self.work, &self.finalize, self.workers, watch) => {
                done?;
                false
            }
            pressed = tokio::signal::ctrl_c() => {
                pressed?;
                true
            }
        };
        drained.interrupted = interrupted;
        Ok(drained)
    }
}
