//! A reader who looks all the time, and notices what should not be seen yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use rowmill::ledger::{Status, keys};
use rowmill::storage::list_all;
use tokio::task::JoinHandle;

use super::audit::run_of;
use super::site::Site;

/// How long the reader rests between two looks.
const PAUSE: Duration = Duration::from_millis(150);

/// What the reader saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// How often it looked.
    pub looks: u64,
    /// Objects, one for each ETag.
    pub objects: u64,
    /// Keys that were seen too early, and why that is.
    pub early: BTreeMap<String, String>,
}

impl Seen {
    /// Early objects of one source.
    pub fn early_of(&self, file: &str) -> u64 {
        let of_file = |key: &&String| key.contains(&format!("/{file}/"));
        u64::try_from(self.early.keys().filter(of_file).count()).unwrap_or(u64::MAX)
    }
}

/// A reader at work.
#[derive(Debug)]
pub struct Reader {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<Seen>>,
}

impl Reader {
    /// Starts to look at the site's parts and quarantine.
    pub fn start(site: Arc<Site>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(look(site, Arc::clone(&stop)));
        Self { stop, task }
    }

    /// Looks once more, and tells what was seen.
    pub async fn stop(self) -> Result<Seen> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await?
    }
}

async fn look(site: Arc<Site>, stop: Arc<AtomicBool>) -> Result<Seen> {
    let mut seen = Seen::default();
    // The run that made each object, by key and ETag.
    let mut runs: BTreeMap<(String, String), String> = BTreeMap::new();
    loop {
        let last = stop.load(Ordering::SeqCst);
        for folder in [format!("{}/", site.name()), format!("{}{}/", keys::QUARANTINE, site.name())] {
            for object in list_all(site.sink(), &folder).await? {
                let id = (object.key.clone(), object.version.etag.clone());
                if runs.contains_key(&id) {
                    continue;
                }
                // Between two looks it may be replaced or retired: then there is nothing to say of it.
                let Some(bytes) = site.object(&object.key).await? else { continue };
                let run_id = match run_of(bytes) {
                    Ok(run_id) => run_id,
                    Err(error) => {
                        seen.early.insert(object.key.clone(), format!("torn: {error:#}"));
                        continue;
                    }
                };
                if let Some(why) = too_early(&site, &run_id).await? {
                    seen.early.insert(object.key.clone(), why);
                }
                runs.insert(id, run_id);
            }
        }
        seen.looks += 1;
        if last {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    seen.objects = u64::try_from(runs.len())?;
    for ((key, etag), run_id) in &runs {
        if !named(&site, run_id, key, etag).await? {
            seen.early.insert(key.clone(), format!("seen, and not in the outcome of run {run_id}"));
        }
    }
    Ok(seen)
}

/// Why nothing of this run should be seen now: records come before completions, so they are there by now.
async fn too_early(site: &Site, run_id: &str) -> Result<Option<String>> {
    let Some(plan) = site.ledger.plan(site.name(), run_id).await? else {
        return Ok(Some(format!("run {run_id} has no plan")));
    };
    let recorded = site.ledger.recorded(site.name(), run_id).await?;
    if recorded.len() < plan.slices.len() {
        return Ok(Some(format!("{} of {} slices of run {run_id} are recorded", recorded.len(), plan.slices.len())));
    }
    let pointer = site.ledger.pointer(site.name(), &plan.run.source.bucket, &plan.run.source.key).await?;
    let claimed = pointer.is_some_and(|pointer| {
        let of_run = |claim: &rowmill::ledger::records::Claim| claim.run_id == run_id;
        pointer.value.claim.as_ref().is_some_and(of_run)
            || pointer.value.published.as_ref().is_some_and(|published| of_run(&published.claim))
            || pointer.value.displaced.iter().any(|displaced| displaced.run_id == run_id)
    });
    // A claim that was displaced and retired since is in the outcome.
    let ended = !claimed && site.ledger.outcome(site.name(), run_id).await?.is_some();
    Ok((!claimed && !ended).then(|| format!("run {run_id} has not claimed the pointer")))
}

/// Whether the run's outcome names this very object. What a superseded run completed was retired by the next one.
async fn named(site: &Site, run_id: &str, key: &str, etag: &str) -> Result<bool> {
    let Some(outcome) = site.ledger.outcome(site.name(), run_id).await? else { return Ok(false) };
    let mut visible = outcome.parts.iter().chain(&outcome.quarantine);
    Ok(outcome.status == Status::Superseded || visible.any(|visible| visible.key == key && visible.etag == etag))
}
