//! What operators see: structured logs, and metrics in CloudWatch's embedded format.

mod memory;
mod metrics;

use std::io::stderr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::EnvFilter;

pub use memory::peak_mib;

use crate::Error;
use crate::ledger::{Outcome, Plan, Run, SliceRecord, SliceResult};

/// The stack that this process's metrics are of. Only a function prints any, for its standard output is what CloudWatch
/// reads.
static STACK: OnceLock<String> = OnceLock::new();

/// The variable that names the stack, which is a dimension of every metric: two stacks in one account differ by it.
const STACK_VARIABLE: &str = "ROWMILL_STACK";

/// The variable that holds the log filter, such as `info` or `rowmill=debug`.
const LOG_VARIABLE: &str = "ROWMILL_LOG";

/// The function's name: set by Lambda.
const FUNCTION_VARIABLE: &str = "AWS_LAMBDA_FUNCTION_NAME";

/// Whether this process has handled an event.
static WARM: AtomicBool = AtomicBool::new(false);

/// Starts JSON logs and metrics on standard output, as Lambda collects them. Call once, first.
pub fn init_function() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(true).with_span_list(false);
    // A second start (a test in one process) keeps the first.
    let _ = logs.with_env_filter(filter).try_init();
    let _ = STACK.set(std::env::var(STACK_VARIABLE).unwrap_or_else(|_| "rowmill".to_owned()));
}

/// Starts logs for people on standard error, where the variable asks for any: a command tells itself what went wrong.
/// Call once, first.
pub fn init_cli() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("off"));
    let _ = tracing_subscriber::fmt().with_writer(stderr).with_env_filter(filter).with_target(false).try_init();
}

/// Tells that an event came: the first of a process is a cold start.
pub fn invoked(now_ms: i64) {
    if WARM.swap(true, Ordering::Relaxed) {
        return;
    }
    if let Some(stack) = STACK.get() {
        let function = std::env::var(FUNCTION_VARIABLE).unwrap_or_else(|_| "unknown".to_owned());
        println!("{}", metrics::started(stack, &function, now_ms));
    }
}

/// Tells that a run was planned, or found planned.
pub fn planned(plan: &Plan) {
    let (run_id, dataset) = (&plan.run.run_id, &plan.run.dataset);
    tracing::info!(run_id, dataset, rows = plan.rows, slices = plan.slices.len(), "planned");
    if let Some(stack) = STACK.get() {
        println!("{}", metrics::planned(stack, plan));
    }
}

/// Tells that a channel never took the notice of a run's end.
pub fn notice_dropped(run: &Run, channel: &str, problem: &str, now_ms: i64) {
    tracing::error!(run_id = run.run_id, dataset = run.dataset, channel, problem, "notice dropped");
    if let Some(stack) = STACK.get() {
        println!("{}", metrics::notice_dropped(stack, run, channel, now_ms));
    }
}

/// Tells that a slice was recorded.
pub fn slice_ended(run: &Run, record: &SliceRecord) {
    match &record.result {
        SliceResult::Done(done) => tracing::info!(
            run_id = run.run_id,
            dataset = run.dataset,
            slice = record.slice,
            rows = done.rows.read,
            kept = done.rows.kept,
            quarantined = done.rows.quarantined,
            filtered = done.rows.filtered,
            duration_ms = done.duration_ms,
            "slice recorded"
        ),
        SliceResult::Failed(failure) => {
            tracing::error!(run_id = run.run_id, slice = record.slice, error = failure.message, "slice failed");
        }
    }
    if let Some(stack) = STACK.get() {
        println!("{}", metrics::slice_ended(stack, run, record));
    }
}

/// Tells how a run ended, as a log line and as metrics.
pub fn run_ended(outcome: &Outcome) {
    let run = &outcome.run;
    tracing::info!(
        run_id = run.run_id,
        dataset = run.dataset,
        source = run.source.uri(),
        status = ?outcome.status,
        error = outcome.error.as_ref().map(|error| error.message.as_str()),
        rows = outcome.rows.read,
        kept = outcome.rows.kept,
        quarantined = outcome.rows.quarantined,
        duration_ms = outcome.finished_at_ms - outcome.started_at_ms,
        "run ended"
    );
    if let Some(stack) = STACK.get() {
        println!("{}", metrics::run_ended(stack, outcome));
    }
}

/// Tells that a dataset file in the sink cannot be used, as a log line and as a metric.
pub fn dataset_refused(dataset: &str, error: &Error, now_ms: i64) {
    tracing::error!(dataset, %error, "dataset file is wrong: its events are not taken");
    if let Some(stack) = STACK.get() {
        println!("{}", metrics::dataset_refused(stack, dataset, now_ms));
    }
}
