//! Messages of a dead-letter queue, back to where they came from.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;

use crate::args::DlqArg;
use crate::fault::Fault;
use crate::stack::Stack;

/// How many messages one command moves at most: a bound, should what is sent back come again at once.
const MAX_MESSAGES: u64 = 100_000;
/// A queue is empty once it answered so often in a row that it has nothing.
const EMPTY_ANSWERS: u32 = 2;

/// A dead-letter queue and its source, as the stack's outputs name them.
#[derive(Debug, Clone, Copy)]
pub struct Queues {
    /// The word for it.
    pub name: &'static str,
    dead: &'static str,
    source: &'static str,
}

/// The queues that an argument means.
pub fn queues(of: DlqArg) -> Vec<Queues> {
    let work = Queues { name: "work", dead: "WorkDlqUrl", source: "WorkQueueUrl" };
    let finalize = Queues { name: "finalize", dead: "FinalizeDlqUrl", source: "FinalizeQueueUrl" };
    match of {
        DlqArg::Work => vec![work],
        DlqArg::Finalize => vec![finalize],
        DlqArg::All => vec![work, finalize],
    }
}

/// Sends every message back, each deleted only once it was sent: one killed in between is delivered twice, which the
/// pipeline bears. Answers how many.
pub async fn send_back(stack: &Stack, queues: Queues, dry_run: bool) -> Result<u64, Fault> {
    let client = Client::new(&stack.config);
    let (dead, source) = (stack.output(queues.dead)?, stack.output(queues.source)?);
    if dry_run {
        return waiting(&client, dead).await;
    }
    let (mut moved, mut empty) = (0, 0);
    while empty < EMPTY_ANSWERS && moved < MAX_MESSAGES {
        let received = client.receive_message().queue_url(dead).max_number_of_messages(10).wait_time_seconds(1).send();
        let received = received.await.map_err(|error| failed(dead, DisplayErrorContext(&error)))?;
        empty = if received.messages().is_empty() { empty + 1 } else { 0 };
        for message in received.messages() {
            let (Some(body), Some(receipt)) = (message.body(), message.receipt_handle()) else { continue };
            let sent = client.send_message().queue_url(source).message_body(body).send().await;
            sent.map_err(|error| failed(source, DisplayErrorContext(&error)))?;
            let deleted = client.delete_message().queue_url(dead).receipt_handle(receipt).send().await;
            deleted.map_err(|error| failed(dead, DisplayErrorContext(&error)))?;
            moved += 1;
        }
    }
    Ok(moved)
}

async fn waiting(client: &Client, url: &str) -> Result<u64, Fault> {
    use aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessages;
    let asked = client.get_queue_attributes().queue_url(url).attribute_names(ApproximateNumberOfMessages).send().await;
    let answer = asked.map_err(|error| failed(url, DisplayErrorContext(&error)))?;
    let number = answer.attributes().and_then(|attributes| attributes.get(&ApproximateNumberOfMessages));
    Ok(number.and_then(|number| number.parse().ok()).unwrap_or(0))
}

fn failed(url: &str, problem: impl std::fmt::Display) -> Fault {
    Fault::failed(format!("queue {url}: {problem}"))
}
