//! Metrics in CloudWatch's embedded metric format: a JSON line whose `_aws` member says which of its members are
//! metrics (CloudWatch user guide, "Specification: Embedded metric format").

use serde_json::{Value, json};

use crate::ledger::{Outcome, Status};

/// The namespace of every metric.
pub const NAMESPACE: &str = "Rowmill";

/// The line for a run that ended: once without dimensions, for alarms, and once per dataset.
pub fn run_ended(outcome: &Outcome) -> Value {
    let count = |status: Status| u8::from(outcome.status == status);
    let metric = |name: &str, unit: &str| json!({"Name": name, "Unit": unit});
    json!({
        "_aws": {
            "Timestamp": outcome.finished_at_ms,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [[], ["Dataset"]],
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
