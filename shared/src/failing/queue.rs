//! A queue with failpoints.

use std::sync::Arc;

use async_trait::async_trait;

use super::Failpoints;
use crate::queue::Queue;
use crate::{Error, Result};

/// A queue whose sends may fail.
#[derive(Debug)]
pub(super) struct FailingQueue {
    pub inner: Arc<dyn Queue>,
    pub failpoints: Arc<Failpoints>,
}

#[async_trait]
impl Queue for FailingQueue {
    async fn send(&self, bodies: &[String]) -> Result<()> {
        let armed = bodies.first().and_then(|body| {
            self.failpoints.learn(body.as_bytes());
            let kind = serde_json::from_str::<serde_json::Value>(body).ok()?;
            let kind = kind.get("kind")?.as_str()?.to_owned();
            self.failpoints.armed(&format!("send.{kind}"), body)
        });
        let refuse = |problem| Error::Queue { queue: "failpoint".to_owned(), problem };
        self.failpoints.around(armed, self.inner.send(bodies), refuse).await
    }

    async fn waiting(&self) -> Result<u64> {
        self.inner.waiting().await
    }
}
