//! What a use case works with, and the bounds it keeps.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::meter::Meter;
use super::refresh::Refresh;
use crate::clock::Clock;
use crate::cost::Usage;
use crate::dataset::Dataset;
use crate::ledger::{Ledger, Run};
use crate::notify::Channels;
use crate::queue::Queue;
use crate::storage::web::is_web;
use crate::storage::{Storage, Stores};
use crate::{Error, Result};

/// The bounds of a deployment. Every one has a default that suits fhvhv on 2 GiB functions.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Slices of one plan.
    pub plan_slices: u64,
    /// A run without progress for this long is restarted by the sweep, milliseconds. Longer than a function may run.
    pub stall_ms: i64,
    /// Restarts without progress before a run is closed as failed.
    pub restarts: u32,
    /// How long before its deadline an invocation stops, milliseconds.
    pub deadline_margin_ms: i64,
    /// Stops in a row after which what a message asked for is recorded as failed.
    pub deadline_stops: u32,
    /// Whether a file below its dataset's `source.small_bytes` is cleaned by the invocation that planned it. On one machine,
    /// where an invocation costs nothing, that would leave cores idle.
    pub small_whole: bool,
    /// Threads that encode a slice's columns.
    pub threads: usize,
    /// Slices whose rows a process decodes and encodes at once. Others in hand are planned, copied, uploaded and recorded
    /// meanwhile: a slice that has every core to itself takes half the memory of two that share them.
    pub encoding_slices: usize,
    /// Memory of the process that cleans a slice, bytes; `None` where nothing bounds it.
    pub memory_bytes: Option<u64>,
    /// The most memory that this process has used, MiB, where the system tells.
    pub peak_mib: fn() -> Option<u64>,
    /// How long the delivery of a notice is tried, milliseconds.
    pub notice_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            plan_slices: 10_000,
            stall_ms: 20 * 60_000,
            restarts: 3,
            deadline_margin_ms: 10_000,
            deadline_stops: 3,
            small_whole: true,
            threads: 1,
            encoding_slices: Semaphore::MAX_PERMITS,
            memory_bytes: None,
            peak_mib: || None,
            notice_ms: 24 * 3_600_000,
        }
    }
}

/// Everything outside the process that a use case touches. Built once per process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    /// The ledger, in the sink.
    pub ledger: Ledger,
    /// Where sources lie.
    pub stores: Arc<dyn Stores>,
    /// To processors.
    pub work: Arc<dyn Queue>,
    /// To finalizers.
    pub finalize: Arc<dyn Queue>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Bounds.
    pub limits: Limits,
    /// Who keeps reports up to date; `None`: nobody.
    pub reports: Option<Arc<dyn Refresh>>,
    /// When this invocation ends, milliseconds since 1970-01-01 UTC; `None` where nothing ends it.
    pub deadline_ms: Option<i64>,
    /// When the message in hand came, milliseconds since 1970-01-01 UTC.
    pub began_ms: i64,
    /// Who is told how runs ended; `None` where nobody is.
    pub channels: Option<Arc<Channels>>,
    /// What slices have cleaned so far.
    pub meter: Arc<Meter>,
    configs: Arc<Mutex<HashMap<String, Arc<Dataset>>>>,
    encoding: Arc<Semaphore>,
}

impl Context {
    /// A context over `sink`.
    pub fn new(
        sink: Arc<dyn Storage>,
        stores: Arc<dyn Stores>,
        work: Arc<dyn Queue>,
        finalize: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Self {
        let ledger = Ledger::new(sink);
        let encoding = Arc::new(Semaphore::new(limits.encoding_slices.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            ledger,
            stores,
            work,
            finalize,
            clock,
            limits,
            reports: None,
            deadline_ms: None,
            began_ms: 0,
            channels: None,
            meter: Arc::default(),
            configs: Arc::default(),
            encoding,
        }
    }

    /// The same context, which tells these channels how runs ended.
    pub fn telling(self, channels: Channels) -> Self {
        Self { channels: Some(Arc::new(channels)), ..self }
    }

    /// The same context for a message that came just now.
    pub fn from_now(&self) -> Self {
        Self { began_ms: self.now_ms(), ..self.clone() }
    }

    /// What was used since `since_ms`.
    pub fn usage(&self, since_ms: i64) -> Usage {
        Usage {
            duration_ms: u64::try_from(self.now_ms() - since_ms).unwrap_or(0),
            memory_mib: self.limits.memory_bytes.map(|bytes| bytes >> 20),
            peak_mib: (self.limits.peak_mib)(),
        }
    }

    /// The same context for an invocation that ends at `deadline_ms`.
    pub fn until(&self, deadline_ms: i64) -> Self {
        Self { deadline_ms: Some(deadline_ms), ..self.clone() }
    }

    /// The same context with somebody who keeps reports up to date, or nobody.
    #[must_use]
    pub fn with_reports(self, reports: Option<Arc<dyn Refresh>>) -> Self {
        Self { reports, ..self }
    }

    /// Waits until this process may decode and encode another slice's rows, and keeps others from it as long as the answer
    /// lives.
    pub async fn encoding_turn(&self) -> Result<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.encoding).acquire_owned().await;
        turn.map_err(|error| Error::Internal(format!("waiting for other slices: {error}")))
    }

    /// Takes in a dataset file that somebody has at hand: errors of runs that are pinned to the same text cite this file,
    /// not the ledger's copy.
    pub fn know(&self, dataset: &Dataset) {
        let dataset = Arc::new(dataset.clone());
        self.configs.lock().unwrap_or_else(PoisonError::into_inner).insert(dataset.hash.clone(), dataset);
    }

    fn known(&self, hash: &str) -> Option<Arc<Dataset>> {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    /// The dataset file with this hash, read once per process: it never changes.
    pub async fn config(&self, hash: &str) -> Result<Arc<Dataset>> {
        if let Some(dataset) = self.known(hash) {
            return Ok(dataset);
        }
        let mut dataset = self.ledger.config(hash).await?;
        dataset.origin = format!("the dataset file as it was applied (configs/{hash}.toml)");
        let mut known = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(known.entry(hash.to_owned()).or_insert_with(|| Arc::new(dataset))))
    }

    /// The dataset file as applied now; where none is applied (an embedded run), the one with `hash`.
    pub async fn current(&self, name: &str, hash: &str) -> Result<Arc<Dataset>> {
        match self.ledger.dataset(name).await? {
            Some(dataset) => Ok(self.known(&dataset.hash).unwrap_or_else(|| Arc::new(dataset))),
            None => self.config(hash).await,
        }
    }

    /// Where sources of `dataset` in `bucket` are read: any bucket, and the web servers that the dataset names.
    pub async fn open_source(&self, dataset: &Dataset, bucket: &str) -> Result<Arc<dyn Storage>> {
        Ok(self.stores.open_source(bucket, dataset.web_rules()).await?)
    }

    /// Where a run's source is read. Only a web server asks for what the run's dataset file says.
    pub async fn open_source_of(&self, run: &Run) -> Result<Arc<dyn Storage>> {
        let bucket = &run.source.bucket;
        if is_web(bucket) {
            return self.open_source(&*self.config(&run.config).await?, bucket).await;
        }
        Ok(self.stores.open(bucket).await?)
    }

    /// How long this invocation may still work, less the margin before its deadline, milliseconds; `None` where nothing
    /// ends it.
    pub fn left_ms(&self) -> Option<i64> {
        self.deadline_ms.map(|deadline_ms| deadline_ms - self.now_ms() - self.limits.deadline_margin_ms)
    }

    /// Does `work` unless the margin before the deadline comes first: then it is dropped wherever it is.
    pub async fn before_deadline<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(left_ms) = self.left_ms() else { return work.await };
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        let margin_ms = u64::try_from(self.limits.deadline_margin_ms).unwrap_or(0);
        tokio::time::timeout(left, work).await.unwrap_or(Err(Error::Deadline(margin_ms)))
    }

    /// The time, milliseconds since 1970-01-01 UTC.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}
