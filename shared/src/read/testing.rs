//! One file in memory that remembers which of its bytes were read.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use super::SourceFile;
use crate::storage::{
    AbortOutcome, CompleteOutcome, DeleteOutcome, Object, ObjectMeta, ObjectVersion, Page, PutIf, PutOutcome, Storage,
    StorageError, StorageResult, UploadedPart,
};

/// A storage of one object; ranged reads are all it can do.
pub(crate) struct OneFile {
    bytes: Bytes,
    reads: Mutex<Vec<Range<u64>>>,
    /// The read from which on another version lies there.
    pub changes_at_read: Option<usize>,
}

impl fmt::Debug for OneFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OneFile({} bytes)", self.bytes.len())
    }
}

impl OneFile {
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), reads: Mutex::default(), changes_at_read: None }
    }

    /// The file as a source.
    pub fn source(self) -> (Arc<Self>, SourceFile) {
        let size = self.bytes.len() as u64;
        let storage = Arc::new(self);
        let version = ObjectVersion { version_id: None, etag: "e1".to_owned(), last_modified_ms: 0 };
        let source = SourceFile { storage: storage.clone(), key: "in/a file.parquet".to_owned(), version, size };
        (storage, source)
    }

    /// What was read since the last call, in order of begin.
    pub fn take_reads(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.reads.lock().unwrap())
    }
}

fn refused<T>(operation: &'static str) -> StorageResult<T> {
    Err(StorageError::Failed { operation, uri: "test://".to_owned(), problem: "a file to read".to_owned() })
}

#[async_trait]
impl Storage for OneFile {
    fn uri(&self, key: &str) -> String {
        format!("test://bucket/{key}")
    }

    async fn get_range(&self, key: &str, _: &ObjectVersion, range: Range<u64>) -> StorageResult<Bytes> {
        tokio::task::yield_now().await;
        let mut reads = self.reads.lock().unwrap();
        reads.push(range.clone());
        if self.changes_at_read.is_some_and(|at| reads.len() > at) {
            return Err(StorageError::Changed { uri: self.uri(key) });
        }
        Ok(self.bytes.slice(range.start as usize..range.end as usize))
    }

    async fn head(&self, _: &str) -> StorageResult<Option<ObjectMeta>> {
        refused("head")
    }
    async fn get(&self, _: &str, _: u64) -> StorageResult<Option<Object>> {
        refused("get")
    }
    async fn list(&self, _: &str, _: Option<&str>) -> StorageResult<Page> {
        refused("list")
    }
    async fn put(&self, _: &str, _: Bytes) -> StorageResult<String> {
        refused("put")
    }
    async fn put_if(&self, _: &str, _: PutIf<'_>, _: Bytes) -> StorageResult<PutOutcome> {
        refused("put_if")
    }
    async fn delete(&self, _: &str) -> StorageResult<()> {
        refused("delete")
    }
    async fn delete_if(&self, _: &str, _: &str) -> StorageResult<DeleteOutcome> {
        refused("delete_if")
    }
    async fn begin_upload(&self, _: &str, _: &BTreeMap<String, String>) -> StorageResult<String> {
        refused("begin_upload")
    }
    async fn put_part(&self, _: &str, _: &str, _: u32, _: Bytes) -> StorageResult<UploadedPart> {
        refused("put_part")
    }
    async fn complete_upload(&self, _: &str, _: &str, _: &[UploadedPart]) -> StorageResult<CompleteOutcome> {
        refused("complete_upload")
    }
    async fn abort_upload(&self, _: &str, _: &str) -> StorageResult<AbortOutcome> {
        refused("abort_upload")
    }
    async fn upload_is_open(&self, _: &str, _: &str) -> StorageResult<bool> {
        refused("upload_is_open")
    }
    async fn made_by(&self, _: &str, _: &str, _: &str, _: &str) -> StorageResult<Option<String>> {
        refused("made_by")
    }
}
