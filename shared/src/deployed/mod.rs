//! The deployed stack: a context from the environment, and SQS batches answered message by message.

mod batch;
#[cfg(feature = "notify")]
mod channels;

use std::env;
use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};

pub use batch::{Batch, BatchResponse, GivenBack, answer_batch, retried};
#[cfg(feature = "notify")]
pub use channels::channels_from_environment;

use crate::clock::SystemClock;
use crate::pipeline::{Context, Limits};
use crate::queue::{Inbox, Queue, SqsQueue};
use crate::storage::{S3Stores, Stores};
use crate::{Error, Result, telemetry};

/// The sink: `s3://bucket`.
pub const SINK: &str = "ROWMILL_SINK";
/// The work queue's URL.
pub const WORK_QUEUE_URL: &str = "ROWMILL_WORK_QUEUE_URL";
/// The finalize queue's URL.
pub const FINALIZE_QUEUE_URL: &str = "ROWMILL_FINALIZE_QUEUE_URL";
/// How long a run may go without progress before the sweep restarts it, seconds; optional.
pub const STALL_SECONDS: &str = "ROWMILL_STALL_SECONDS";

/// The function's memory, MiB: set by Lambda.
const MEMORY_MIB: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";

/// The SDK's configuration, from the environment.
pub async fn sdk_config() -> SdkConfig {
    aws_config::load_defaults(BehaviorVersion::latest()).await
}

/// The context of a function, from its environment. Build it once, before the first event: clients keep connections.
pub async fn context_from_environment() -> Result<Context> {
    let config = sdk_config().await;
    let stores = stores(&config);
    let sink = stores.open(&variable(SINK)?).await?;
    let sqs = aws_sdk_sqs::Client::new(&config);
    let queue = |url: String| -> Arc<dyn Queue> { Arc::new(SqsQueue::new(sqs.clone(), url)) };
    let (work, finalize) = (queue(variable(WORK_QUEUE_URL)?), queue(variable(FINALIZE_QUEUE_URL)?));
    #[cfg(feature = "failpoints")]
    let (sink, work, finalize) = crate::failing::arm(sink, work, finalize);
    Ok(Context::new(sink, stores, work, finalize, Arc::new(SystemClock), limits()?))
}

/// S3, and web servers where those are compiled in.
fn stores(config: &SdkConfig) -> Arc<dyn Stores> {
    #[cfg(feature = "web")]
    return Arc::new(crate::storage::web::WithWeb::new(S3Stores::new(config)));
    #[cfg(not(feature = "web"))]
    return Arc::new(S3Stores::new(config));
}

/// The queue that a function receives from, whose URL is in the variable `name`.
pub async fn inbox_from_environment(name: &str) -> Result<Arc<dyn Inbox>> {
    let sqs = aws_sdk_sqs::Client::new(&sdk_config().await);
    Ok(Arc::new(SqsQueue::new(sqs, variable(name)?)))
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|_| Error::Internal(format!("environment variable {name} is not set: see template.yaml")))
}

fn limits() -> Result<Limits> {
    let mut limits = Limits { threads: threads(), peak_mib: telemetry::peak_mib, ..Limits::default() };
    if let Ok(seconds) = env::var(STALL_SECONDS) {
        let parsed: i64 = seconds.parse().map_err(|error| {
            Error::Internal(format!("{STALL_SECONDS}={seconds} is not a number of seconds: {error}"))
        })?;
        limits.stall_ms = parsed.saturating_mul(1_000);
    }
    let memory_mib = env::var(MEMORY_MIB).ok().and_then(|mib| mib.parse::<u64>().ok());
    limits.memory_bytes = memory_mib.and_then(|mib| mib.checked_mul(1 << 20));
    Ok(limits)
}

/// As many as Lambda grants.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
