//! A dataset's reports, brought up to date with what is published.
//!
//! The truth is the pointers; [`Manifest`] tells what the files were made of. One pass reads the manifest, looks the files
//! up, and only then lists the pointers; it replaces each file on the condition that it is the one looked up, and at last
//! swaps the manifest, which names the new files' ETags. Who loses one of these starts again. So a file is never replaced
//! by one that was made of an older list, and a manifest whose files are the ones it names was made by a pass that nobody
//! crossed. A crash in between leaves files that the manifest does not name: the run whose message is not acknowledged,
//! or the sweep, makes them again.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::figures::Figures;
use super::merge;
use super::output::Shown;
use crate::Result;
use crate::dataset::Dataset;
use crate::ledger::records::FORMAT;
use crate::ledger::{Ledger, Pointer, Stamped, keys};
use crate::pipeline::Context;
use crate::pipeline::refresh::Refresh;
use crate::storage::{PutIf, PutOutcome, list_all};

/// How many objects are read at once.
const READS_AT_ONCE: usize = 16;
/// The largest file of a report that is read back.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Keeps reports up to date: the finalizer's, where it is built with SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reports;

#[async_trait]
impl Refresh for Reports {
    async fn refresh(&self, ctx: &Context, dataset: &str, config: Option<&str>) -> Result<()> {
        while !pass(ctx, dataset, config).await? {}
        Ok(())
    }
}

/// What a dataset's reports were made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    /// [`FORMAT`].
    format: u32,
    /// The dataset's name.
    dataset: String,
    /// Grows with each change.
    epoch: u64,
    /// The hash of the dataset file that tells what the reports are.
    config: String,
    /// Sources that have a pointer, by bucket and key.
    sources: Vec<Source>,
    /// ETags of the reports' files, by key.
    files: BTreeMap<String, String>,
}

/// A source and the run that is published of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    bucket: String,
    key: String,
    /// The pointer's key.
    pointer: String,
    /// The pointer's ETag, as listed: one that is listed again has not changed.
    etag: String,
    /// The run that readers see, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
}

impl Source {
    fn uri(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }

    fn told(&self) -> Option<(&str, &str, &str)> {
        self.run_id.as_deref().map(|run_id| (self.bucket.as_str(), self.key.as_str(), run_id))
    }
}

/// One pass. False where another came in between.
async fn pass(ctx: &Context, name: &str, config: Option<&str>) -> Result<bool> {
    let (ledger, sink) = (&ctx.ledger, ctx.ledger.sink());
    let manifest_key = keys::report_manifest(name);
    let read: Option<Stamped<Manifest>> = ledger.read(&manifest_key).await?;
    let before = read.as_ref().map(|read| &read.value);
    let Some(config) = config.or(before.map(|before| before.config.as_str())) else { return Ok(true) };
    if before.is_none() && ctx.config(config).await?.spec.reports.is_empty() {
        return Ok(true);
    }
    let dataset = ctx.current(name, config).await?;
    let mut there: BTreeMap<String, Option<String>> = BTreeMap::new();
    for key in files(&dataset).chain(before.iter().flat_map(|before| before.files.keys().cloned())) {
        let found = sink.head(&key).await?.map(|meta| meta.version.etag);
        there.insert(key, found);
    }
    let known = before.map(|before| before.sources.as_slice()).unwrap_or_default();
    let sources = sources(ledger, name, known).await?;
    if before.is_some_and(|before| is_current(before, &dataset, &sources, &there)) {
        return Ok(true);
    }
    let shown = shown(ctx, &dataset, &sources).await?;
    let mut made = BTreeMap::new();
    for (key, found) in there {
        let content = match shown.iter().find(|shown| key == keys::report(name, &shown.report, "json")) {
            Some(shown) => Some(shown.json()?),
            None => match shown.iter().find(|shown| key == keys::report(name, &shown.report, "parquet")) {
                Some(shown) => shown.parquet()?,
                None => None,
            },
        };
        match (content, found) {
            (Some(content), found) => match replace(ledger, &key, found.as_deref(), content).await? {
                Some(etag) => drop(made.insert(key, etag)),
                None => return Ok(false),
            },
            (None, Some(etag)) => drop(sink.delete_if(&key, &etag).await?),
            (None, None) => {}
        }
    }
    let manifest = Manifest {
        format: FORMAT,
        dataset: name.to_owned(),
        epoch: before.map_or(0, |before| before.epoch) + 1,
        config: dataset.hash.clone(),
        sources,
        files: made,
    };
    let etag = read.as_ref().map(|read| read.etag.as_str());
    let swapped = ledger.swap(&manifest_key, etag, &manifest).await?.is_some();
    if swapped {
        shown.iter().for_each(tell);
    }
    Ok(swapped)
}

/// The files that the dataset's reports have.
fn files(dataset: &Dataset) -> impl Iterator<Item = String> {
    let name = &dataset.spec.name;
    let reports = dataset.spec.reports.iter();
    reports.flat_map(move |spec| ["parquet", "json"].map(|extension| keys::report(name, &spec.name, extension)))
}

/// Whether the files are made of what is published now.
fn is_current(
    manifest: &Manifest,
    dataset: &Dataset,
    sources: &[Source],
    there: &BTreeMap<String, Option<String>>,
) -> bool {
    let untouched = there.iter().all(|(key, found)| manifest.files.get(key) == found.as_ref());
    let told =
        |sources: &[Source]| sources.iter().filter_map(Source::told).map(|it| format!("{it:?}")).collect::<Vec<_>>();
    untouched && manifest.config == dataset.hash && told(&manifest.sources) == told(sources)
}

/// The sources that have a pointer now, by bucket and key.
async fn sources(ledger: &Ledger, dataset: &str, known: &[Source]) -> Result<Vec<Source>> {
    let listed = list_all(ledger.sink().as_ref(), &keys::pointers(dataset)).await?;
    let known: BTreeMap<(&str, &str), &Source> =
        known.iter().map(|source| ((source.pointer.as_str(), source.etag.as_str()), source)).collect();
    let reads = listed.into_iter().map(|object| {
        let (pointer, etag) = (object.key, object.version.etag);
        let unchanged = known.get(&(pointer.as_str(), etag.as_str())).map(|source| (*source).clone());
        async move {
            if unchanged.is_some() {
                return Ok(unchanged);
            }
            let read: Option<Stamped<Pointer>> = ledger.read(&pointer).await?;
            Ok(read.map(|Stamped { value, .. }| Source {
                bucket: value.bucket,
                key: value.key,
                pointer,
                etag,
                run_id: value.published.map(|published| published.claim.run_id),
            }))
        }
        .boxed()
    });
    let mut sources: Vec<Source> = at_once(reads.collect()).await?.into_iter().flatten().collect();
    sources.sort_by(|one, other| (&one.bucket, &one.key).cmp(&(&other.bucket, &other.key)));
    Ok(sources)
}

/// The reports over what is published.
async fn shown(ctx: &Context, dataset: &Dataset, sources: &[Source]) -> Result<Vec<Shown>> {
    let name = &dataset.spec.name;
    let published: Vec<(String, String)> =
        sources.iter().filter_map(|source| Some((source.uri(), source.run_id.clone()?))).collect();
    let reads = published.iter().map(|(_, run_id)| run_figures(ctx, name, run_id).boxed());
    let figures = at_once(reads.collect()).await?;
    let told: Vec<merge::SourceFigures<'_>> =
        published.iter().zip(&figures).map(|((uri, _), figures)| (uri.as_str(), figures.as_ref())).collect();
    Ok((0..dataset.spec.reports.len()).map(|index| merge::of_dataset(dataset, index, &told)).collect())
}

/// The figures of a run, merged of its slices' where nobody did before. `None` where it has none.
async fn run_figures(ctx: &Context, dataset: &str, run_id: &str) -> Result<Option<Figures>> {
    let ledger = &ctx.ledger;
    let key = keys::run_figures(dataset, run_id);
    if let Some(read) = ledger.read::<Figures>(&key).await? {
        return Ok(Some(read.value));
    }
    let Some(plan) = ledger.plan(dataset, run_id).await? else { return Ok(None) };
    let pinned = ctx.config(&plan.run.config).await?;
    if pinned.spec.reports.is_empty() {
        return Ok(None);
    }
    let reads = plan.slices.iter().map(|slice| {
        async move { ledger.read::<Figures>(&keys::slice_figures(dataset, run_id, slice.index)).await }.boxed()
    });
    let slices = at_once(reads.collect()).await?;
    let slices: Vec<Figures> = slices.into_iter().map(|read| read.map(|read| read.value).unwrap_or_default()).collect();
    let merged = merge::of_run(&pinned, &slices);
    ledger.put_once(&key, &merged).await?;
    Ok(Some(merged))
}

/// Replaces the file that was looked up. `None` where another lies there by now, else the new ETag. A put whose reply was
/// lost finds itself.
async fn replace(ledger: &Ledger, key: &str, found: Option<&str>, content: Bytes) -> Result<Option<String>> {
    let condition = found.map_or(PutIf::Absent, PutIf::Matches);
    match ledger.sink().put_if(key, condition, content.clone()).await? {
        PutOutcome::Written { etag } => Ok(Some(etag)),
        PutOutcome::Lost => {
            let there = ledger.sink().get(key, MAX_FILE_BYTES).await?;
            Ok(there.filter(|object| object.bytes == content).map(|object| object.meta.version.etag))
        }
    }
}

async fn at_once<T>(reads: Vec<BoxFuture<'_, Result<T>>>) -> Result<Vec<T>> {
    stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await
}

fn tell(shown: &Shown) {
    let Shown { dataset, report, sources, rows, problems, .. } = shown;
    let groups = shown.batch().map_or(0, arrow::array::RecordBatch::num_rows);
    if problems.is_empty() {
        tracing::info!(dataset, report, sources, rows, groups, "report written");
    } else {
        tracing::warn!(dataset, report, sources, rows, groups, ?problems, "report written, and not complete");
    }
}
