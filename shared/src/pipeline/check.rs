//! The checker's use case: from a trigger to messages on the work queue.

use serde::Serialize;

use super::open::{Eagerness, Opened, Skip, open_incremental, source_of};
use super::{Context, heal, request};
use crate::dataset::Dataset;
use crate::event::{Intent, ObjectCreated, Request, Trigger};
use crate::{Error, Result, telemetry};

/// What a trigger led to: the answer to a manual event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The request's ULID: the generation of the runs it opened.
    pub request_id: String,
    /// Sources that a dataset wants.
    pub matched: u64,
    /// Runs opened.
    pub enqueued: u64,
    /// Sources that need no run.
    pub skipped: u64,
    /// Files that a web server has not; absent where there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub missing: u64,
    /// The runs opened, or that would be.
    pub runs: Vec<String>,
    /// Nothing was done.
    pub dry_run: bool,
    /// Outputs removed because their source is gone; absent unless `prune`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pruned: Vec<String>,
    /// What could not be done for a dataset or a source, while the others could.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// What is no problem and good to know, such as why nothing matched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Answer {
    /// One answer for several triggers of one event.
    pub fn sum(answers: Vec<Self>) -> Self {
        let mut sum = Self::default();
        for answer in answers {
            sum.add(answer);
        }
        sum
    }

    pub(super) fn add(&mut self, other: Self) {
        if self.request_id.is_empty() {
            self.request_id = other.request_id;
        }
        self.matched += other.matched;
        self.enqueued += other.enqueued;
        self.skipped += other.skipped;
        self.missing += other.missing;
        self.runs.extend(other.runs);
        self.dry_run |= other.dry_run;
        self.pruned.extend(other.pruned);
        self.problems.extend(other.problems);
        self.notes.extend(other.notes);
    }

    pub(super) fn count(&mut self, opened: Opened) {
        match opened {
            Opened::Enqueued(run) => {
                self.enqueued += 1;
                self.runs.push(run.run_id);
            }
            Opened::Skipped { run, why } => {
                self.skipped += 1;
                tracing::info!(run_id = run.run_id, source = run.source.uri(), ?why, "skipped");
            }
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Handles one trigger.
pub async fn check(ctx: &Context, trigger: Trigger) -> Result<Answer> {
    match trigger {
        Trigger::Ignored(why) => {
            tracing::debug!(%why, "ignored");
            Ok(Answer::default())
        }
        Trigger::Object(object) => created(ctx, &object).await,
        Trigger::Request(asked) => requested(ctx, asked).await,
    }
}

async fn requested(ctx: &Context, asked: Request) -> Result<Answer> {
    match asked.intent {
        Intent::Heal => {
            let healed = heal::heal(ctx, asked.dry_run).await?;
            tracing::info!(?healed, "healed");
            Ok(Answer { enqueued: healed.restarted, runs: healed.runs, dry_run: asked.dry_run, ..Answer::default() })
        }
        Intent::Incremental | Intent::Reprocess | Intent::TestSubset | Intent::Prune | Intent::Redrive => {
            let datasets = wanted(applied(ctx).await?, asked.dataset.as_deref())?;
            request::request(ctx, &datasets, &asked, Eagerness::default()).await
        }
    }
}

/// The datasets that a request is about.
fn wanted(datasets: Vec<Dataset>, name: Option<&str>) -> Result<Vec<Dataset>> {
    let Some(name) = name else { return Ok(datasets) };
    let known: Vec<String> = datasets.iter().map(|dataset| dataset.spec.name.clone()).collect();
    let found: Vec<Dataset> = datasets.into_iter().filter(|dataset| dataset.spec.name == name).collect();
    if found.is_empty() {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Error::Dataset(format!("no dataset `{name}` is applied: `rowmill apply` it; applied are {known}")));
    }
    Ok(found)
}

/// Every dataset applied that can be used. A file that is wrong is logged and must not stop the others.
async fn applied(ctx: &Context) -> Result<Vec<Dataset>> {
    let mut datasets = Vec::new();
    for (name, dataset) in ctx.ledger.datasets().await? {
        match dataset {
            Ok(dataset) => datasets.push(dataset),
            Err(error) => telemetry::dataset_refused(&name, &error, ctx.now_ms()),
        }
    }
    Ok(datasets)
}

/// An object was created: look it up, for the event may be late and the object another by now.
async fn created(ctx: &Context, object: &ObjectCreated) -> Result<Answer> {
    let mut answer = Answer::default();
    let datasets = applied(ctx).await?;
    let wanted: Vec<&Dataset> =
        datasets.iter().filter(|dataset| dataset.matches(&object.bucket, &object.key)).collect();
    if wanted.is_empty() {
        tracing::info!(bucket = object.bucket, key = object.key, "no dataset wants this object");
        return Ok(answer);
    }
    let storage = ctx.stores.open(&object.bucket).await?;
    let Some(meta) = storage.head(&object.key).await? else {
        tracing::info!(source = storage.uri(&object.key), "gone before it was looked up");
        return Ok(answer);
    };
    let source = source_of(&object.bucket, meta);
    for dataset in wanted {
        answer.matched += 1;
        match ctx.ledger.own_prefix(dataset).await {
            Err(error) if error.is_permanent() => {
                telemetry::dataset_refused(&dataset.spec.name, &error, ctx.now_ms());
                answer.problems.push(error.to_string());
                continue;
            }
            owned => owned?,
        }
        let opened = open_incremental(ctx, dataset, source.clone(), Eagerness::default()).await?;
        if let Opened::Skipped { run, why: Skip::Failed } = &opened {
            tracing::warn!(
                run_id = run.run_id,
                source = source.uri(),
                "failed before: `rowmill redrive` it once mended"
            );
        }
        answer.count(opened);
    }
    Ok(answer)
}
