//! Sources wherever they lie: this machine's files, web servers, and S3 once something asks for it.

use std::sync::Arc;

use rowmill::deployed::sdk_config;
use rowmill::storage::web::{WebRules, WithWeb, is_web};
use rowmill::storage::{LocalStores, S3Stores, Storage, StorageResult, Stores};
use tokio::sync::OnceCell;

use crate::location::MACHINE;

/// Opens `file://` and `s3://…`, and `https://…` for sources. Credentials are looked for by the first `s3://`.
#[derive(Debug, Default)]
pub struct AnyStores {
    machine: WithWeb<LocalStores>,
    s3: OnceCell<S3Stores>,
}

#[async_trait::async_trait]
impl Stores for AnyStores {
    async fn open(&self, bucket: &str) -> StorageResult<Arc<dyn Storage>> {
        if bucket == MACHINE {
            return self.machine.open(bucket).await;
        }
        let s3 = self.s3.get_or_init(|| async { S3Stores::new(&sdk_config().await) }).await;
        s3.open(bucket).await
    }

    async fn open_source(&self, bucket: &str, rules: &WebRules) -> StorageResult<Arc<dyn Storage>> {
        if is_web(bucket) { self.machine.open_source(bucket, rules).await } else { self.open(bucket).await }
    }
}
