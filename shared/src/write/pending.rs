//! What a deferred upload leaves for the finalizer.

use serde::{Deserialize, Serialize};

use crate::storage::UploadedPart;

/// A multipart upload whose parts are all there and which nobody has completed: invisible until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingUpload {
    /// The key that the object will lie at.
    pub key: String,
    /// The storage's id of the upload.
    pub upload_id: String,
    /// Which attempt made it; kept in the object's metadata as `rowmill-attempt`.
    pub attempt: String,
    /// The upload's parts in order.
    pub parts: Vec<UploadedPart>,
    /// Bytes.
    pub size: u64,
    /// CRC-64/NVME of the bytes, 16 hex digits.
    pub crc64: String,
}
