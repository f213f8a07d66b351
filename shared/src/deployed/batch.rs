//! SQS batches: each message succeeds or fails alone, and what failed says when it is to come back.

use std::future::Future;
use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::pipeline::Context;
use crate::pipeline::message::Message;
use crate::pipeline::retry::{self, Retried, UNREADABLE};
use crate::queue::Inbox;

/// A batch as the event source mapping hands it over; only what is used.
#[derive(Debug, Deserialize)]
pub struct Batch {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<Record>,
}

/// One message.
#[derive(Debug, Deserialize)]
pub struct Record {
    /// Its id.
    #[serde(rename = "messageId")]
    pub message_id: String,
    /// Names this delivery of it.
    #[serde(default, rename = "receiptHandle")]
    pub receipt: String,
    /// Its body.
    #[serde(default)]
    pub body: String,
    /// What SQS says of it.
    #[serde(default)]
    pub attributes: Attributes,
}

/// What SQS says of a message.
#[derive(Debug, Default, Deserialize)]
pub struct Attributes {
    /// How often it was received, this time included: a number, as text.
    #[serde(default, rename = "ApproximateReceiveCount")]
    pub receives: String,
}

impl Record {
    /// How often the message was received, this time included.
    pub fn receives(&self) -> u32 {
        self.attributes.receives.parse().unwrap_or(1)
    }
}

/// What goes back: the messages that are to be received again. The event source must have
/// `ReportBatchItemFailures` set, or the whole batch counts as handled.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchResponse {
    /// The failed ones.
    #[serde(rename = "batchItemFailures")]
    pub batch_item_failures: Vec<ItemFailure>,
}

/// A message that failed.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ItemFailure {
    /// Its id.
    #[serde(rename = "itemIdentifier")]
    pub item_identifier: String,
}

impl BatchResponse {
    /// Asks for these messages again, each named once.
    pub fn of(mut message_ids: Vec<String>) -> Self {
        message_ids.sort();
        message_ids.dedup();
        let failures = message_ids.into_iter().map(|item_identifier| ItemFailure { item_identifier });
        Self { batch_item_failures: failures.collect() }
    }
}

/// A message that is given back.
#[derive(Debug)]
pub struct GivenBack {
    /// Why.
    pub error: Error,
    /// When it is to be received again.
    pub after: Duration,
}

impl GivenBack {
    /// A message that nobody understands.
    pub fn unreadable(error: Error) -> Self {
        Self { error, after: UNREADABLE }
    }
}

/// What becomes of a message whose work failed when it was received for the `receives`th time: by its dataset's `[retry]`.
///
/// # Errors
///
/// The message is to be given back.
pub async fn retried(ctx: &Context, message: &Message, receives: u32, error: Error) -> Result<(), GivenBack> {
    if error.is_permanent() {
        // It could be recorded nowhere, and no wait helps: on its way to the dead-letter queue.
        return Err(GivenBack::unreadable(error));
    }
    let policy = retry::policy(ctx, message).await.unwrap_or_default();
    match retry::failed(ctx, policy, message, receives, &error).await {
        Ok(Retried::GivenUp) => Ok(()),
        Ok(Retried::Later { after }) => Err(GivenBack { error, after }),
        // What would end the run cannot be recorded either: it is tried again as late as the policy allows.
        Err(again) => Err(GivenBack { error: again, after: policy.ceiling }),
    }
}

/// Handles all messages of a batch at once, names those whose handler failed, and has each of them wait in `inbox` as long as
/// it said. Where that fails it waits for the queue's own visibility timeout.
pub async fn answer_batch<F: Future<Output = Result<(), GivenBack>>>(
    batch: &Batch,
    inbox: &dyn Inbox,
    handle: impl Fn(String, u32) -> F,
) -> BatchResponse {
    let handled = batch.records.iter().map(|record| {
        let handling = handle(record.body.clone(), record.receives());
        async move {
            let GivenBack { error, after } = handling.await.err()?;
            let (message_id, receives) = (&record.message_id, record.receives());
            let wait_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(message_id, receives, wait_ms, error_kind = error.kind(), %error, "message given back");
            if let Err(error) = inbox.hide(&record.receipt, after).await {
                tracing::warn!(message_id, %error, "it waits as long as its queue says");
            }
            Some(record.message_id.clone())
        }
    });
    BatchResponse::of(join_all(handled).await.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::Result;

    #[derive(Debug, Default)]
    struct Hidden(Mutex<Vec<(String, u64)>>);

    #[async_trait]
    impl Inbox for Hidden {
        async fn hide(&self, receipt: &str, wait: Duration) -> Result<()> {
            self.0.lock().unwrap().push((receipt.to_owned(), wait.as_secs()));
            Err(Error::Internal("it did not work".into()))
        }
    }

    #[tokio::test]
    async fn a_bad_message_fails_alone_and_waits_as_long_as_it_said() {
        let batch: Batch = serde_json::from_str(
            r#"{"Records":[{"messageId":"1","body":"good"},
                {"messageId":"2","receiptHandle":"r2","body":"bad","attributes":{"ApproximateReceiveCount":"3"}},
                {"messageId":"3"}]}"#,
        )
        .unwrap();
        let hidden = Hidden::default();
        let response = answer_batch(&batch, &hidden, |body, receives| async move {
            let after = Duration::from_secs(u64::from(receives) * 10);
            if body == "bad" { Err(GivenBack { error: Error::Internal("bad".into()), after }) } else { Ok(()) }
        })
        .await;
        let json = serde_json::to_string(&response).unwrap();
        assert_eq!(json, r#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#);
        assert_eq!(*hidden.0.lock().unwrap(), [("r2".to_owned(), 30)]);
    }
}
