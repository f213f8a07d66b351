//! Faults on a deployed stack of its own: a selection of what the binary `faults` does, and how what cannot succeed ends.

mod ends;
mod matrix;
mod retries;

use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use rowmill_tests::faults;
use rowmill_tests::stack::Stack;
use tokio::sync::{Mutex, MutexGuard};

/// The queues, each of which is to be empty when a test begins: one that failed must not fail the next.
const QUEUES: [&str; 6] =
    ["WorkQueueUrl", "FinalizeQueueUrl", "WorkDlqUrl", "FinalizeDlqUrl", "OnFailureQueueUrl", "TriggerDlqUrl"];

/// The stack, for one test at a time: each sets timeouts, queues and endpoints as it needs them.
async fn stack() -> Result<(&'static Stack, MutexGuard<'static, ()>)> {
    static TURN: Mutex<()> = Mutex::const_new(());
    static STACK: OnceLock<Result<&'static Stack, String>> = OnceLock::new();
    let turn = TURN.lock().await;
    let start = || STACK.get_or_init(|| faults::stack().map_err(|error| format!("{error:#}")));
    let stack = tokio::task::spawn_blocking(start).await?;
    let stack = stack.as_ref().copied().map_err(|error| anyhow!("{error}"))?;
    for queue in QUEUES {
        stack.sqs().await.purge_queue().queue_url(stack.output(queue)?).send().await?;
    }
    Ok((stack, turn))
}
