//! The embedded run, for tests: the library's use cases over a folder.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rowmill::clock::SystemClock;
use rowmill::dataset::Dataset;
use rowmill::ledger::Outcome;
use rowmill::pipeline::embedded::{Progress, drain};
use rowmill::pipeline::open::{Eagerness, Opened, open_incremental, source_of};
use rowmill::pipeline::{Context, Limits};
use rowmill::queue::MemoryQueue;
use rowmill::storage::{LocalStorage, LocalStores, Stores};

/// Longer than any test.
const VISIBILITY: Duration = Duration::from_secs(3_600);

/// Ingests files into the folder `sink`, and answers how each run ended, in the files' order.
pub async fn ingest(dataset: &Dataset, files: &[&Path], sink: &Path, workers: usize) -> Result<Vec<Outcome>> {
    let clock = Arc::new(SystemClock);
    let queue = |name| Arc::new(MemoryQueue::new(name, clock.clone(), VISIBILITY, u32::MAX));
    let (work, finalize) = (queue("work"), queue("finalize"));
    let storage = Arc::new(LocalStorage::new(sink));
    let stores = Arc::new(LocalStores::default());
    let ctx = Context::new(
        storage,
        stores.clone(),
        Arc::clone(&work) as _,
        Arc::clone(&finalize) as _,
        clock,
        Limits::default(),
    );
    let machine = stores.open("file://").await?;
    let mut runs = Vec::new();
    for file in files {
        let path = file.canonicalize()?;
        let key = path.to_str().context("a path that is no UTF-8")?.trim_start_matches('/').to_owned();
        let meta = machine.head(&key).await?.context("no such file")?;
        let eagerness = Eagerness { resend: true, retry: false };
        match open_incremental(&ctx, dataset, source_of("file://", meta), eagerness).await? {
            Opened::Enqueued(run) => runs.push(run),
            Opened::Skipped { run, why } => bail!("{} was skipped: {why:?}", run.source.uri()),
        }
    }
    let mut gave_up = Vec::new();
    drain(&ctx, &work, &finalize, workers, |progress| {
        if let Progress::GaveUp { error, .. } = progress {
            gave_up.push(error.to_string());
        }
    })
    .await?;
    if !gave_up.is_empty() {
        bail!("{}", gave_up.join("\n"));
    }
    let mut outcomes = Vec::new();
    for run in runs {
        let outcome = ctx.ledger.outcome(&run.dataset, &run.run_id).await?;
        outcomes.push(outcome.with_context(|| format!("run {} has not ended", run.run_id))?);
    }
    Ok(outcomes)
}
