//! Messages to SQS.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::RequestId;
use aws_sdk_sqs::types::{BatchResultErrorEntry, QueueAttributeName, SendMessageBatchRequestEntry};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::{Inbox, Queue};
use crate::storage::aws::{Pauses, causes};
use crate::{Error, Result};

/// Entries that one `SendMessageBatch` takes.
const BATCH_ENTRIES: usize = 10;
/// Bytes that a batch holds here. SQS takes 1 MiB since 2025-08; the older limit holds everywhere.
const BATCH_BYTES: usize = 256 * 1024;
/// The largest message that SQS takes: 1 MiB.
const MESSAGE_BYTES: usize = 1024 * 1024;
/// Batches under way at once.
const CONCURRENT_BATCHES: usize = 4;
/// How often an entry is sent that SQS reports as failed by its own fault.
const ATTEMPTS: u32 = 6;

/// One queue.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

impl SqsQueue {
    /// The queue at this URL.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// Sends the bodies at these positions, and again those that SQS could not take.
    async fn send_batch(&self, bodies: &[String], batch: Vec<usize>) -> Result<()> {
        let mut waiting = batch;
        let mut pauses = Pauses::new(ATTEMPTS);
        loop {
            let failed = self.send_once(bodies, &waiting).await?;
            if failed.is_empty() {
                return Ok(());
            }
            if failed.iter().any(BatchResultErrorEntry::sender_fault) || !pauses.pause().await {
                return Err(self.error(describe_failed(&failed)));
            }
            let failed_ids: Vec<&str> = failed.iter().map(BatchResultErrorEntry::id).collect();
            waiting.retain(|position| failed_ids.contains(&position.to_string().as_str()));
            if waiting.is_empty() {
                return Err(self.error(format!("failed entries that were never sent: {}", describe_failed(&failed))));
            }
        }
    }

    async fn send_once(&self, bodies: &[String], positions: &[usize]) -> Result<Vec<BatchResultErrorEntry>> {
        let mut entries = Vec::with_capacity(positions.len());
        for position in positions {
            let body = bodies.get(*position).cloned().unwrap_or_default();
            let entry = SendMessageBatchRequestEntry::builder().id(position.to_string()).message_body(body).build();
            entries.push(entry.map_err(|error| self.error(error.to_string()))?);
        }
        let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        match request.send().await {
            Ok(answer) => Ok(answer.failed),
            Err(error) => Err(self.error(described(&error))),
        }
    }

    fn error(&self, problem: String) -> Error {
        Error::Queue { queue: self.url.clone(), problem }
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, bodies: &[String]) -> Result<()> {
        let batches = batches(bodies).map_err(|problem| self.error(problem))?;
        let sends = batches.into_iter().map(|batch| self.send_batch(bodies, batch));
        stream::iter(sends).buffer_unordered(CONCURRENT_BATCHES).try_collect::<()>().await
    }

    async fn waiting(&self) -> Result<u64> {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let request = self.client.get_queue_attributes().queue_url(&self.url).attribute_names(name.clone());
        let answer = request.send().await.map_err(|error| self.error(described(&error)))?;
        let number = answer.attributes().and_then(|attributes| attributes.get(&name)).map(|number| number.parse());
        match number {
            Some(Ok(number)) => Ok(number),
            _ => Err(self.error("the answer tells no number of messages".to_owned())),
        }
    }
}

#[async_trait]
impl Inbox for SqsQueue {
    async fn hide(&self, receipt: &str, wait: Duration) -> Result<()> {
        let request = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(receipt);
        let request = request.visibility_timeout(visibility(wait));
        request.send().await.map(drop).map_err(|error| self.error(described(&error)))
    }
}

/// Whole seconds, rounded up; SQS takes 12 hours at most.
fn visibility(wait: Duration) -> i32 {
    let seconds = wait.as_millis().div_ceil(1_000).min(12 * 3_600);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// SQS's own words about a call that failed, or else what went wrong on the way to it.
fn described<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let words = match (error.code(), error.message()) {
        (Some(code), message) => format!("{code}: {}", message.unwrap_or("no message")),
        (None, _) => causes(error),
    };
    format!("{words} (request id {})", error.request_id().unwrap_or("unknown"))
}

/// The positions of the bodies, in batches that SQS takes. A body above the batch limit goes alone.
fn batches(bodies: &[String]) -> Result<Vec<Vec<usize>>, String> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    for (position, body) in bodies.iter().enumerate() {
        if body.is_empty() || body.len() > MESSAGE_BYTES {
            return Err(format!("message {position} has {} bytes: SQS takes 1 to {MESSAGE_BYTES}", body.len()));
        }
        if batch.len() == BATCH_ENTRIES || (!batch.is_empty() && batch_bytes + body.len() > BATCH_BYTES) {
            batches.push(std::mem::take(&mut batch));
            batch_bytes = 0;
        }
        batch.push(position);
        batch_bytes += body.len();
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    Ok(batches)
}

fn describe_failed(failed: &[BatchResultErrorEntry]) -> String {
    let describe = |entry: &BatchResultErrorEntry| {
        format!("message {}: {} ({})", entry.id(), entry.code(), entry.message().unwrap_or("no message"))
    };
    failed.iter().map(describe).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_message_is_in_one_batch_within_the_limits(sizes in prop::collection::vec(1_usize..400_000, 0..60)) {
            let bodies: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
            let batches = batches(&bodies).unwrap();
            for batch in &batches {
                let bytes: usize = batch.iter().filter_map(|position| sizes.get(*position)).sum();
                prop_assert!((1..=BATCH_ENTRIES).contains(&batch.len()));
                prop_assert!(bytes <= BATCH_BYTES || batch.len() == 1);
            }
            let sent: Vec<usize> = batches.into_iter().flatten().collect();
            prop_assert_eq!(sent, (0..sizes.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_rounded_up() {
        let waits = [0, 1, 1_500, 2_000, 90_000_000].map(|ms| visibility(Duration::from_millis(ms)));
        assert_eq!(waits, [0, 1, 2, 2, 43_200]);
    }

    #[test]
    fn a_message_that_no_queue_takes_is_refused_before_anything_is_sent() {
        assert!(batches(&["x".repeat(MESSAGE_BYTES)]).is_ok());
        assert!(batches(&["x".to_owned(), "x".repeat(MESSAGE_BYTES + 1)]).is_err());
        assert!(batches(&[String::new()]).is_err());
    }
}
