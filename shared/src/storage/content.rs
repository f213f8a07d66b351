//! Objects recognised by their bytes, whatever their ETag is.
//!
//! An ETag names a copy, not its content: `cp -a`, a restored backup and `touch` change a local file's, and
//! `aws s3 sync` gives an object that was uploaded in parts another one. The length and the CRC-64 of the bytes stay.

use std::ops::Range;

use crc_fast::{CrcAlgorithm, Digest, checksum};
use serde::{Deserialize, Serialize};

use super::{DeleteOutcome, ObjectMeta, Storage, StorageError, StorageResult};

/// Bytes read at once to compute a checksum: 8 MiB.
const READ_BYTES: u64 = 8 << 20;

/// How often an operation starts again because the object changed while it was looked at.
const ATTEMPTS: usize = 4;

/// What an object's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Content {
    /// How many.
    pub bytes: u64,
    /// Their CRC-64/NVME, 16 hex digits.
    pub crc64: String,
}

impl Content {
    /// What these bytes are.
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, crc64: format!("{:016x}", checksum(CrcAlgorithm::Crc64Nvme, bytes)) }
    }
}

/// The ETag of the object at `key` if its bytes are `content`. Reads the object only where its length is the one expected.
pub async fn find_content(storage: &dyn Storage, key: &str, content: &Content) -> StorageResult<Option<String>> {
    for _ in 0..ATTEMPTS {
        let Some(meta) = storage.head(key).await? else { return Ok(None) };
        if meta.size != content.bytes {
            return Ok(None);
        }
        if let Some(crc64) = crc64(storage, &meta).await? {
            return Ok((crc64 == content.crc64).then_some(meta.version.etag));
        }
    }
    Err(unsettled(storage, key))
}

/// Deletes the object if its ETag is `etag`, or if its bytes are `content`. [`DeleteOutcome::Changed`] where something else
/// lies at the key: it is left alone.
pub async fn delete_content(
    storage: &dyn Storage,
    key: &str,
    etag: &str,
    content: Option<&Content>,
) -> StorageResult<DeleteOutcome> {
    let mut etag = etag.to_owned();
    for _ in 0..ATTEMPTS {
        let outcome = storage.delete_if(key, &etag).await?;
        let Some(content) = content.filter(|_| outcome == DeleteOutcome::Changed) else { return Ok(outcome) };
        match find_content(storage, key, content).await? {
            Some(found) => etag = found,
            None => return Ok(DeleteOutcome::Changed),
        }
    }
    Err(unsettled(storage, key))
}

/// The CRC-64 of this version of an object; `None` where another one took its place meanwhile.
async fn crc64(storage: &dyn Storage, meta: &ObjectMeta) -> StorageResult<Option<String>> {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    for range in ranges(meta.size) {
        match storage.get_range(&meta.key, &meta.version, range).await {
            Ok(bytes) => digest.update(&bytes),
            Err(StorageError::NotFound { .. } | StorageError::Changed { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(format!("{:016x}", digest.finalize())))
}

fn ranges(size: u64) -> impl Iterator<Item = Range<u64>> {
    let end = move |start: u64| start.saturating_add(READ_BYTES).min(size);
    let first = Some(0..end(0)).filter(|range| !range.is_empty());
    std::iter::successors(first, move |range| Some(range.end..end(range.end)).filter(|next| !next.is_empty()))
}

fn unsettled(storage: &dyn Storage, key: &str) -> StorageError {
    let problem = "it changes while it is looked at: stop what writes it, then try again".to_owned();
    StorageError::Failed { operation: "read", uri: storage.uri(key), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_byte_once() {
        for size in [0, 1, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 3 * READ_BYTES] {
            let mut at = 0;
            for range in ranges(size) {
                assert_eq!(range.start, at);
                assert!(!range.is_empty());
                at = range.end;
            }
            assert_eq!(at, size);
        }
    }
}
