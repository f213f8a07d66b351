//! An upload that waits for its run to be published.

use serde::{Deserialize, Serialize};

use crate::storage::UploadedPart;

/// A multipart upload whose parts are all stored and that nobody has completed: what a slice record holds, and what
/// the finalizer needs to complete it or abort it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingUpload {
    /// Where the object will lie.
    pub key: String,
    /// As [`Storage::begin_upload`](crate::storage::Storage::begin_upload) answered it.
    pub upload_id: String,
    /// Which attempt at the slice made it.
    pub attempt: String,
    /// The parts in order.
    pub parts: Vec<UploadedPart>,
    /// Bytes of the whole.
    pub size: u64,
    /// CRC-64/NVME of the whole, 16 hex digits. S3's `ChecksumCRC64NVME` is base64 of the same eight bytes, big-endian.
    pub crc64: String,
}
