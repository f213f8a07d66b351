//! Sources wherever they lie: this machine's files, and S3 once something asks for it.

use std::sync::Arc;

use rowmill::deployed::sdk_config;
use rowmill::storage::{LocalStores, S3Stores, Storage, StorageResult, Stores};
use tokio::sync::OnceCell;

use crate::location::MACHINE;

/// Opens `file://` and `s3://…`. Credentials are looked for by the first `s3://`.
#[derive(Debug, Default)]
pub struct AnyStores {
    machine: LocalStores,
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
}
