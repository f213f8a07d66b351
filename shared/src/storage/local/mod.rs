//! A local folder with S3's semantics: what the embedded run reads from and writes to.
//!
//! | on S3 | here |
//! |---|---|
//! | put | temporary file, fsync, rename, fsync of the folder |
//! | put if absent | the same with `link`, which refuses an existing name |
//! | put if the ETag matches, conditional delete | the same under a lock file, after comparing ETags |
//! | multipart upload | a folder under `_rowmill/uploads/`; its completion is a rename |
//! | ETag | see [`identity`] |
//!
//! Everything the storage keeps for itself lies under `_rowmill/` (`tmp`, `uploads`, `lock`), on the same file system
//! as the objects and hidden from listings. Any number of processes may use one folder at once, each may be killed at
//! any moment, and [`LocalStorage::collect_garbage`] removes what killed ones left. All must name the same root: the
//! lock of one root knows nothing of another's.
//!
//! Two keys cannot both exist here though they can on S3: `a` and `a/b`. Neither can keys with empty, `.` or `..`
//! components, or with a name above 255 bytes. All answer [`StorageError::BadKey`].

mod direct;
mod entry;
mod files;
mod folders;
mod garbage;
pub mod identity;
mod keys;
mod list;
mod parts;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    AbortOutcome, CompleteOutcome, DeleteOutcome, Entry, NextRange, Object, ObjectMeta, ObjectVersion, Page, PutIf,
    PutOutcome, Storage, StorageError, StorageResult, Stores, UploadedPart,
};
pub use entry::real_path;
use folders::Root;
pub use garbage::Collected;

/// The bucket of the machine's own files.
pub const BUCKET: &str = "file://";

/// One folder as a bucket. Cheap to clone; the folder is made by the first write.
#[derive(Debug, Clone)]
pub struct LocalStorage {
    root: Arc<Root>,
}

impl LocalStorage {
    /// The storage of this folder. A relative path is taken from the current folder, now.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: Arc::new(Root::new(root.into())) }
    }

    /// Removes what killed processes left: temporary files, uploads neither completed nor aborted, and the markers of
    /// completed ones, each untouched for `older_than`. An upload collected so answers [`CompleteOutcome::Gone`], and so
    /// does one completed before its marker went: wait longer than the oldest run allowed.
    pub async fn collect_garbage(&self, older_than: Duration) -> StorageResult<Collected> {
        self.run("collect_garbage", "", move |root| garbage::collect(root, older_than)).await
    }

    /// Runs file-system calls, which block, on a thread made for that.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &str,
        call: impl FnOnce(&Root) -> io::Result<T> + Send + 'static,
    ) -> StorageResult<T> {
        let root = Arc::clone(&self.root);
        let result = match tokio::task::spawn_blocking(move || call(&root)).await {
            Ok(result) => result,
            Err(ended) => Err(io::Error::other(format!("the task of this call ended abnormally: {ended}"))),
        };
        result.map_err(|error| self.error(operation, key, &error))
    }

    fn pinned<T>(&self, key: &str, read: files::Pinned<T>) -> StorageResult<T> {
        match read {
            files::Pinned::Read(read) => Ok(read),
            files::Pinned::Changed => Err(StorageError::Changed { uri: self.uri(key) }),
            files::Pinned::Gone => Err(StorageError::NotFound { uri: self.uri(key) }),
        }
    }

    fn error(&self, operation: &'static str, key: &str, error: &io::Error) -> StorageError {
        let (uri, problem) = (self.uri(key), told(error));
        match keys::refusal(error) {
            Some(problem) => StorageError::BadKey { uri, problem },
            None => StorageError::Failed { operation, uri, problem },
        }
    }
}

/// An error in the system's words, and what to do where nothing but room is missing.
fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => format!("{error}: free space there"),
        io::ErrorKind::QuotaExceeded => format!("{error}: free space there, or raise the quota"),
        io::ErrorKind::FileTooLarge => {
            format!("{error}: neither the file system nor `ulimit -f` may limit files to fewer bytes")
        }
        _ => error.to_string(),
    }
}

#[async_trait]
impl Storage for LocalStorage {
    /// One: a part that comes before its turn is written aside, and later once more.
    fn concurrent_parts(&self) -> usize {
        1
    }

    /// A part is on the disk in a few milliseconds.
    fn part_bytes(&self) -> usize {
        4 << 20
    }

    /// What is on a disk comes at once: two windows of a row group's columns.
    fn reads_ahead(&self) -> u64 {
        8 << 20
    }

    fn uri(&self, key: &str) -> String {
        let root = self.root.path().to_string_lossy();
        format!("file://{}/{key}", root.trim_end_matches('/'))
    }

    async fn head(&self, key: &str) -> StorageResult<Option<ObjectMeta>> {
        let owned = key.to_owned();
        self.run("head", key, move |root| files::head(root, &owned)).await
    }

    async fn get(&self, key: &str, max_bytes: u64) -> StorageResult<Option<Object>> {
        let owned = key.to_owned();
        self.run("get", key, move |root| files::get(root, &owned, max_bytes)).await
    }

    async fn get_range(&self, key: &str, version: &ObjectVersion, range: Range<u64>) -> StorageResult<Bytes> {
        let (owned, etag) = (key.to_owned(), version.etag.clone());
        self.pinned(key, self.run("get_range", key, move |root| files::get_range(root, &owned, &etag, range)).await?)
    }

    /// In one call: handing each read over to another thread would take longer than the read.
    async fn get_in_turn(&self, key: &str, version: &ObjectVersion, next: NextRange) -> StorageResult<()> {
        let (owned, etag) = (key.to_owned(), version.etag.clone());
        let read = move |root: &Root| files::get_in_turn(root, &owned, &etag, next);
        self.pinned(key, self.run("get_in_turn", key, read).await?)
    }

    async fn list(&self, prefix: &str, next: Option<&str>) -> StorageResult<Page> {
        let (owned, next) = (prefix.to_owned(), next.map(str::to_owned));
        self.run("list", prefix, move |root| list::page(root, &owned, next.as_deref())).await
    }

    async fn entry(&self, key: &str) -> StorageResult<Option<Entry>> {
        let owned = key.to_owned();
        self.run("entry", key, move |root| entry::entry(root, &owned)).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> StorageResult<String> {
        let owned = key.to_owned();
        self.run("put", key, move |root| files::put(root, &owned, &bytes)).await
    }

    async fn put_if(&self, key: &str, condition: PutIf<'_>, bytes: Bytes) -> StorageResult<PutOutcome> {
        let owned = key.to_owned();
        match condition {
            PutIf::Absent => self.run("put_if", key, move |root| files::put_if_absent(root, &owned, &bytes)).await,
            PutIf::Matches(etag) => {
                let etag = etag.to_owned();
                self.run("put_if", key, move |root| files::put_if_matches(root, &owned, &etag, &bytes)).await
            }
        }
    }

    async fn delete(&self, key: &str) -> StorageResult<()> {
        let owned = key.to_owned();
        self.run("delete", key, move |root| files::delete(root, &owned, None)).await.map(|_| ())
    }

    async fn delete_if(&self, key: &str, etag: &str) -> StorageResult<DeleteOutcome> {
        let (owned, etag) = (key.to_owned(), etag.to_owned());
        self.run("delete_if", key, move |root| files::delete(root, &owned, Some(&etag))).await
    }

    async fn begin_upload(&self, key: &str, _metadata: &BTreeMap<String, String>) -> StorageResult<String> {
        let owned = key.to_owned();
        self.run("begin_upload", key, move |root| upload::begin(root, &owned)).await
    }

    async fn put_part(&self, key: &str, upload_id: &str, number: u32, bytes: Bytes) -> StorageResult<UploadedPart> {
        let (owned, id) = (key.to_owned(), upload_id.to_owned());
        self.run("put_part", key, move |root| upload::put_part(root, &owned, &id, number, &bytes)).await
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[UploadedPart],
    ) -> StorageResult<CompleteOutcome> {
        let (owned, id, parts) = (key.to_owned(), upload_id.to_owned(), parts.to_vec());
        self.run("complete_upload", key, move |root| upload::complete(root, &owned, &id, &parts)).await
    }

    async fn abort_upload(&self, key: &str, upload_id: &str) -> StorageResult<AbortOutcome> {
        let (owned, id) = (key.to_owned(), upload_id.to_owned());
        self.run("abort_upload", key, move |root| upload::abort(root, &owned, &id)).await
    }

    async fn upload_is_open(&self, key: &str, upload_id: &str) -> StorageResult<bool> {
        let (owned, id) = (key.to_owned(), upload_id.to_owned());
        self.run("upload_is_open", key, move |root| upload::is_open(root, &owned, &id)).await
    }

    async fn made_by(&self, key: &str, upload_id: &str, _name: &str, _value: &str) -> StorageResult<Option<String>> {
        let (owned, id) = (key.to_owned(), upload_id.to_owned());
        self.run("made_by", key, move |root| {
            let Some(etag) = upload::completed_etag(root, &owned, &id)? else { return Ok(None) };
            let there = files::head(root, &owned)?;
            Ok(there.map(|meta| meta.version.etag).filter(|found| *found == etag))
        })
        .await
    }
}

/// Opens `file://`: the whole machine, so that `file:///folder/key` is the key `folder/key`. For reading sources; a
/// sink is a [`LocalStorage`] of its own folder.
#[derive(Debug, Clone)]
pub struct LocalStores {
    machine: Arc<LocalStorage>,
}

impl Default for LocalStores {
    fn default() -> Self {
        Self { machine: Arc::new(LocalStorage::new("/")) }
    }
}

#[async_trait]
impl Stores for LocalStores {
    async fn open(&self, bucket: &str) -> StorageResult<Arc<dyn Storage>> {
        if bucket != BUCKET {
            return Err(super::unknown_bucket(bucket, BUCKET));
        }
        let machine: Arc<LocalStorage> = Arc::clone(&self.machine);
        Ok(machine)
    }
}
