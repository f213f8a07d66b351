//! Objects in memory, with S3's semantics: for tests and simulations.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{
    AbortOutcome, CompleteOutcome, DeleteOutcome, Object, ObjectMeta, ObjectVersion, Page, PutIf, PutOutcome, Storage,
    StorageError, StorageResult, Stores, UploadedPart, etag,
};
use crate::clock::Clock;

/// Keys a page of a listing holds at most, as on S3.
pub(crate) const PAGE_KEYS: usize = 1_000;
/// What S3 asks of every part but the last: 5 MiB.
const S3_MIN_PART_BYTES: usize = 5 * 1024 * 1024;
/// S3's highest part number.
const MAX_PART_NUMBER: u32 = 10_000;
/// S3's longest key, in bytes.
const MAX_KEY_BYTES: usize = 1_024;

/// One bucket in memory. ETags are hashes of the content (`hash-N` for uploads), times are whole seconds of the given
/// clock, there are no versions: what S3 gives in a bucket without versioning.
#[derive(Debug)]
pub struct MemoryStorage {
    bucket: String,
    clock: Arc<dyn Clock>,
    min_part_bytes: usize,
    state: Mutex<State>,
}

/// An upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenUpload {
    /// Where its object would lie.
    pub key: String,
    /// Its id.
    pub upload_id: String,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Stored>,
    uploads: BTreeMap<String, Upload>,
    /// Completed uploads: key and ETag by upload id, so that completing again answers the same.
    completed: BTreeMap<String, (String, String)>,
    uploads_begun: u64,
}

#[derive(Debug, Clone)]
struct Stored {
    bytes: Bytes,
    etag: String,
    last_modified_ms: i64,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Upload {
    key: String,
    metadata: BTreeMap<String, String>,
    parts: BTreeMap<u32, (String, Bytes)>,
}

impl MemoryStorage {
    /// An empty bucket of this name.
    pub fn new(bucket: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self { bucket: bucket.into(), clock, min_part_bytes: S3_MIN_PART_BYTES, state: Mutex::default() }
    }

    /// Takes parts of at least `bytes` instead of S3's 5 MiB, so that a test may upload many small ones.
    #[must_use]
    pub fn with_min_part_bytes(mut self, bytes: usize) -> Self {
        self.min_part_bytes = bytes;
        self
    }

    /// Every object, by key.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.state().objects.iter().map(|(key, stored)| (key.clone(), stored.bytes.clone())).collect()
    }

    /// One object's bytes.
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.state().objects.get(key).map(|stored| stored.bytes.clone())
    }

    /// Every upload that waits for its completion or abort, by key.
    pub fn open_uploads(&self) -> Vec<OpenUpload> {
        let state = self.state();
        let mut open: Vec<OpenUpload> = state
            .uploads
            .iter()
            .map(|(id, upload)| OpenUpload { key: upload.key.clone(), upload_id: id.clone() })
            .collect();
        open.sort();
        open
    }

    /// No method leaves the state half changed, so a poisoned lock still guards a whole one.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_whole_seconds_ms(&self) -> i64 {
        let now_ms = self.clock.now_ms();
        now_ms - now_ms.rem_euclid(1_000)
    }

    fn stored(&self, bytes: Bytes) -> Stored {
        let etag = etag::of_content(&bytes);
        Stored { bytes, etag, last_modified_ms: self.now_whole_seconds_ms(), metadata: BTreeMap::new() }
    }

    fn check_key(&self, key: &str) -> StorageResult<()> {
        let problem = if key.is_empty() {
            "a key is at least one byte".to_owned()
        } else if key.len() > MAX_KEY_BYTES {
            format!("the key has {} bytes, above the limit of {MAX_KEY_BYTES}", key.len())
        } else {
            return Ok(());
        };
        Err(StorageError::BadKey { uri: self.uri(key), problem })
    }

    fn failed(&self, operation: &'static str, key: &str, problem: impl Into<String>) -> StorageError {
        StorageError::Failed { operation, uri: self.uri(key), problem: problem.into() }
    }

    /// Joins the parts in the order given, or says which of S3's rules they break.
    fn assemble(&self, upload: &Upload, parts: &[UploadedPart]) -> Result<Bytes, String> {
        if parts.is_empty() {
            return Err("MalformedXML: a completion names at least one part".to_owned());
        }
        if !parts.is_sorted_by(|earlier, later| earlier.number < later.number) {
            return Err("InvalidPartOrder: parts are named in ascending order".to_owned());
        }
        let mut whole = BytesMut::new();
        for (position, part) in parts.iter().enumerate() {
            let Some((_, bytes)) = upload.parts.get(&part.number).filter(|(etag, _)| *etag == part.etag) else {
                return Err(format!("InvalidPart: no part {} with ETag {}", part.number, part.etag));
            };
            let is_last = position + 1 == parts.len();
            if !is_last && bytes.len() < self.min_part_bytes {
                return Err(format!(
                    "EntityTooSmall: part {} has {} bytes, below the {} that all but the last have",
                    part.number,
                    bytes.len(),
                    self.min_part_bytes
                ));
            }
            whole.extend_from_slice(bytes);
        }
        Ok(whole.freeze())
    }
}

impl Stored {
    fn meta(&self, key: &str) -> ObjectMeta {
        ObjectMeta { metadata: self.metadata.clone(), ..self.listed(key) }
    }

    fn listed(&self, key: &str) -> ObjectMeta {
        ObjectMeta {
            key: key.to_owned(),
            size: self.bytes.len() as u64,
            version: ObjectVersion {
                version_id: None,
                etag: self.etag.clone(),
                last_modified_ms: self.last_modified_ms,
            },
            metadata: BTreeMap::new(),
        }
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn uri(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    async fn head(&self, key: &str) -> StorageResult<Option<ObjectMeta>> {
        self.check_key(key)?;
        Ok(self.state().objects.get(key).map(|stored| stored.meta(key)))
    }

    async fn get(&self, key: &str, max_bytes: u64) -> StorageResult<Option<Object>> {
        self.check_key(key)?;
        let Some(stored) = self.state().objects.get(key).cloned() else {
            return Ok(None);
        };
        let meta = stored.meta(key);
        if meta.size > max_bytes {
            return Err(self.failed("get", key, super::too_large(meta.size, max_bytes)));
        }
        Ok(Some(Object { meta, bytes: stored.bytes }))
    }

    async fn get_range(&self, key: &str, version: &ObjectVersion, range: Range<u64>) -> StorageResult<Bytes> {
        self.check_key(key)?;
        let Some(stored) = self.state().objects.get(key).cloned() else {
            return Err(StorageError::NotFound { uri: self.uri(key) });
        };
        if stored.etag != version.etag {
            return Err(StorageError::Changed { uri: self.uri(key) });
        }
        let size = stored.bytes.len();
        match (usize::try_from(range.start), usize::try_from(range.end)) {
            (Ok(start), Ok(end)) if start <= end && end <= size => Ok(stored.bytes.slice(start..end)),
            _ => Err(self.failed("get_range", key, super::beyond_end(&range, size as u64))),
        }
    }

    async fn list(&self, prefix: &str, next: Option<&str>) -> StorageResult<Page> {
        let start = match next {
            Some(last) if last >= prefix => Bound::Excluded(last),
            _ => Bound::Included(prefix),
        };
        let state = self.state();
        let mut matching = state
            .objects
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, stored)| stored.listed(key));
        let objects: Vec<ObjectMeta> = matching.by_ref().take(PAGE_KEYS).collect();
        let next = matching.next().and_then(|_| objects.last()).map(|last| last.key.clone());
        Ok(Page { objects, next })
    }

    async fn put(&self, key: &str, bytes: Bytes) -> StorageResult<String> {
        self.check_key(key)?;
        let stored = self.stored(bytes);
        let etag = stored.etag.clone();
        self.state().objects.insert(key.to_owned(), stored);
        Ok(etag)
    }

    async fn put_if(&self, key: &str, condition: PutIf<'_>, bytes: Bytes) -> StorageResult<PutOutcome> {
        self.check_key(key)?;
        let stored = self.stored(bytes);
        let etag = stored.etag.clone();
        let mut state = self.state();
        let holds = match (condition, state.objects.get(key)) {
            (PutIf::Absent, present) => present.is_none(),
            (PutIf::Matches(expected), present) => present.is_some_and(|present| present.etag == expected),
        };
        if !holds {
            return Ok(PutOutcome::Lost);
        }
        state.objects.insert(key.to_owned(), stored);
        Ok(PutOutcome::Written { etag })
    }

    async fn delete(&self, key: &str) -> StorageResult<()> {
        self.check_key(key)?;
        self.state().objects.remove(key);
        Ok(())
    }

    async fn delete_if(&self, key: &str, etag: &str) -> StorageResult<DeleteOutcome> {
        self.check_key(key)?;
        let mut state = self.state();
        match state.objects.get(key) {
            None => Ok(DeleteOutcome::Gone),
            Some(stored) if stored.etag != etag => Ok(DeleteOutcome::Changed),
            Some(_) => {
                state.objects.remove(key);
                Ok(DeleteOutcome::Deleted)
            }
        }
    }

    async fn begin_upload(&self, key: &str, metadata: &BTreeMap<String, String>) -> StorageResult<String> {
        self.check_key(key)?;
        let mut state = self.state();
        state.uploads_begun += 1;
        let upload_id = format!("upload-{:06}", state.uploads_begun);
        let upload = Upload { key: key.to_owned(), metadata: metadata.clone(), parts: BTreeMap::new() };
        state.uploads.insert(upload_id.clone(), upload);
        Ok(upload_id)
    }

    async fn put_part(&self, key: &str, upload_id: &str, number: u32, bytes: Bytes) -> StorageResult<UploadedPart> {
        if number == 0 || number > MAX_PART_NUMBER {
            return Err(self.failed("put_part", key, super::bad_part_number(number)));
        }
        let etag = etag::of_content(&bytes);
        let mut state = self.state();
        let Some(upload) = state.uploads.get_mut(upload_id).filter(|upload| upload.key == key) else {
            return Err(self.failed("put_part", key, super::NO_SUCH_UPLOAD));
        };
        upload.parts.insert(number, (etag.clone(), bytes));
        Ok(UploadedPart { number, etag })
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[UploadedPart],
    ) -> StorageResult<CompleteOutcome> {
        let mut state = self.state();
        if let Some((completed_key, etag)) = state.completed.get(upload_id) {
            let known = completed_key == key;
            return Ok(if known { CompleteOutcome::Completed { etag: etag.clone() } } else { CompleteOutcome::Gone });
        }
        let Some(upload) = state.uploads.get(upload_id).filter(|upload| upload.key == key) else {
            return Ok(CompleteOutcome::Gone);
        };
        let bytes = self.assemble(upload, parts).map_err(|problem| self.failed("complete_upload", key, problem))?;
        let etag = etag::of_parts(parts.iter().map(|part| part.etag.as_str()));
        let stored = Stored {
            bytes,
            etag: etag.clone(),
            last_modified_ms: self.now_whole_seconds_ms(),
            metadata: upload.metadata.clone(),
        };
        state.uploads.remove(upload_id);
        state.completed.insert(upload_id.to_owned(), (key.to_owned(), etag.clone()));
        state.objects.insert(key.to_owned(), stored);
        Ok(CompleteOutcome::Completed { etag })
    }

    async fn abort_upload(&self, key: &str, upload_id: &str) -> StorageResult<AbortOutcome> {
        let mut state = self.state();
        if state.completed.get(upload_id).is_some_and(|(completed_key, _)| completed_key == key) {
            // As S3 does for hours: who takes this for "never became an object" is to be found out here.
            return Ok(AbortOutcome::Aborted);
        }
        if state.uploads.get(upload_id).is_none_or(|upload| upload.key != key) {
            return Ok(AbortOutcome::Gone);
        }
        state.uploads.remove(upload_id);
        Ok(AbortOutcome::Aborted)
    }

    async fn upload_is_open(&self, key: &str, upload_id: &str) -> StorageResult<bool> {
        Ok(self.state().uploads.get(upload_id).is_some_and(|upload| upload.key == key))
    }

    async fn made_by(&self, key: &str, _upload_id: &str, name: &str, value: &str) -> StorageResult<Option<String>> {
        let meta = self.head(key).await?;
        Ok(meta
            .filter(|meta| meta.metadata.get(name).is_some_and(|found| found == value))
            .map(|meta| meta.version.etag))
    }
}

/// Buckets in memory, each made when it is first opened.
#[derive(Debug)]
pub struct MemoryStores {
    clock: Arc<dyn Clock>,
    min_part_bytes: usize,
    buckets: Mutex<BTreeMap<String, Arc<MemoryStorage>>>,
}

impl MemoryStores {
    /// No buckets yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, min_part_bytes: S3_MIN_PART_BYTES, buckets: Mutex::default() }
    }

    /// As [`MemoryStorage::with_min_part_bytes`], for every bucket made from now on.
    #[must_use]
    pub fn with_min_part_bytes(mut self, bytes: usize) -> Self {
        self.min_part_bytes = bytes;
        self
    }

    /// The bucket of this name, without `s3://`.
    pub fn bucket(&self, name: &str) -> Arc<MemoryStorage> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(name.to_owned()).or_insert_with(|| {
            let storage = MemoryStorage::new(name, Arc::clone(&self.clock));
            Arc::new(storage.with_min_part_bytes(self.min_part_bytes))
        });
        Arc::clone(bucket)
    }
}

#[async_trait]
impl Stores for MemoryStores {
    async fn open(&self, bucket: &str) -> StorageResult<Arc<dyn Storage>> {
        match bucket.strip_prefix("s3://").map(|name| name.trim_end_matches('/')) {
            Some(name) if !name.is_empty() && !name.contains('/') => Ok(self.bucket(name)),
            _ => Err(super::unknown_bucket(bucket, "s3://name")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[derive(Debug)]
    struct At(i64);
    impl Clock for At {
        fn now_ms(&self) -> i64 {
            self.0
        }
    }

    fn storage() -> MemoryStorage {
        MemoryStorage::new("b", Arc::new(SystemClock))
    }

    #[tokio::test]
    async fn times_are_whole_seconds_of_the_given_clock() {
        let storage = MemoryStorage::new("b", Arc::new(At(1_234_567)));
        storage.put("k", Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(storage.head("k").await.unwrap().unwrap().version.last_modified_ms, 1_234_000);
    }

    #[tokio::test]
    async fn a_small_part_before_the_last_is_refused_as_on_s3() {
        let storage = storage();
        let id = storage.begin_upload("k", &BTreeMap::new()).await.unwrap();
        let mut parts = Vec::new();
        for number in 1..=2 {
            parts.push(storage.put_part("k", &id, number, Bytes::from_static(b"small")).await.unwrap());
        }
        let error = storage.complete_upload("k", &id, &parts).await.unwrap_err().to_string();
        assert!(error.contains("EntityTooSmall"), "{error}");
        assert_eq!(storage.open_uploads().len(), 1, "a refused completion leaves the upload open");
    }

    #[tokio::test]
    async fn stores_answer_the_same_bucket_for_the_same_name() {
        let stores = MemoryStores::new(Arc::new(SystemClock));
        stores.open("s3://sink").await.unwrap().put("k", Bytes::from_static(b"x")).await.unwrap();
        assert!(stores.bucket("sink").objects().contains_key("k"));
        assert!(stores.open("file://").await.is_err());
    }
}
