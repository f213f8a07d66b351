//! One object version, as a reader sees it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::storage::{NextRange, ObjectVersion, Storage, StorageError, expect_length};
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
        self.check(&range)?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let wanted = range.end - range.start;
        let bytes = self.storage.get_range(&self.key, &self.version, range).await.map_err(of_source)?;
        expect_length(self.uri(), &bytes, wanted)?;
        Ok(bytes)
    }

    /// Reads ranges of the pinned version one after another, each told by what the one before held. All lie within `bounds`;
    /// errors are those of [`read`](Self::read).
    pub async fn read_in_turn(&self, bounds: &Range<u64>, next: NextRange) -> Result<()> {
        self.check(bounds)?;
        self.storage.get_in_turn(&self.key, &self.version, next).await.map_err(of_source)
    }

    fn check(&self, range: &Range<u64>) -> Result<()> {
        if range.start > range.end || range.end > self.size {
            return Err(self.error(format!(
                "bytes {} to {} lie outside its {} bytes: the file is damaged, deliver it again",
                range.start, range.end, self.size
            )));
        }
        Ok(())
    }

    /// An [`Error::Source`] of this source.
    pub fn error(&self, problem: impl std::fmt::Display) -> Error {
        Error::source(self.uri(), problem)
    }
}

fn of_source(error: StorageError) -> Error {
    match error {
        StorageError::Changed { uri } => Error::SourceChanged { uri },
        StorageError::NotFound { uri } => Error::SourceMissing { uri },
        other => Error::Storage(other),
    }
}
