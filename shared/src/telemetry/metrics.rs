//! Metrics in CloudWatch's embedded metric format: a JSON line whose `_aws` member says which of its members are
//! metrics (CloudWatch user guide, "Specification: Embedded metric format").

use serde_json::{Map, Value, json};

use crate::ledger::{Outcome, Plan, Run, SliceRecord, SliceResult, Status};

/// The namespace of every metric.
pub const NAMESPACE: &str = "Rowmill";

/// Each metric is one of its stack's, which alarms watch, and one of its dataset's.
const BY_DATASET: &[&[&str]] = &[&["Stack"], &["Stack", "Dataset"]];
/// What is no dataset's.
const BY_STACK: &[&[&str]] = &[&["Stack"]];
/// What is a function's.
const BY_FUNCTION: &[&[&str]] = &[&["Stack"], &["Stack", "Function"]];

/// A metric: its name, its unit, its value.
type Metric = (&'static str, &'static str, Value);

/// One line. `members` are its dimensions' values, and what else a query may want to know.
fn line(now_ms: i64, dimensions: &[&[&str]], members: &[(&str, &str)], metrics: Vec<Metric>) -> Value {
    let named: Vec<Value> = metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
    let directive = json!({"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": named});
    let mut line = Map::new();
    line.insert("_aws".to_owned(), json!({"Timestamp": now_ms, "CloudWatchMetrics": [directive]}));
    line.extend(members.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
    line.extend(metrics.into_iter().map(|(name, _, value)| (name.to_owned(), value)));
    Value::Object(line)
}

/// The line for a function's first invocation.
pub fn started(stack: &str, function: &str, now_ms: i64) -> Value {
    line(now_ms, BY_FUNCTION, &[("Stack", stack), ("Function", function)], vec![("ColdStarts", "Count", json!(1))])
}

/// The line for a dataset file that cannot be used: its events are lost until it is mended and relisted.
pub fn dataset_refused(stack: &str, dataset: &str, now_ms: i64) -> Value {
    let members = [("Stack", stack), ("Dataset", dataset)];
    line(now_ms, BY_STACK, &members, vec![("DatasetsRefused", "Count", json!(1))])
}

/// The line for a notice that a channel never took.
pub fn notice_dropped(stack: &str, run: &Run, channel: &str, now_ms: i64) -> Value {
    let members = [("Stack", stack), ("Dataset", run.dataset.as_str()), ("RunId", &run.run_id), ("Channel", channel)];
    line(now_ms, BY_DATASET, &members, vec![("NoticesDropped", "Count", json!(1))])
}

/// The line for a plan.
pub fn planned(stack: &str, plan: &Plan) -> Value {
    let members = [("Stack", stack), ("Dataset", plan.run.dataset.as_str()), ("RunId", &plan.run.run_id)];
    let duration_ms = plan.usage.map_or(0, |usage| usage.duration_ms);
    let metrics = vec![
        ("PlanDuration", "Milliseconds", json!(duration_ms)),
        ("SlicesPlanned", "Count", json!(plan.slices.len())),
    ];
    line(plan.created_at_ms, BY_DATASET, &members, metrics)
}

/// The line for a slice that was recorded.
pub fn slice_ended(stack: &str, run: &Run, record: &SliceRecord) -> Value {
    let members = [("Stack", stack), ("Dataset", run.dataset.as_str()), ("RunId", &run.run_id)];
    let usage = record.usage.unwrap_or_default();
    let mut metrics = vec![("SliceDuration", "Milliseconds", json!(usage.duration_ms))];
    metrics.extend(usage.peak_mib.map(|mib| ("PeakMemory", "Megabytes", json!(mib))));
    let failed = matches!(record.result, SliceResult::Failed(_));
    metrics.push(("SlicesFailed", "Count", json!(u8::from(failed))));
    line(record.recorded_at_ms, BY_DATASET, &members, metrics)
}

/// The line for a run that ended.
pub fn run_ended(stack: &str, outcome: &Outcome) -> Value {
    let run = &outcome.run;
    let members = [("Stack", stack), ("Dataset", run.dataset.as_str()), ("RunId", &run.run_id)];
    let count = |status: Status| json!(u8::from(outcome.status == status));
    let took = outcome.took.as_ref();
    // What was taken of a source that failed before its plan is unknown.
    let bytes_read = if outcome.rows.read > 0 { run.source.size } else { 0 };
    let mut metrics = vec![
        ("RunsComplete", "Count", count(Status::Complete)),
        ("RunsFailed", "Count", count(Status::Failed)),
        ("RunsSuperseded", "Count", count(Status::Superseded)),
        ("RowsRead", "Count", json!(outcome.rows.read)),
        ("RowsKept", "Count", json!(outcome.rows.kept)),
        ("RowsQuarantined", "Count", json!(outcome.rows.quarantined)),
        ("RowsFiltered", "Count", json!(outcome.rows.filtered)),
        ("RowsWritten", "Count", json!(outcome.rows.written)),
        ("BytesRead", "Bytes", json!(bytes_read)),
        ("BytesWritten", "Bytes", json!(outcome.parts.iter().map(|part| part.bytes).sum::<u64>())),
        ("RunDuration", "Milliseconds", json!((outcome.finished_at_ms - outcome.started_at_ms).max(0))),
    ];
    if let Some(took) = took {
        metrics.push(("PublishDuration", "Milliseconds", json!(took.publish_ms)));
        metrics.push(("Invocations", "Count", json!(took.invocations)));
        metrics.push(("GBSeconds", "None", json!(took.gb_seconds)));
        metrics.extend(took.dollars.map(|dollars| ("Cost", "None", json!(dollars))));
    }
    line(outcome.finished_at_ms, BY_DATASET, &members, metrics)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
