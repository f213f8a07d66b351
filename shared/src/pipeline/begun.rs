//! The uploads that a slice has begun.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Context;
use super::publish::ATTEMPT;
use crate::Result;
use crate::write::{DeferredUpload, UploadOptions};

/// Key and id of each upload, known even where the work that began it was dropped in the middle.
#[derive(Default)]
pub(super) struct Begun(Mutex<Vec<(String, String)>>);

impl Begun {
    /// Begins an upload that tells which attempt made it.
    pub async fn upload(
        &self,
        ctx: &Context,
        key: String,
        attempt: &str,
        options: UploadOptions,
    ) -> Result<DeferredUpload> {
        let metadata = BTreeMap::from([(ATTEMPT.to_owned(), attempt.to_owned())]);
        let sink = Arc::clone(ctx.ledger.sink());
        let options = UploadOptions {
            part_bytes: options.part_bytes.min(sink.part_bytes()),
            concurrent_parts: options.concurrent_parts.min(sink.concurrent_parts()),
        };
        let upload = DeferredUpload::begin(sink, key, attempt, &metadata, options).await?;
        let id = (upload.key().to_owned(), upload.upload_id().to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        Ok(upload)
    }

    /// Takes them all back. What cannot be aborted is left to the storage's expiry.
    pub async fn abort(&self, ctx: &Context) {
        let begun = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (key, upload_id) in begun {
            if let Err(error) = ctx.ledger.sink().abort_upload(&key, &upload_id).await {
                tracing::warn!(key, upload_id, %error, "upload not aborted: left to expiry");
            }
        }
    }
}
