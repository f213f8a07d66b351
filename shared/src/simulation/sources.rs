//! The source bucket: objects without bytes, each with its versions.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::dice::Dice;
use crate::storage::{
    AbortOutcome, CompleteOutcome, DeleteOutcome, Object, ObjectMeta, ObjectVersion, Page, PutIf, PutOutcome, Storage,
    StorageError, StorageResult, Stores, UploadedPart,
};

/// The bucket's name.
pub const BUCKET: &str = "s3://source";

/// Versions by key, newest last. A delete marker is a version of no bytes.
pub type Versions = BTreeMap<&'static str, Vec<ObjectMeta>>;

#[derive(Debug)]
pub struct Sources {
    dice: Dice,
    versions: Mutex<Versions>,
}

impl Sources {
    pub fn new(dice: &Dice) -> Self {
        Self { dice: dice.clone(), versions: Mutex::default() }
    }

    pub fn versions(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest version, unless the object is deleted.
    pub fn newest(&self, key: &str) -> Option<ObjectMeta> {
        self.versions().get(key)?.last().filter(|meta| meta.size > 0).cloned()
    }

    async fn turn(&self, operation: &'static str, key: &str) -> StorageResult<()> {
        self.dice.turn(None).await;
        if self.dice.hits(self.dice.odds().fails_before) {
            self.dice.count("operation failed");
            self.dice.note(|| format!("source {operation} {key}: FAILED"));
            return Err(StorageError::Failed { operation, uri: self.uri(key), problem: "injected".to_owned() });
        }
        Ok(())
    }
}

/// Nobody writes a source bucket.
fn read_only<T>() -> StorageResult<T> {
    Err(StorageError::Failed { operation: "write", uri: BUCKET.to_owned(), problem: "a source is read only".into() })
}

#[async_trait]
impl Storage for Sources {
    fn uri(&self, key: &str) -> String {
        format!("{BUCKET}/{key}")
    }

    async fn head(&self, key: &str) -> StorageResult<Option<ObjectMeta>> {
        self.turn("head", key).await?;
        Ok(self.newest(key))
    }

    async fn get_range(&self, key: &str, version: &ObjectVersion, _range: Range<u64>) -> StorageResult<Bytes> {
        self.turn("get_range", key).await?;
        let newest = self.newest(key);
        let versions = self.versions();
        let mut all = versions.get(key).into_iter().flatten();
        let is_there = all.any(|meta| meta.version == *version && meta.size > 0);
        let uri = self.uri(key);
        match newest {
            _ if is_there && version.version_id.is_some() => Ok(Bytes::new()),
            Some(newest) if newest.version.etag == version.etag => Ok(Bytes::new()),
            Some(_) if version.version_id.is_none() => Err(StorageError::Changed { uri }),
            _ => Err(StorageError::NotFound { uri }),
        }
    }

    async fn list(&self, prefix: &str, _next: Option<&str>) -> StorageResult<Page> {
        self.turn("list", prefix).await?;
        let newest = |key: &&str| self.newest(key);
        let keys: Vec<&'static str> = self.versions().keys().copied().collect();
        let objects = keys.iter().filter(|key| key.starts_with(prefix)).filter_map(newest);
        let listed = objects.map(|mut meta| {
            meta.version.version_id = None;
            meta
        });
        // A file that no dataset wants: without it, a bucket whose sources are all gone would list nothing.
        let version = ObjectVersion { version_id: None, etag: "R".into(), last_modified_ms: 0 };
        let other = ObjectMeta { key: format!("{prefix}README"), size: 1, version, metadata: BTreeMap::new() };
        Ok(Page { objects: listed.chain([other]).collect(), next: None })
    }

    async fn get(&self, _key: &str, _max_bytes: u64) -> StorageResult<Option<Object>> {
        read_only()
    }

    async fn put(&self, _key: &str, _bytes: Bytes) -> StorageResult<String> {
        read_only()
    }

    async fn put_if(&self, _key: &str, _condition: PutIf<'_>, _bytes: Bytes) -> StorageResult<PutOutcome> {
        read_only()
    }

    async fn delete(&self, _key: &str) -> StorageResult<()> {
        read_only()
    }

    async fn delete_if(&self, _key: &str, _etag: &str) -> StorageResult<DeleteOutcome> {
        read_only()
    }

    async fn begin_upload(&self, _key: &str, _metadata: &BTreeMap<String, String>) -> StorageResult<String> {
        read_only()
    }

    async fn put_part(&self, _key: &str, _id: &str, _number: u32, _bytes: Bytes) -> StorageResult<UploadedPart> {
        read_only()
    }

    async fn complete_upload(&self, _key: &str, _id: &str, _parts: &[UploadedPart]) -> StorageResult<CompleteOutcome> {
        read_only()
    }

    async fn abort_upload(&self, _key: &str, _id: &str) -> StorageResult<AbortOutcome> {
        read_only()
    }

    async fn upload_is_open(&self, _key: &str, _id: &str) -> StorageResult<bool> {
        Ok(false)
    }

    async fn made_by(&self, _key: &str, _id: &str, _name: &str, _value: &str) -> StorageResult<Option<String>> {
        Ok(None)
    }
}

/// The one source bucket.
#[derive(Debug)]
pub struct Buckets(pub Arc<Sources>);

#[async_trait]
impl Stores for Buckets {
    async fn open(&self, _bucket: &str) -> StorageResult<Arc<dyn Storage>> {
        Ok(Arc::clone(&self.0) as Arc<dyn Storage>)
    }
}
