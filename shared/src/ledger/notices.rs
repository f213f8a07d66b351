//! Notices of ended runs, and the records that they were delivered.

use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::keys;
use super::records::{Notice, Notified};
use super::store::{Ledger, READS_AT_ONCE, Stamped};
use crate::Result;
use crate::storage::list_all;

impl Ledger {
    /// Puts a notice unless the run has one: it as it lies there where this one was first, else `None`.
    pub async fn put_notice(&self, notice: Notice) -> Result<Option<Stamped<Notice>>> {
        let etag = self.swap(&keys::notice(&notice.run_id), None, &notice).await?;
        Ok(etag.map(|etag| Stamped { value: notice, etag }))
    }

    /// A run's notice, where one is left to deliver.
    pub async fn notice(&self, run_id: &str) -> Result<Option<Stamped<Notice>>> {
        self.read(&keys::notice(run_id)).await
    }

    /// Up to `limit` of the notices that are left to deliver.
    pub async fn notices(&self, limit: usize) -> Result<Vec<Stamped<Notice>>> {
        let objects = list_all(self.sink().as_ref(), keys::NOTICES).await?;
        let read = |key: String| async move {
            match self.read::<Notice>(&key).await {
                // One that nobody understands must not stop the others.
                Err(error) if error.is_permanent() => {
                    tracing::error!(key, %error, "a notice is left where it lies");
                    Ok(None)
                }
                read => read,
            }
        };
        let reads = objects.into_iter().take(limit).map(|object| read(object.key).boxed());
        let notices: Vec<_> = stream::iter(reads.collect::<Vec<_>>()).buffered(READS_AT_ONCE).try_collect().await?;
        Ok(notices.into_iter().flatten().collect())
    }

    /// Changes a notice, if it still is the one read: the new ETag, or `None` where somebody else was first.
    pub async fn change_notice(&self, read: &Stamped<Notice>, notice: &Notice) -> Result<Option<String>> {
        self.swap(&keys::notice(&notice.run_id), Some(&read.etag), notice).await
    }

    /// Records that a run was told of, and takes its notice away.
    pub async fn settle_notice(&self, dataset: &str, notified: &Notified) -> Result<()> {
        self.put_once(&keys::notified(dataset, &notified.run_id), notified).await?;
        self.forget_notice(&notified.run_id).await
    }

    /// Takes a notice away.
    pub async fn forget_notice(&self, run_id: &str) -> Result<()> {
        Ok(self.sink().delete(&keys::notice(run_id)).await?)
    }

    /// The record that a run was told of.
    pub async fn notified(&self, dataset: &str, run_id: &str) -> Result<Option<Notified>> {
        Ok(self.read(&keys::notified(dataset, run_id)).await?.map(|read| read.value))
    }
}
