//! A storage whose every operation is a turn, and may fail before its effect or after it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use super::dice::Dice;
use super::reader::Reader;
use crate::storage::{
    AbortOutcome, CompleteOutcome, DeleteOutcome, MemoryStorage, Object, ObjectMeta, ObjectVersion, Page, PutIf,
    PutOutcome, Storage, StorageError, StorageResult, Stores, UploadedPart,
};

/// The versions of the one source, newest last.
pub type Versions = Arc<Mutex<Vec<ObjectMeta>>>;

#[derive(Debug)]
pub struct Faulty {
    pub inner: Arc<MemoryStorage>,
    pub dice: Dice,
    /// Watches the sink; the source bucket has none.
    pub reader: Option<Arc<Reader>>,
    /// Where set, look-ups answer the newest of these.
    pub versions: Option<Versions>,
}

impl Faulty {
    fn failed(&self, operation: &'static str, key: &str) -> StorageError {
        StorageError::Failed { operation, uri: self.uri(key), problem: "injected".to_owned() }
    }

    /// The turn; an error where the operation fails before its effect.
    async fn turn(&self, operation: &'static str, key: &str) -> StorageResult<()> {
        self.dice.turn().await;
        if self.dice.hits(self.dice.odds().fails_before) {
            self.dice.count("failed before its effect");
            if operation == "abort_upload" {
                // A processor that fails aborts as well as it can, and no better.
                let mut state = self.dice.state();
                let task = state.task;
                state.died.insert(task);
            }
            self.dice.note(format!("{operation} {key}: FAILED BEFORE"));
            return Err(self.failed(operation, key));
        }
        Ok(())
    }

    /// The reply, unless it is lost.
    fn reply<T: std::fmt::Debug>(
        &self,
        operation: &'static str,
        key: &str,
        reply: StorageResult<T>,
    ) -> StorageResult<T> {
        if let Some(reader) = &self.reader {
            reader.look(operation, key);
        }
        if self.dice.hits(self.dice.odds().reply_lost) {
            self.dice.count("reply lost after its effect");
            self.dice.note(format!("{operation} {key}: REPLY LOST"));
            return Err(self.failed(operation, key));
        }
        let short = |key: &str| key.replace("_rowmill/", "").replace("runs/trips/", "");
        let told: String = format!("{reply:?}").chars().take(60).collect();
        if !matches!(operation, "get" | "list") {
            self.dice.note(format!("{operation} {}: {told}", short(key)));
        }
        reply
    }

    /// What an upload that is not open any more answers: S3 remembers a completion for a while.
    fn forgets(&self) -> bool {
        self.dice.hits(300)
    }
}

#[async_trait]
impl Storage for Faulty {
    fn uri(&self, key: &str) -> String {
        self.inner.uri(key)
    }

    async fn head(&self, key: &str) -> StorageResult<Option<ObjectMeta>> {
        self.turn("head", key).await?;
        let found = match &self.versions {
            Some(versions) => versions.lock().unwrap().last().cloned(),
            None => self.inner.head(key).await?,
        };
        // A delete marker is a version of no bytes.
        self.reply("head", key, Ok(found.filter(|meta| meta.size > 0)))
    }

    async fn get(&self, key: &str, max_bytes: u64) -> StorageResult<Option<Object>> {
        self.turn("get", key).await?;
        self.reply("get", key, self.inner.get(key, max_bytes).await)
    }

    async fn get_range(&self, key: &str, version: &ObjectVersion, _range: Range<u64>) -> StorageResult<Bytes> {
        self.turn("get_range", key).await?;
        let versions = self.versions.as_ref().unwrap().lock().unwrap().clone();
        let there = versions.iter().find(|meta| meta.version == *version && meta.size > 0);
        let newest = versions.last().filter(|meta| meta.size > 0);
        let uri = self.uri(key);
        let read = match (there, newest) {
            (Some(_), _) if version.version_id.is_some() => Ok(Bytes::new()),
            (_, Some(newest)) if newest.version.etag == version.etag => Ok(Bytes::new()),
            (_, Some(_)) if version.version_id.is_none() => Err(StorageError::Changed { uri }),
            _ => Err(StorageError::NotFound { uri }),
        };
        self.reply("get_range", key, read)
    }

    async fn list(&self, prefix: &str, next: Option<&str>) -> StorageResult<Page> {
        self.turn("list", prefix).await?;
        self.reply("list", prefix, self.inner.list(prefix, next).await)
    }

    async fn put(&self, key: &str, bytes: Bytes) -> StorageResult<String> {
        self.turn("put", key).await?;
        self.reply("put", key, self.inner.put(key, bytes).await)
    }

    async fn put_if(&self, key: &str, condition: PutIf<'_>, bytes: Bytes) -> StorageResult<PutOutcome> {
        self.turn("put_if", key).await?;
        let outcome = self.inner.put_if(key, condition, bytes).await;
        if matches!(outcome, Ok(PutOutcome::Lost)) {
            self.dice.count("lost a condition");
        }
        self.reply("put_if", key, outcome)
    }

    async fn delete(&self, key: &str) -> StorageResult<()> {
        self.turn("delete", key).await?;
        self.reply("delete", key, self.inner.delete(key).await)
    }

    async fn delete_if(&self, key: &str, etag: &str) -> StorageResult<DeleteOutcome> {
        self.turn("delete_if", key).await?;
        let outcome = self.inner.delete_if(key, etag).await;
        if matches!(outcome, Ok(DeleteOutcome::Changed)) {
            self.dice.count("kept from deleting another run's object");
        }
        self.reply("delete_if", key, outcome)
    }

    async fn begin_upload(&self, key: &str, metadata: &BTreeMap<String, String>) -> StorageResult<String> {
        self.turn("begin_upload", key).await?;
        let id = self.inner.begin_upload(key, metadata).await?;
        let mut state = self.dice.state();
        let task = state.task;
        state.owners.insert(id.clone(), task);
        drop(state);
        self.reply("begin_upload", key, Ok(id))
    }

    async fn put_part(&self, key: &str, upload_id: &str, number: u32, bytes: Bytes) -> StorageResult<UploadedPart> {
        self.turn("put_part", key).await?;
        self.reply("put_part", key, self.inner.put_part(key, upload_id, number, bytes).await)
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[UploadedPart],
    ) -> StorageResult<CompleteOutcome> {
        self.turn("complete_upload", key).await?;
        if !self.inner.upload_is_open(key, upload_id).await? && self.forgets() {
            self.dice.count("completed long ago");
            return self.reply("complete_upload", key, Ok(CompleteOutcome::Gone));
        }
        let outcome = self.inner.complete_upload(key, upload_id, parts).await;
        if matches!(outcome, Ok(CompleteOutcome::Gone)) {
            self.dice.count("found an upload gone");
        }
        self.reply("complete_upload", key, outcome)
    }

    async fn abort_upload(&self, key: &str, upload_id: &str) -> StorageResult<AbortOutcome> {
        self.turn("abort_upload", upload_id).await?;
        self.reply("abort_upload", &format!("{upload_id} {key}"), self.inner.abort_upload(key, upload_id).await)
    }

    async fn upload_is_open(&self, key: &str, upload_id: &str) -> StorageResult<bool> {
        self.turn("upload_is_open", key).await?;
        self.reply("upload_is_open", key, self.inner.upload_is_open(key, upload_id).await)
    }

    async fn made_by(&self, key: &str, upload_id: &str, name: &str, value: &str) -> StorageResult<Option<String>> {
        self.turn("made_by", key).await?;
        self.reply("made_by", key, self.inner.made_by(key, upload_id, name, value).await)
    }
}

/// The one source bucket.
#[derive(Debug)]
pub struct Buckets(pub Arc<Faulty>);

#[async_trait]
impl Stores for Buckets {
    async fn open(&self, _bucket: &str) -> StorageResult<Arc<dyn Storage>> {
        Ok(Arc::clone(&self.0) as Arc<dyn Storage>)
    }
}
