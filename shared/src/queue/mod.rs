//! Messages out. Delivery is at least once and in any order; who handles a message must bear it twice.

pub mod memory;
#[cfg(feature = "aws")]
pub mod sqs;

pub use memory::MemoryQueue;
#[cfg(feature = "aws")]
pub use sqs::SqsQueue;

use std::fmt::Debug;

use async_trait::async_trait;

use crate::Result;

/// Where a use case sends messages. Receiving is the runtime's work: Lambda's event source mapping when deployed,
/// the worker loop when embedded.
#[async_trait]
pub trait Queue: Debug + Send + Sync {
    /// Sends every body, in any order. On an error some may have been sent: the caller sends them all again.
    /// A backend resends what a batch reply reports as failed before it gives up.
    async fn send(&self, bodies: &[String]) -> Result<()>;

    /// About how many messages wait to be received.
    async fn waiting(&self) -> Result<u64>;
}

/// A queue that a function receives from.
#[async_trait]
pub trait Inbox: Debug + Send + Sync {
    /// Has a received message wait so long before it is received again, from now on; in place of the queue's own visibility
    /// timeout. `receipt` names the delivery.
    async fn hide(&self, receipt: &str, wait: std::time::Duration) -> Result<()>;
}
