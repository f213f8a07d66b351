//! The sink: a storage whose every operation is a turn, and may fail before its effect or after it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::dice::Dice;
use super::reader::Reader;
use super::steps;
use crate::ledger::keys;
use crate::storage::{
    AbortOutcome, CompleteOutcome, DeleteOutcome, MemoryStorage, Object, ObjectMeta, ObjectVersion, Page, PutIf,
    PutOutcome, Storage, StorageError, StorageResult, UploadedPart,
};

#[derive(Debug)]
pub struct Faulty {
    pub inner: Arc<MemoryStorage>,
    pub dice: Dice,
    pub reader: Arc<Reader>,
}

impl Faulty {
    fn failed(&self, operation: &'static str, key: &str) -> StorageError {
        StorageError::Failed { operation, uri: self.uri(key), problem: "injected".to_owned() }
    }

    /// The turn; an error where the operation fails before its effect.
    async fn turn(&self, operation: &'static str, key: &str, step: Option<&'static str>) -> StorageResult<()> {
        self.dice.turn(step).await;
        if self.dice.hits(self.dice.odds().fails_before) {
            self.dice.count("operation failed");
            if operation == "abort_upload" {
                // A processor that fails aborts as well as it can, and no better.
                let mut state = self.dice.state();
                let task = state.task;
                state.died.insert(task);
            }
            self.dice.note(|| format!("{operation} {key}: FAILED BEFORE"));
            return Err(self.failed(operation, key));
        }
        Ok(())
    }

    /// The reply, unless it is lost.
    fn reply<T: std::fmt::Debug>(
        &self,
        operation: &'static str,
        key: &str,
        step: Option<&'static str>,
        reply: StorageResult<T>,
    ) -> StorageResult<T> {
        if let Some(step) = step {
            self.dice.had(step);
        }
        if self.dice.hits(self.dice.odds().reply_lost) {
            self.dice.count("reply lost");
            self.dice.note(|| format!("{operation} {key}: REPLY LOST"));
            return Err(self.failed(operation, key));
        }
        if !matches!(operation, "get" | "list") {
            self.dice.note(|| {
                let told: String = format!("{reply:?}").chars().take(60).collect();
                let step = step.unwrap_or_default();
                format!("{operation} {}: {step}: {told}", key.replace("_rowmill/", "").replace("runs/trips/", ""))
            });
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
        self.turn("head", key, None).await?;
        self.reply("head", key, None, self.inner.head(key).await)
    }

    async fn get(&self, key: &str, max_bytes: u64) -> StorageResult<Option<Object>> {
        self.turn("get", key, None).await?;
        self.reply("get", key, None, self.inner.get(key, max_bytes).await)
    }

    async fn get_range(&self, key: &str, version: &ObjectVersion, range: Range<u64>) -> StorageResult<Bytes> {
        self.turn("get_range", key, None).await?;
        self.reply("get_range", key, None, self.inner.get_range(key, version, range).await)
    }

    async fn list(&self, prefix: &str, next: Option<&str>) -> StorageResult<Page> {
        self.turn("list", prefix, None).await?;
        self.reply("list", prefix, None, self.inner.list(prefix, next).await)
    }

    async fn put(&self, key: &str, bytes: Bytes) -> StorageResult<String> {
        self.turn("put", key, None).await?;
        self.reply("put", key, None, self.inner.put(key, bytes).await)
    }

    async fn put_if(&self, key: &str, condition: PutIf<'_>, bytes: Bytes) -> StorageResult<PutOutcome> {
        let step = match key.starts_with(keys::SOURCES) {
            true => self.reader.swap(key, &bytes),
            false => steps::put(key, matches!(condition, PutIf::Matches(_))),
        };
        self.turn("put_if", key, Some(step)).await?;
        let outcome = self.inner.put_if(key, condition, bytes.clone()).await;
        match &outcome {
            Ok(PutOutcome::Written { .. }) => self.reader.written(key, &bytes),
            _ => self.dice.count("condition lost"),
        }
        self.reply("put_if", key, Some(step), outcome)
    }

    async fn delete(&self, key: &str) -> StorageResult<()> {
        let step = Some(steps::delete(key));
        self.turn("delete", key, step).await?;
        let outcome = self.inner.delete(key).await;
        self.reader.deleted(key);
        self.reply("delete", key, step, outcome)
    }

    async fn delete_if(&self, key: &str, etag: &str) -> StorageResult<DeleteOutcome> {
        let step = Some(steps::delete(key));
        self.turn("delete_if", key, step).await?;
        let outcome = self.inner.delete_if(key, etag).await;
        match outcome {
            Ok(DeleteOutcome::Deleted) => self.reader.deleted(key),
            Ok(DeleteOutcome::Changed) => self.dice.count("kept from deleting another run's object"),
            _ => {}
        }
        self.reply("delete_if", key, step, outcome)
    }

    async fn begin_upload(&self, key: &str, metadata: &BTreeMap<String, String>) -> StorageResult<String> {
        let step = Some(steps::upload(key, "begin part", "begin quarantine"));
        self.turn("begin_upload", key, step).await?;
        let id = self.inner.begin_upload(key, metadata).await?;
        let mut state = self.dice.state();
        let task = state.task;
        state.owners.insert(id.clone(), task);
        drop(state);
        self.reply("begin_upload", key, step, Ok(id))
    }

    async fn put_part(&self, key: &str, upload_id: &str, number: u32, bytes: Bytes) -> StorageResult<UploadedPart> {
        let step = Some("put upload part");
        self.turn("put_part", key, step).await?;
        self.reply("put_part", key, step, self.inner.put_part(key, upload_id, number, bytes).await)
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[UploadedPart],
    ) -> StorageResult<CompleteOutcome> {
        let step = Some(steps::upload(key, "complete part", "complete quarantine"));
        self.turn("complete_upload", key, step).await?;
        let is_open = self.inner.upload_is_open(key, upload_id).await?;
        if !is_open && self.forgets() {
            self.dice.count("completed long ago");
            return self.reply("complete_upload", key, step, Ok(CompleteOutcome::Gone));
        }
        let outcome = self.inner.complete_upload(key, upload_id, parts).await;
        match &outcome {
            Ok(CompleteOutcome::Gone) => self.dice.count("upload found gone"),
            Ok(CompleteOutcome::Completed { .. }) if is_open => self.reader.completed(key),
            _ => {}
        }
        self.reply("complete_upload", key, step, outcome)
    }

    async fn abort_upload(&self, key: &str, upload_id: &str) -> StorageResult<AbortOutcome> {
        let step = Some("abort upload");
        self.turn("abort_upload", upload_id, step).await?;
        self.reply("abort_upload", upload_id, step, self.inner.abort_upload(key, upload_id).await)
    }

    async fn upload_is_open(&self, key: &str, upload_id: &str) -> StorageResult<bool> {
        self.turn("upload_is_open", key, None).await?;
        self.reply("upload_is_open", key, None, self.inner.upload_is_open(key, upload_id).await)
    }

    async fn made_by(&self, key: &str, upload_id: &str, name: &str, value: &str) -> StorageResult<Option<String>> {
        self.turn("made_by", key, None).await?;
        self.reply("made_by", key, None, self.inner.made_by(key, upload_id, name, value).await)
    }
}
