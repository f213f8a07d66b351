//! Objects by key: one trait, and what each backend must promise.
//!
//! A [`Storage`] is one bucket (or one folder). [`Stores`] opens the storage that a URI names. Conditional writes are
//! the only synchronisation Rowmill uses, so every backend must give them the same meaning; the conformance suite in
//! `tests/` runs against all of them.

#[cfg(feature = "aws")]
pub(crate) mod aws;
mod content;
mod etag;
pub mod local;
pub mod memory;
#[cfg(feature = "aws")]
pub mod s3;
pub mod web;

pub use content::{Content, delete_content, find_content};
pub use local::{LocalStorage, LocalStores};
pub use memory::{MemoryStorage, MemoryStores};
#[cfg(feature = "aws")]
pub use s3::{S3Storage, S3Stores};

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Which version of an object: what a pinned read asks for, and what a run's identity is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectVersion {
    /// The version id, in a bucket that keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The ETag without quotes.
    pub etag: String,
    /// When it was written, milliseconds since 1970-01-01 UTC. S3 gives whole seconds.
    pub last_modified_ms: i64,
}

/// What a look-up tells of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The key, decoded.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Which version this is.
    pub version: ObjectVersion,
    /// The metadata given at [`Storage::begin_upload`]; empty in listings and in backends that keep none.
    pub metadata: BTreeMap<String, String>,
}

/// An object read whole.
#[derive(Debug, Clone)]
pub struct Object {
    /// What the read told of it.
    pub meta: ObjectMeta,
    /// Its bytes.
    pub bytes: Bytes,
}

/// What lies at a path of a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key that symbolic links lead to.
    pub real_key: String,
    /// What it is.
    pub kind: EntryKind,
}

/// What a path of a file system leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file: an object.
    File,
    /// A folder.
    Folder,
    /// A named pipe (FIFO).
    Pipe,
    /// A device, such as `/dev/null`.
    Device,
    /// A socket.
    Socket,
    /// A symbolic link that leads to nothing, or in a circle.
    DanglingLink,
}

impl std::fmt::Display for EntryKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::File => "a file",
            Self::Folder => "a folder",
            Self::Pipe => "a named pipe",
            Self::Device => "a device",
            Self::Socket => "a socket",
            Self::DanglingLink => "a symbolic link that leads to no file",
        })
    }
}

/// One page of a listing, keys in ascending byte order.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The objects. `version.version_id` is absent here: listings do not tell it.
    pub objects: Vec<ObjectMeta>,
    /// Where the next page starts; `None` on the last page.
    pub next: Option<String>,
}

/// The condition of a conditional put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutIf<'a> {
    /// Only where no object lies at the key.
    Absent,
    /// Only where the object's ETag is this one (compare-and-swap).
    Matches(&'a str),
}

/// How a conditional put ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// Written; the new ETag.
    Written {
        /// Of the object just written.
        etag: String,
    },
    /// The condition did not hold; nothing was written. A put whose reply was lost may be the caller's own: read back.
    Lost,
}

/// How a conditional delete ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// Deleted.
    Deleted,
    /// There was nothing to delete.
    Gone,
    /// Another object lies there now; it was left alone.
    Changed,
}

/// One part of a multipart upload, as [`Storage::put_part`] answered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedPart {
    /// From 1.
    pub number: u32,
    /// The part's ETag without quotes.
    pub etag: String,
}

/// How a completion ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompleteOutcome {
    /// The object lies at its key, now or since an earlier completion of the same upload; its ETag.
    Completed {
        /// Of the object.
        etag: String,
    },
    /// The storage knows no such upload: it was aborted, has expired, or was completed long ago. Look the key up.
    Gone,
}

/// How an abort ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortOutcome {
    /// The upload is no more. Whether it became an object first, only its key can tell: for hours, S3 acknowledges the
    /// abort of an upload that was completed.
    Aborted,
    /// There was no such upload: aborted or completed before.
    Gone,
}

/// An error of a storage. Only what a caller may handle is told apart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A pinned read found no object.
    #[error("{uri}: not found")]
    NotFound {
        /// Where.
        uri: String,
    },
    /// A pinned read found another version.
    #[error("{uri}: another version lies there now")]
    Changed {
        /// Where.
        uri: String,
    },
    /// The key cannot exist in this backend.
    #[error("{uri}: {problem}")]
    BadKey {
        /// Where.
        uri: String,
        /// Why not.
        problem: String,
    },
    /// Everything else: throttling, time-outs, denied access, a full disk. Trying again may help.
    #[error("could not {} {}: {problem}", verb(operation), place(uri))]
    Failed {
        /// The operation, as in this trait.
        operation: &'static str,
        /// Where.
        uri: String,
        /// The backend's words.
        problem: String,
    },
}

/// What an operation of [`Storage`] does, in words.
fn verb(operation: &str) -> &str {
    match operation {
        "put" | "put_if" | "begin_upload" | "put_part" | "complete_upload" => "write",
        "get" | "get_range" | "get_in_turn" => "read",
        "head" | "entry" | "made_by" | "upload_is_open" => "look up",
        "delete" | "delete_if" => "delete",
        "abort_upload" => "abort the upload of",
        "collect_garbage" => "remove what killed processes left in",
        other => other,
    }
}

/// A URI as people write it: a path for a place on this machine.
fn place(uri: &str) -> &str {
    uri.strip_prefix(local::BUCKET).unwrap_or(uri)
}

/// The result of a storage operation.
pub type StorageResult<T> = std::result::Result<T, StorageError>;

/// Refuses what a read answered if it is not as long as what was asked for.
pub(crate) fn expect_length(uri: String, bytes: &Bytes, wanted: u64) -> StorageResult<()> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length == wanted) {
        return Ok(());
    }
    let problem = format!("{} bytes came where {wanted} were asked for", bytes.len());
    Err(StorageError::Failed { operation: "get_range", uri, problem })
}

/// Given what was read last, nothing at first, tells what to read next; `None` where that was all.
pub type NextRange = Box<dyn FnMut(Bytes) -> Option<Range<u64>> + Send>;

/// One bucket or one folder. Every method may be called from many tasks at once.
///
/// Writes are atomic and durable once they return: a reader sees the old object or the new one, whole.
#[async_trait]
pub trait Storage: Debug + Send + Sync {
    /// The key's URI, for people and for records: `s3://bucket/key`, `file:///folder/key`.
    fn uri(&self, key: &str) -> String;

    /// How many parts of one upload are worth having on their way at once.
    fn concurrent_parts(&self) -> usize {
        4
    }

    /// Longer parts of an upload than this, in bytes, take memory and save nothing.
    fn part_bytes(&self) -> usize {
        8 << 20
    }

    /// How many bytes are worth having here before they are needed.
    fn reads_ahead(&self) -> u64 {
        64 << 20
    }

    /// Looks the newest version up. `None` where there is none.
    async fn head(&self, key: &str) -> StorageResult<Option<ObjectMeta>>;

    /// Reads the newest version whole. For ledger objects and dataset files; an object above `max_bytes` is
    /// [`StorageError::Failed`], before its bytes are read.
    async fn get(&self, key: &str, max_bytes: u64) -> StorageResult<Option<Object>>;

    /// Reads `range` of exactly this version. [`StorageError::Changed`] where another lies there,
    /// [`StorageError::NotFound`] where none does, [`StorageError::Failed`] where the object ends before the range does.
    async fn get_range(&self, key: &str, version: &ObjectVersion, range: Range<u64>) -> StorageResult<Bytes>;

    /// Reads ranges of exactly this version one after another, as `next` tells them; errors are those of
    /// [`get_range`](Self::get_range). What was told before an error may be of another version.
    async fn get_in_turn(&self, key: &str, version: &ObjectVersion, mut next: NextRange) -> StorageResult<()> {
        let mut bytes = Bytes::new();
        while let Some(range) = next(bytes) {
            let wanted = range.end.saturating_sub(range.start);
            bytes = self.get_range(key, version, range).await?;
            expect_length(self.uri(key), &bytes, wanted)?;
        }
        Ok(())
    }

    /// Lists keys that start with `prefix`, from the page token `next` on; at most 1,000 a page.
    async fn list(&self, prefix: &str, next: Option<&str>) -> StorageResult<Page>;

    /// What lies at the path of `key`, in a backend whose keys are paths. `None` where nothing does, and in backends that
    /// hold nothing but objects.
    async fn entry(&self, _key: &str) -> StorageResult<Option<Entry>> {
        Ok(None)
    }

    /// Writes, whatever lies there.
    async fn put(&self, key: &str, bytes: Bytes) -> StorageResult<String>;

    /// Writes where the condition holds. A backend retries its own conflicts (S3's 409) before it answers.
    async fn put_if(&self, key: &str, condition: PutIf<'_>, bytes: Bytes) -> StorageResult<PutOutcome>;

    /// Deletes, whatever lies there; deleting nothing is fine.
    async fn delete(&self, key: &str) -> StorageResult<()>;

    /// Deletes the object only if its ETag is `etag`.
    async fn delete_if(&self, key: &str, etag: &str) -> StorageResult<DeleteOutcome>;

    /// Begins a multipart upload and answers its id. Nothing is visible at the key until it is completed.
    async fn begin_upload(&self, key: &str, metadata: &BTreeMap<String, String>) -> StorageResult<String>;

    /// Uploads one part. All but the last are at least 5 MiB. Uploading a number again replaces it.
    async fn put_part(&self, key: &str, upload_id: &str, number: u32, bytes: Bytes) -> StorageResult<UploadedPart>;

    /// Makes the object of the uploaded parts, in place of what lies at the key, atomically.
    async fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[UploadedPart],
    ) -> StorageResult<CompleteOutcome>;

    /// Aborts an upload. An object that it has become stays: look the key up.
    async fn abort_upload(&self, key: &str, upload_id: &str) -> StorageResult<AbortOutcome>;

    /// Whether an upload is begun and neither completed nor aborted.
    async fn upload_is_open(&self, key: &str, upload_id: &str) -> StorageResult<bool>;

    /// The ETag of the object at `key` if this upload made it, told by the upload's id or by the metadata entry
    /// `name` = `value` that it was begun with; `None` where nothing or another object lies there.
    async fn made_by(&self, key: &str, upload_id: &str, name: &str, value: &str) -> StorageResult<Option<String>>;
}

/// Opens storages by what stands before the key in a URI: `s3://bucket`, or `file://` for the machine's own files.
#[async_trait]
pub trait Stores: Debug + Send + Sync {
    /// The storage of `bucket`: `s3://name` or `file://`.
    async fn open(&self, bucket: &str) -> StorageResult<Arc<dyn Storage>>;

    /// The storage that a dataset's sources in `bucket` are read from: besides what [`Stores::open`] knows, a web server
    /// that the dataset's rules allow.
    async fn open_source(&self, bucket: &str, _: &web::WebRules) -> StorageResult<Arc<dyn Storage>> {
        self.open(bucket).await
    }
}

/// Lists every object below `prefix`, page by page.
pub async fn list_all(storage: &dyn Storage, prefix: &str) -> StorageResult<Vec<ObjectMeta>> {
    let mut objects = Vec::new();
    let mut next = None;
    loop {
        let page = storage.list(prefix, next.as_deref()).await?;
        objects.extend(page.objects);
        match page.next {
            Some(token) => next = Some(token),
            None => return Ok(objects),
        }
    }
}

/// Whether a file lies below `prefix`. A key that ends in a slash is a folder's marker, not a file.
pub async fn holds_files(storage: &dyn Storage, prefix: &str) -> StorageResult<bool> {
    let mut next = None;
    loop {
        let page = storage.list(prefix, next.as_deref()).await?;
        if page.objects.iter().any(|object| !object.key.ends_with('/')) {
            return Ok(true);
        }
        match page.next {
            Some(token) => next = Some(token),
            None => return Ok(false),
        }
    }
}

/// Why a read whole was refused.
fn too_large(size: u64, max_bytes: u64) -> String {
    format!("the object has {size} bytes, above the limit of {max_bytes} for an object read whole")
}

/// Why a ranged read was refused.
fn beyond_end(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}..{} were asked of an object of {size} bytes", range.start, range.end)
}

/// Why a part was refused.
fn bad_part_number(number: u32) -> String {
    format!("part numbers run from 1 to 10,000, not {number}")
}

/// Why a part was refused: its upload is no more.
/// Upload parts that begin at a multiple of this in memory, and are as long, can be written to a disk as they lie there: a
/// multiple of the blocks of any disk.
pub const DIRECT_BYTES: usize = 4_096;

const NO_SUCH_UPLOAD: &str = "no such upload: it was aborted, has expired or was completed";

/// What [`Stores::open`] answers to a bucket of another scheme.
fn unknown_bucket(bucket: &str, expected: &str) -> StorageError {
    StorageError::BadKey { uri: bucket.to_owned(), problem: format!("expected {expected} here") }
}
