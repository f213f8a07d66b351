//! One object version, as a reader sees it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::storage::{ObjectVersion, Storage, StorageError};
use crate::{Error, Result};

/// A source pinned to the version that its run names: every read is of exactly these bytes or an error.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Where it lies.
    pub storage: Arc<dyn Storage>,
    /// Its key.
    pub key: String,
    /// The version that every read is pinned to.
    pub version: ObjectVersion,
    /// Bytes.
    pub size: u64,
}

impl SourceFile {
    /// For people and records.
    pub fn uri(&self) -> String {
        self.storage.uri(&self.key)
    }

    /// Reads a byte range of the pinned version, exactly as long as asked.
    ///
    /// [`Error::SourceChanged`] where another version lies there, [`Error::SourceMissing`] where none does,
    /// [`Error::Storage`] where trying again may help.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        if range.start > range.end || range.end > self.size {
            return Err(self.error(format!(
                "bytes {} to {} lie outside its {} bytes: the file is damaged, deliver it again",
                range.start, range.end, self.size
            )));
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let wanted = range.end - range.start;
        let bytes = self.storage.get_range(&self.key, &self.version, range).await.map_err(|error| match error {
            StorageError::Changed { uri } => Error::SourceChanged { uri },
            StorageError::NotFound { uri } => Error::SourceMissing { uri },
            other => Error::Storage(other),
        })?;
        match u64::try_from(bytes.len()) {
            Ok(length) if length == wanted => Ok(bytes),
            _ => Err(Error::Storage(StorageError::Failed {
                operation: "get_range",
                uri: self.uri(),
                problem: format!("{} bytes came where {wanted} were asked for", bytes.len()),
            })),
        }
    }

    /// An [`Error::Source`] of this source.
    pub fn error(&self, problem: impl std::fmt::Display) -> Error {
        Error::source(self.uri(), problem)
    }
}
