//! Uploading an object in parts without completing it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest};
use tokio::task::JoinSet;

use super::PendingUpload;
use crate::storage::{Storage, StorageResult, UploadedPart};
use crate::{Error, Result};

/// S3 takes no more parts than this.
const MAX_PARTS: u64 = 10_000;

/// How an object is uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadOptions {
    /// Bytes of every part but the last. At least 5 MiB on S3.
    pub part_bytes: usize,
    /// Parts in flight; each holds its bytes in memory.
    pub concurrent_parts: usize,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self { part_bytes: 8 << 20, concurrent_parts: 4 }
    }
}

/// An object on its way: parts of one size, uploaded as they fill, several at once. Nothing is visible at the key
/// until the [`PendingUpload`] that [`finish`](Self::finish) answers is completed.
///
/// Dropped without `finish` or [`abort`](Self::abort), the upload stays until the storage expires it.
#[derive(Debug)]
pub struct DeferredUpload {
    storage: Arc<dyn Storage>,
    options: UploadOptions,
    key: String,
    upload_id: String,
    attempt: String,
    /// A piece shorter than a part, as it came: the last part, where nothing follows it.
    lone: Bytes,
    filling: BytesMut,
    begun: u32,
    running: JoinSet<StorageResult<UploadedPart>>,
    parts: Vec<UploadedPart>,
    size: u64,
    digest: Digest,
}

impl DeferredUpload {
    /// Begins an upload to `key`. `attempt` names who made it, for the slice record; `metadata` is kept with the object.
    pub async fn begin(
        storage: Arc<dyn Storage>,
        key: impl Into<String>,
        attempt: impl Into<String>,
        metadata: &BTreeMap<String, String>,
        options: UploadOptions,
    ) -> Result<Self> {
        let key = key.into();
        let upload_id = storage.begin_upload(&key, metadata).await?;
        Ok(Self {
            storage,
            options: UploadOptions {
                part_bytes: options.part_bytes.max(1),
                concurrent_parts: options.concurrent_parts.max(1),
            },
            key,
            upload_id,
            attempt: attempt.into(),
            lone: Bytes::new(),
            filling: BytesMut::new(),
            begun: 0,
            running: JoinSet::new(),
            parts: Vec::new(),
            size: 0,
            digest: Digest::new(CrcAlgorithm::Crc64Nvme),
        })
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The upload's id.
    pub fn upload_id(&self) -> &str {
        &self.upload_id
    }

    /// Bytes of every part but the last.
    pub fn part_bytes(&self) -> usize {
        self.options.part_bytes
    }

    /// Waits until a part is sent without waiting: whoever asks for the next one then holds none meanwhile.
    pub async fn ready(&mut self) -> Result<()> {
        while self.running.len() >= self.options.concurrent_parts {
            match self.running.join_next().await {
                Some(done) => self.take(done)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Takes the next bytes. Those of one part, or of a last one, are passed on as they are; others are copied together. Waits
    /// only where as many parts as allowed are in flight.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.digest.update(&bytes);
        self.size = self.size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let before = std::mem::take(&mut self.lone);
        self.fill(before).await?;
        match bytes.len() {
            length if length == self.options.part_bytes && self.filling.is_empty() => self.send(bytes).await,
            length if length < self.options.part_bytes && self.filling.is_empty() => {
                self.lone = bytes;
                Ok(())
            }
            _ => self.fill(bytes).await,
        }
    }

    /// Copies bytes behind those of the open part.
    async fn fill(&mut self, mut rest: Bytes) -> Result<()> {
        while !rest.is_empty() {
            let room = self.options.part_bytes.saturating_sub(self.filling.len());
            let next = rest.split_to(room.min(rest.len()));
            if self.filling.capacity() == 0 {
                self.filling.reserve(self.options.part_bytes.min(1 << 20));
            }
            self.filling.extend_from_slice(&next);
            if self.filling.len() >= self.options.part_bytes {
                let part = std::mem::take(&mut self.filling).freeze();
                self.send(part).await?;
            }
        }
        Ok(())
    }

    /// Waits for every part and answers what completes the upload. An object of no bytes is one empty part.
    ///
    /// On an error the upload is aborted as far as possible.
    pub async fn finish(mut self) -> Result<PendingUpload> {
        match self.finish_parts().await {
            Ok(()) => Ok(PendingUpload {
                key: self.key,
                upload_id: self.upload_id,
                attempt: self.attempt,
                parts: self.parts,
                size: self.size,
                crc64: format!("{:016x}", self.digest.finalize()),
            }),
            Err(error) => {
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Gives the upload up. An abort that fails is left to the storage's expiry.
    pub async fn abort(mut self) {
        self.running.shutdown().await;
        if let Err(error) = self.storage.abort_upload(&self.key, &self.upload_id).await {
            tracing::warn!(key = self.key, upload_id = self.upload_id, %error, "upload not aborted: left to expiry");
        }
    }

    async fn finish_parts(&mut self) -> Result<()> {
        let last = match self.lone.is_empty() {
            true => std::mem::take(&mut self.filling).freeze(),
            false => std::mem::take(&mut self.lone),
        };
        if !last.is_empty() || self.begun == 0 {
            self.send(last).await?;
        }
        while let Some(done) = self.running.join_next().await {
            self.take(done)?;
        }
        self.parts.sort_by_key(|part| part.number);
        Ok(())
    }

    async fn send(&mut self, bytes: Bytes) -> Result<()> {
        self.ready().await?;
        let number = self.begun.saturating_add(1);
        if u64::from(number) > MAX_PARTS {
            return Err(Error::Limit {
                what: format!("the number of upload parts of {}", self.storage.uri(&self.key)),
                value: u64::from(number),
                limit: MAX_PARTS,
                remedy: "lower output.slice_row_groups".to_owned(),
            });
        }
        self.begun = number;
        let (storage, key, upload_id) = (self.storage.clone(), self.key.clone(), self.upload_id.clone());
        self.running.spawn(async move { storage.put_part(&key, &upload_id, number, bytes).await });
        Ok(())
    }

    fn take(&mut self, done: Result<StorageResult<UploadedPart>, tokio::task::JoinError>) -> Result<()> {
        let part = done.map_err(|error| Error::Internal(format!("an upload task ended: {error}")))??;
        self.parts.push(part);
        Ok(())
    }
}
