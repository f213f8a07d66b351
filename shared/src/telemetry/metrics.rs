//! Metrics in CloudWatch's embedded metric format: a JSON line whose `_aws` member says which of its members are
//! metrics (CloudWatch user guide, "Specification: Embedded metric format").

use serde_json::{Value, json};

use crate::ledger::{Outcome, Status};

/// The namespace of every metric.
pub const NAMESPACE: &str = "Rowmill";

fn metric(name: &str, unit: &str) -> Value {
    json!({"Name": name, "Unit": unit})
}

/// The line for a dataset file that cannot be used: its events are lost until it is mended and relisted.
pub fn dataset_refused(stack: &str, dataset: &str, now_ms: i64) -> Value {
    json!({
        "_aws": {
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["Stack"]],
                "Metrics": [metric("DatasetsRefused", "Count")],
            }],
        },
        "Stack": stack,
        "Dataset": dataset,
        "DatasetsRefused": 1,
    })
}

/// The line for a run that ended: once for the stack, which alarms watch, and once per dataset.
pub fn run_ended(stack: &str, outcome: &Outcome) -> Value {
    let count = |status: Status| u8::from(outcome.status == status);
    json!({
        "_aws": {
            "Timestamp": outcome.finished_at_ms,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["Stack"], ["Stack", "Dataset"]],
                "Metrics": [
                    metric("RunsComplete", "Count"),
                    metric("RunsFailed", "Count"),
                    metric("RunsSuperseded", "Count"),
                    metric("RowsRead", "Count"),
                    metric("RowsKept", "Count"),
                    metric("RowsQuarantined", "Count"),
                    metric("RowsFiltered", "Count"),
                    metric("BytesWritten", "Bytes"),
                    metric("RunDuration", "Milliseconds"),
                ],
            }],
        },
        "Stack": stack,
        "Dataset": outcome.run.dataset,
        "RunId": outcome.run.run_id,
        "RunsComplete": count(Status::Complete),
        "RunsFailed": count(Status::Failed),
        "RunsSuperseded": count(Status::Superseded),
        "RowsRead": outcome.rows.read,
        "RowsKept": outcome.rows.kept,
        "RowsQuarantined": outcome.rows.quarantined,
        "RowsFiltered": outcome.rows.filtered,
        "BytesWritten": outcome.parts.iter().map(|part| part.bytes).sum::<u64>(),
        "RunDuration": outcome.finished_at_ms - outcome.started_at_ms,
    })
}
