//! What a use case works with, and the bounds it keeps.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::refresh::Refresh;
use crate::Result;
use crate::clock::Clock;
use crate::dataset::Dataset;
use crate::ledger::Ledger;
use crate::queue::Queue;
use crate::storage::{Storage, Stores};

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
    /// Threads that encode a slice's columns.
    pub threads: usize,
    /// Memory of the process that cleans a slice, bytes; `None` where nothing bounds it.
    pub memory_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            plan_slices: 10_000,
            stall_ms: 20 * 60_000,
            restarts: 3,
            deadline_margin_ms: 10_000,
            deadline_stops: 3,
            threads: 1,
            memory_bytes: None,
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
    configs: Arc<Mutex<HashMap<String, Arc<Dataset>>>>,
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
        Self {
            ledger,
            stores,
            work,
            finalize,
            clock,
            limits,
            reports: None,
            deadline_ms: None,
            configs: Arc::default(),
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

    /// The dataset file with this hash, read once per process: it never changes.
    pub async fn config(&self, hash: &str) -> Result<Arc<Dataset>> {
        let known = self.configs.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned();
        if let Some(dataset) = known {
            return Ok(dataset);
        }
        let dataset = Arc::new(self.ledger.config(hash).await?);
        self.configs.lock().unwrap_or_else(PoisonError::into_inner).insert(hash.to_owned(), Arc::clone(&dataset));
        Ok(dataset)
    }

    /// The dataset file as applied now; where none is applied (an embedded run), the one with `hash`.
    pub async fn current(&self, name: &str, hash: &str) -> Result<Arc<Dataset>> {
        match self.ledger.dataset(name).await? {
            Some(dataset) => Ok(Arc::new(dataset)),
            None => self.config(hash).await,
        }
    }

    /// The time, milliseconds since 1970-01-01 UTC.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}
