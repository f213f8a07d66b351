//! A storage with failpoints.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Armed, Failpoints};
use crate::ledger::keys;
use crate::storage::{
    AbortOutcome, CompleteOutcome, DeleteOutcome, Object, ObjectMeta, ObjectVersion, Page, PutIf, PutOutcome, Storage,
    StorageError, StorageResult, UploadedPart,
};

/// A sink whose writes may fail. Its reads never do, but tell which source a run has.
#[derive(Debug)]
pub(super) struct FailingStorage {
    pub inner: Arc<dyn Storage>,
    pub failpoints: Arc<Failpoints>,
}

impl FailingStorage {
    fn armed(&self, point: Option<&str>, key: &str, body: &[u8]) -> Option<Armed> {
        let point = point?;
        self.failpoints.learn(body);
        let in_body = std::str::from_utf8(body).ok().and_then(|text| self.failpoints.armed(point, text));
        in_body.or_else(|| self.failpoints.armed(point, key))
    }
}

fn refuse(problem: String) -> StorageError {
    StorageError::Failed { operation: "failpoint", uri: String::new(), problem }
}

/// The point of a conditional put.
fn put_point(key: &str, condition: PutIf<'_>, body: &[u8]) -> Option<&'static str> {
    if key.starts_with(keys::OPEN) {
        return Some(if condition == PutIf::Absent { "open.put" } else { "open.touch" });
    }
    if key.starts_with(keys::SOURCES) {
        let pointer: serde_json::Value = serde_json::from_slice(body).ok()?;
        return Some(if pointer.get("claim")?.is_null() { "pointer.mark" } else { "pointer.claim" });
    }
    if key.starts_with(keys::NOTICES) {
        return Some(if condition == PutIf::Absent { "notice.put" } else { "notice.touch" });
    }
    match key.strip_prefix(keys::RUNS)? {
        key if key.ends_with("/plan.json") => Some("plan.put"),
        key if key.ends_with("/outcome.json") => Some("outcome.put"),
        key if key.ends_with("/notified.json") => Some("notified.put"),
        _ => Some("slice.put"),
    }
}

/// The point of a delete.
fn delete_point(key: &str) -> &'static str {
    if key.starts_with(keys::OPEN) {
        "open.delete"
    } else if key.starts_with(keys::NOTICES) {
        "notice.delete"
    } else if key.starts_with(keys::RUNS) {
        "slice.delete"
    } else {
        "part.delete"
    }
}

#[async_trait]
impl Storage for FailingStorage {
    fn uri(&self, key: &str) -> String {
        self.inner.uri(key)
    }

    async fn head(&self, key: &str) -> StorageResult<Option<ObjectMeta>> {
        self.inner.head(key).await
    }

    async fn get(&self, key: &str, max_bytes: u64) -> StorageResult<Option<Object>> {
        let object = self.inner.get(key, max_bytes).await?;
        if let Some(object) = &object {
            self.failpoints.learn(&object.bytes);
        }
        Ok(object)
    }

    async fn get_range(&self, key: &str, version: &ObjectVersion, range: Range<u64>) -> StorageResult<Bytes> {
        self.inner.get_range(key, version, range).await
    }

    async fn list(&self, prefix: &str, next: Option<&str>) -> StorageResult<Page> {
        self.inner.list(prefix, next).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> StorageResult<String> {
        self.inner.put(key, bytes).await
    }

    async fn put_if(&self, key: &str, condition: PutIf<'_>, bytes: Bytes) -> StorageResult<PutOutcome> {
        let armed = self.armed(put_point(key, condition, &bytes), key, &bytes);
        self.failpoints.around(armed, self.inner.put_if(key, condition, bytes), refuse).await
    }

    async fn delete(&self, key: &str) -> StorageResult<()> {
        let armed = self.armed(Some(delete_point(key)), key, &[]);
        self.failpoints.around(armed, self.inner.delete(key), refuse).await
    }

    async fn delete_if(&self, key: &str, etag: &str) -> StorageResult<DeleteOutcome> {
        let armed = self.armed(Some(delete_point(key)), key, &[]);
        self.failpoints.around(armed, self.inner.delete_if(key, etag), refuse).await
    }

    async fn begin_upload(&self, key: &str, metadata: &BTreeMap<String, String>) -> StorageResult<String> {
        let armed = self.armed(Some("upload.begin"), key, &[]);
        self.failpoints.around(armed, self.inner.begin_upload(key, metadata), refuse).await
    }

    async fn put_part(&self, key: &str, upload_id: &str, number: u32, bytes: Bytes) -> StorageResult<UploadedPart> {
        let armed = self.armed(Some("upload.part"), key, &[]);
        self.failpoints.around(armed, self.inner.put_part(key, upload_id, number, bytes), refuse).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[UploadedPart],
    ) -> StorageResult<CompleteOutcome> {
        let armed = self.armed(Some("upload.complete"), key, &[]);
        self.failpoints.around(armed, self.inner.complete_upload(key, upload_id, parts), refuse).await
    }

    async fn abort_upload(&self, key: &str, upload_id: &str) -> StorageResult<AbortOutcome> {
        let armed = self.armed(Some("upload.abort"), key, &[]);
        self.failpoints.around(armed, self.inner.abort_upload(key, upload_id), refuse).await
    }

    async fn upload_is_open(&self, key: &str, upload_id: &str) -> StorageResult<bool> {
        self.inner.upload_is_open(key, upload_id).await
    }

    async fn made_by(&self, key: &str, upload_id: &str, name: &str, value: &str) -> StorageResult<Option<String>> {
        self.inner.made_by(key, upload_id, name, value).await
    }
}
