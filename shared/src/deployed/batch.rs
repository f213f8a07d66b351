//! SQS batches: each message succeeds or fails alone.

use std::future::Future;

use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::Result;

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
    /// Its body.
    #[serde(default)]
    pub body: String,
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

/// Handles all messages of a batch at once, each by its body, and names those whose handler failed.
pub async fn answer_batch<F: Future<Output = Result<()>>>(batch: Batch, handle: impl Fn(String) -> F) -> BatchResponse {
    let handled = batch.records.into_iter().map(|record| {
        let handling = handle(record.body);
        async move {
            let error = handling.await.err()?;
            tracing::warn!(message_id = record.message_id, error_kind = error.kind(), %error, "message given back");
            Some(record.message_id)
        }
    });
    BatchResponse::of(join_all(handled).await.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Error;

    #[tokio::test]
    async fn a_bad_message_fails_alone() {
        let batch: Batch = serde_json::from_str(
            r#"{"Records":[{"messageId":"1","body":"good"},{"messageId":"2","body":"bad"},{"messageId":"3"}]}"#,
        )
        .unwrap();
        let response = answer_batch(batch, |body| async move {
            if body == "bad" { Err(Error::Internal("bad".into())) } else { Ok(()) }
        })
        .await;
        let json = serde_json::to_string(&response).unwrap();
        assert_eq!(json, r#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#);
    }
}
