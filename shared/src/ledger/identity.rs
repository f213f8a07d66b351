//! Who a run is: the same request always names the same run.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::storage::ObjectVersion;

/// One object version: what a run ingests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `s3://name`, or `file://` for the machine's own files.
    pub bucket: String,
    /// The key, decoded, without a leading slash.
    pub key: String,
    /// Which version.
    pub version: ObjectVersion,
    /// Bytes.
    pub size: u64,
}

impl Source {
    /// `s3://bucket/key` or `file:///folder/name`.
    pub fn uri(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }
}

/// Whether both name one version: by version id where both have one, else by ETag and time.
pub fn same_version(left: &ObjectVersion, right: &ObjectVersion) -> bool {
    match (&left.version_id, &right.version_id) {
        (Some(left_id), Some(right_id)) => left_id == right_id,
        _ => left.etag == right.etag && left.last_modified_ms == right.last_modified_ms,
    }
}

/// Why a run exists. It decides where its output goes and whether it touches the pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A new object version.
    Incremental,
    /// A request to ingest an object version again.
    Reprocess,
    /// A retry of a run that failed.
    Retry,
    /// A trial below `test_pipeline/`: no pointer, no retirement.
    TestSubset,
}

impl Purpose {
    /// Whether the run claims the source's pointer and retires what it supersedes.
    pub fn publishes(self) -> bool {
        self != Self::TestSubset
    }
}

/// A run's name and pins: everything that a message must carry so that its receiver needs no other source of truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// [`run_id`] of the fields below: 32 hex digits.
    pub run_id: String,
    /// The dataset's name.
    pub dataset: String,
    /// The dataset file's hash: the version that this run is pinned to.
    pub config: String,
    /// Empty for incremental; the request's ULID for everything else. Later ones sort behind earlier ones.
    pub generation: String,
    /// Why the run exists.
    pub purpose: Purpose,
    /// What it ingests.
    pub source: Source,
}

impl Run {
    /// Names the run of `source` by `dataset` in `generation`.
    pub fn new(dataset: &str, config: &str, purpose: Purpose, generation: &str, source: Source) -> Self {
        Self {
            run_id: run_id(dataset, &source, generation),
            dataset: dataset.to_owned(),
            config: config.to_owned(),
            generation: generation.to_owned(),
            purpose,
            source,
        }
    }
}

/// The first 32 hex digits of SHA-256 over dataset, bucket, key, version and generation, each behind its length, so
/// that no two requests spell the same bytes. The config is no part of it: a changed dataset file is no new run.
pub fn run_id(dataset: &str, source: &Source, generation: &str) -> String {
    let version = match &source.version.version_id {
        Some(id) => format!("v:{id}"),
        None => format!("e:{}@{}", source.version.etag, source.version.last_modified_ms),
    };
    let mut hash = Sha256::new();
    for field in [dataset, &source.bucket, &source.key, &version, generation] {
        hash.update(field.len().to_be_bytes());
        hash.update(field.as_bytes());
    }
    hex(&hash.finalize(), 16)
}

/// The first `bytes` bytes in hex.
pub(crate) fn hex(digest: &[u8], bytes: usize) -> String {
    digest.iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// The first 32 hex digits of SHA-256 of a source's bucket and key: the pointer's name.
pub fn key_hash(bucket: &str, key: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(bucket.len().to_be_bytes());
    hash.update(bucket.as_bytes());
    hash.update(key.as_bytes());
    hex(&hash.finalize(), 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(key: &str) -> Source {
        let version = ObjectVersion { version_id: None, etag: "e".into(), last_modified_ms: 7 };
        Source { bucket: "s3://b".into(), key: key.into(), version, size: 1 }
    }

    #[test]
    fn the_same_request_names_the_same_run() {
        assert_eq!(run_id("d", &source("k"), ""), run_id("d", &source("k"), ""));
        assert_eq!(run_id("d", &source("k"), "").len(), 32);
    }

    #[test]
    fn each_part_of_the_identity_tells() {
        let base = run_id("d", &source("k"), "");
        assert_ne!(base, run_id("dk", &source(""), ""), "fields do not run into each other");
        assert_ne!(base, run_id("d", &source("k"), "01"));
        let mut later = source("k");
        later.version.last_modified_ms = 8;
        assert_ne!(base, run_id("d", &later, ""), "A overwritten by B and by A again is a new version");
        let mut versioned = source("k");
        versioned.version.version_id = Some("v".into());
        assert_ne!(base, run_id("d", &versioned, ""));
    }

    #[test]
    fn version_ids_decide_where_both_have_one() {
        let mut left = source("k").version;
        let mut right = left.clone();
        assert!(same_version(&left, &right));
        right.last_modified_ms = 8;
        assert!(!same_version(&left, &right));
        (left.version_id, right.version_id) = (Some("1".into()), Some("1".into()));
        assert!(same_version(&left, &right));
    }
}
