//! Reads and writes of ledger objects, typed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::identity::Run;
use super::keys;
use super::records::{FORMAT, Open, Outcome, Plan, Pointer, RETURNS_FORMAT, SliceRecord};
use crate::dataset::Dataset;
use crate::storage::{PutIf, PutOutcome, Storage, list_all};
use crate::{Error, Result};

/// The largest ledger object that is read: a plan of many slices with a page index.
const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// How many dataset files are kept parsed.
const MAX_PARSED: usize = 64;

/// How many ledger objects are read at once.
pub(super) const READS_AT_ONCE: usize = 16;

/// A ledger object and the ETag it was read with.
#[derive(Debug, Clone)]
pub struct Stamped<T> {
    /// The object.
    pub value: T,
    /// What a compare-and-swap compares.
    pub etag: String,
}

/// The ledger in a sink.
#[derive(Debug, Clone)]
pub struct Ledger {
    sink: Arc<dyn Storage>,
    /// Dataset files by their text: parsing one takes longer than reading it.
    parsed: Arc<Mutex<HashMap<String, Dataset>>>,
}

impl Ledger {
    /// The ledger of `sink`.
    pub fn new(sink: Arc<dyn Storage>) -> Self {
        Self { sink, parsed: Arc::default() }
    }

    /// The ledger of another sink that shares what this one has parsed.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn over(&self, sink: Arc<dyn Storage>) -> Self {
        Self { sink, parsed: Arc::clone(&self.parsed) }
    }

    /// The sink.
    pub fn sink(&self) -> &Arc<dyn Storage> {
        &self.sink
    }

    /// Reads an object of the ledger.
    pub(crate) async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Stamped<T>>> {
        let Some(object) = self.sink.get(key, MAX_OBJECT_BYTES).await? else { return Ok(None) };
        let value = parse(&self.sink.uri(key), &object.bytes)?;
        Ok(Some(Stamped { value, etag: object.meta.version.etag }))
    }

    /// Puts the object unless one lies there: `Ok(true)` where this one, byte for byte, lies there now. A put whose
    /// reply was lost finds itself.
    pub(crate) async fn put_once<T: Serialize>(&self, key: &str, value: &T) -> Result<bool> {
        let bytes = encode(key, value)?;
        match self.sink.put_if(key, PutIf::Absent, bytes.clone()).await? {
            PutOutcome::Written { .. } => Ok(true),
            PutOutcome::Lost => {
                let there = self.sink.get(key, MAX_OBJECT_BYTES).await?;
                Ok(there.is_some_and(|object| object.bytes == bytes))
            }
        }
    }

    /// Puts an object, whatever lies there.
    #[cfg(feature = "process")]
    pub(crate) async fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<()> {
        self.sink.put(key, encode(key, value)?).await?;
        Ok(())
    }

    /// Replaces what was read with `etag` (`None`: nothing was there). `Ok(None)` where another writer was first,
    /// else the new ETag. A swap whose reply was lost finds itself.
    pub(crate) async fn swap<T: Serialize>(&self, key: &str, etag: Option<&str>, value: &T) -> Result<Option<String>> {
        let bytes = encode(key, value)?;
        let condition = etag.map_or(PutIf::Absent, PutIf::Matches);
        match self.sink.put_if(key, condition, bytes.clone()).await? {
            PutOutcome::Written { etag } => Ok(Some(etag)),
            PutOutcome::Lost => {
                let there = self.sink.get(key, MAX_OBJECT_BYTES).await?;
                Ok(there.filter(|object| object.bytes == bytes).map(|object| object.meta.version.etag))
            }
        }
    }

    /// The run's plan.
    pub async fn plan(&self, dataset: &str, run_id: &str) -> Result<Option<Plan>> {
        let key = keys::plan(dataset, run_id);
        let Some(object) = self.sink.get(&key, MAX_OBJECT_BYTES).await? else { return Ok(None) };
        parse_up_to(RETURNS_FORMAT, &self.sink.uri(&key), &object.bytes).map(Some)
    }

    /// Writes the plan unless the run has one, and answers the one it has.
    pub async fn settle_plan(&self, plan: Plan) -> Result<Plan> {
        let key = keys::plan(&plan.run.dataset, &plan.run.run_id);
        if self.put_once(&key, &plan).await? {
            return Ok(plan);
        }
        let there = self.plan(&plan.run.dataset, &plan.run.run_id).await?;
        there.ok_or_else(|| Error::Internal(format!("{}: a plan vanished", self.sink.uri(&key))))
    }

    /// One slice's record.
    pub async fn slice(&self, dataset: &str, run_id: &str, index: u32) -> Result<Option<Stamped<SliceRecord>>> {
        self.read(&keys::slice(dataset, run_id, index)).await
    }

    /// Records a slice. `Ok(true)` where the record that lies there now is this one.
    pub async fn record_slice(&self, dataset: &str, record: &SliceRecord) -> Result<bool> {
        self.put_once(&keys::slice(dataset, &record.run_id, record.slice), record).await
    }

    /// Takes a record back, so that its slice is made again; only if it still is the one read.
    pub async fn forget_slice(&self, dataset: &str, record: &Stamped<SliceRecord>) -> Result<()> {
        let key = keys::slice(dataset, &record.value.run_id, record.value.slice);
        self.sink.delete_if(&key, &record.etag).await?;
        Ok(())
    }

    /// The indices that are recorded, by one listing.
    pub async fn recorded(&self, dataset: &str, run_id: &str) -> Result<Vec<u32>> {
        let folder = keys::slices(dataset, run_id);
        let objects = list_all(self.sink.as_ref(), &folder).await?;
        let index = |key: &str| key.strip_prefix(&folder)?.strip_suffix(".json")?.parse().ok();
        Ok(objects.iter().filter_map(|object| index(&object.key)).collect())
    }

    /// All records of a run, by index.
    pub async fn slices(&self, dataset: &str, run_id: &str) -> Result<Vec<Stamped<SliceRecord>>> {
        let indices = self.recorded(dataset, run_id).await?;
        let reads = indices.into_iter().map(|index| self.slice(dataset, run_id, index));
        let records: Vec<_> =
            stream::iter(reads.map(FutureExt::boxed).collect::<Vec<_>>()).buffered(READS_AT_ONCE).try_collect().await?;
        Ok(records.into_iter().flatten().collect())
    }

    /// The run's outcome.
    pub async fn outcome(&self, dataset: &str, run_id: &str) -> Result<Option<Outcome>> {
        Ok(self.read(&keys::outcome(dataset, run_id)).await?.map(|outcome| outcome.value))
    }

    /// Writes the outcome unless the run has one, and answers the one it has.
    pub async fn settle_outcome(&self, outcome: Outcome) -> Result<Outcome> {
        let key = keys::outcome(&outcome.run.dataset, &outcome.run.run_id);
        if self.put_once(&key, &outcome).await? {
            return Ok(outcome);
        }
        let there = self.outcome(&outcome.run.dataset, &outcome.run.run_id).await?;
        there.ok_or_else(|| Error::Internal(format!("{}: an outcome vanished", self.sink.uri(&key))))
    }

    /// A source's pointer.
    pub async fn pointer(&self, dataset: &str, bucket: &str, key: &str) -> Result<Option<Stamped<Pointer>>> {
        self.read(&keys::pointer(dataset, bucket, key)).await
    }

    /// The pointers of all of a dataset's sources.
    pub async fn pointers(&self, dataset: &str) -> Result<Vec<Stamped<Pointer>>> {
        let objects = list_all(self.sink.as_ref(), &keys::pointers(dataset)).await?;
        let reads = objects.iter().map(|object| self.read::<Pointer>(&object.key));
        let pointers: Vec<_> =
            stream::iter(reads.map(FutureExt::boxed).collect::<Vec<_>>()).buffered(READS_AT_ONCE).try_collect().await?;
        Ok(pointers.into_iter().flatten().collect())
    }

    /// Swaps the pointer: the new ETag, or `None` where another writer was first.
    pub async fn swap_pointer(&self, etag: Option<&str>, pointer: &Pointer) -> Result<Option<String>> {
        let key = keys::pointer(&pointer.dataset, &pointer.bucket, &pointer.key);
        self.swap(&key, etag, pointer).await
    }

    /// Opens a run, unless it is open: the marker that lies there now. `None` where the run was closed meanwhile.
    pub async fn open(&self, run: &Run, now_ms: i64) -> Result<Option<Stamped<Open>>> {
        let value = Open {
            format: FORMAT,
            run: run.clone(),
            sent: false,
            opened_at_ms: now_ms,
            progress_at_ms: now_ms,
            recorded: 0,
            restarts: 0,
        };
        match self.swap(&keys::open(&run.run_id), None, &value).await? {
            Some(etag) => Ok(Some(Stamped { value, etag })),
            None => self.open_run(&run.run_id).await,
        }
    }

    /// One marker.
    pub async fn open_run(&self, run_id: &str) -> Result<Option<Stamped<Open>>> {
        self.read(&keys::open(run_id)).await
    }

    /// Every unfinished run.
    pub async fn open_runs(&self) -> Result<Vec<Stamped<Open>>> {
        let objects = list_all(self.sink.as_ref(), keys::OPEN).await?;
        let reads = objects.iter().map(|object| self.read::<Open>(&object.key));
        let runs: Vec<_> =
            stream::iter(reads.map(FutureExt::boxed).collect::<Vec<_>>()).buffered(READS_AT_ONCE).try_collect().await?;
        Ok(runs.into_iter().flatten().collect())
    }

    /// Notes a sweep's finding on a marker; `Ok(false)` where another sweep was first or the run was closed.
    pub async fn touch(&self, open: &Stamped<Open>, value: &Open) -> Result<bool> {
        Ok(self.swap(&keys::open(&value.run.run_id), Some(&open.etag), value).await?.is_some())
    }

    /// Closes a run's marker: the last thing that happens to a run.
    pub async fn close(&self, run_id: &str) -> Result<()> {
        Ok(self.sink.delete(&keys::open(run_id)).await?)
    }

    /// Keeps a dataset file under its hash, for the runs pinned to it.
    pub async fn keep_config(&self, dataset: &Dataset) -> Result<()> {
        let bytes = Bytes::copy_from_slice(dataset.text.as_bytes());
        self.sink.put_if(&keys::config(&dataset.hash), PutIf::Absent, bytes).await?;
        Ok(())
    }

    /// The dataset file that a run is pinned to.
    pub async fn config(&self, hash: &str) -> Result<Dataset> {
        let key = keys::config(hash);
        let uri = self.sink.uri(&key);
        let Some(object) = self.sink.get(&key, MAX_OBJECT_BYTES).await? else {
            return Err(Error::Format {
                what: uri,
                problem: "the dataset file that the run is pinned to is gone".into(),
            });
        };
        self.dataset_of(&uri, &object.bytes)
    }

    /// Applies a dataset file: from now on the checker uses it.
    pub async fn apply(&self, dataset: &Dataset) -> Result<()> {
        let bytes = Bytes::copy_from_slice(dataset.text.as_bytes());
        self.sink.put(&keys::dataset(&dataset.spec.name), bytes).await?;
        Ok(())
    }

    /// One dataset as applied.
    pub async fn dataset(&self, name: &str) -> Result<Option<Dataset>> {
        let key = keys::dataset(name);
        let Some(object) = self.sink.get(&key, MAX_OBJECT_BYTES).await? else { return Ok(None) };
        Ok(Some(self.dataset_of(&self.sink.uri(&key), &object.bytes)?))
    }

    /// Every dataset applied, by name. A file that is wrong comes as its error: it must not stop the others.
    pub async fn datasets(&self) -> Result<Vec<(String, Result<Dataset>)>> {
        let mut datasets = Vec::new();
        for object in list_all(self.sink.as_ref(), keys::DATASETS).await? {
            let name = object.key.strip_prefix(keys::DATASETS).and_then(|file| file.strip_suffix(".toml"));
            let Some(name) = name else { continue };
            let Some(read) = self.sink.get(&object.key, MAX_OBJECT_BYTES).await? else { continue };
            datasets.push((name.to_owned(), self.dataset_of(&self.sink.uri(&object.key), &read.bytes)));
        }
        Ok(datasets)
    }

    fn dataset_of(&self, uri: &str, bytes: &[u8]) -> Result<Dataset> {
        let text = std::str::from_utf8(bytes).map_err(|error| Error::Dataset(format!("{uri}: {error}")))?;
        let parsed = || self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut dataset) = parsed().get(text).cloned() {
            uri.clone_into(&mut dataset.origin);
            return Ok(dataset);
        }
        let dataset = Dataset::parse(text, uri)?;
        let mut known = parsed();
        if known.len() >= MAX_PARSED {
            known.clear();
        }
        known.insert(text.to_owned(), dataset.clone());
        Ok(dataset)
    }

    /// All run ids of a dataset, by listing the ledger: for people, never on the path of a run.
    pub async fn run_ids(&self, dataset: &str) -> Result<Vec<String>> {
        let folder = format!("{}{dataset}/", keys::RUNS);
        let objects = list_all(self.sink.as_ref(), &folder).await?;
        let mut ids: Vec<String> = objects
            .iter()
            .filter_map(|object| object.key.strip_prefix(&folder)?.split('/').next().map(str::to_owned))
            .collect();
        ids.dedup();
        Ok(ids)
    }
}

fn encode<T: Serialize>(key: &str, value: &T) -> Result<Bytes> {
    let bytes = serde_json::to_vec(value).map_err(|error| Error::Internal(format!("{key}: {error}")))?;
    Ok(Bytes::from(bytes))
}

/// Parses a ledger object or a message, whose `format` must be one that this version reads.
pub(crate) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    parse_up_to(FORMAT, what, bytes)
}

/// [`parse`] for an object that has newer formats than others.
fn parse_up_to<T: DeserializeOwned>(newest: u32, what: &str, bytes: &[u8]) -> Result<T> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: Option<u32>,
    }
    // What this version wrote says so at its very beginning, and need not be read twice.
    if let Some(current) = bytes.strip_prefix(b"{\"format\":1,").and_then(|_| serde_json::from_slice(bytes).ok()) {
        return Ok(current);
    }
    let wrong = |problem: String| Error::Format { what: what.to_owned(), problem };
    let head: Head = serde_json::from_slice(bytes).map_err(|error| wrong(format!("not a JSON object: {error}")))?;
    match head.format {
        Some(format) if (FORMAT..=newest).contains(&format) => {
            serde_json::from_slice(bytes).map_err(|error| wrong(format!("not as format {format}: {error}")))
        }
        Some(other) => Err(wrong(format!(
            "format {other}, and this version reads format {newest}: deploy the version that wrote it, or a newer one"
        ))),
        None => Err(wrong("no `format` field: not written by Rowmill".to_owned())),
    }
}
