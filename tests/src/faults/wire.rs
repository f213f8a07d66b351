//! Faults on the wire between the functions and S3 and SQS: a matrix of fault and operation, one run for each cell.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::cases::{SLICE_ROWS, rows};
use super::proxy::Proxy;
use super::reader::Reader;
use super::report::{Line, Report};
use super::site::{FUNCTIONS, Site, configure, set_visibility};
use crate::stack::Stack;
use crate::trips::parquet;

const TIMEOUT_S: i32 = 60;
/// A run whose message was given back goes on after this.
const VISIBILITY_S: u32 = 15;
const PATIENCE: Duration = Duration::from_secs(180);

/// What every run asks of S3 and SQS.
const OPERATIONS: [(&str, &str); 10] = [
    ("s3", "GetObject"),
    ("s3", "HeadObject"),
    ("s3", "ListObjectsV2"),
    ("s3", "PutObject"),
    ("s3", "CreateMultipartUpload"),
    ("s3", "UploadPart"),
    ("s3", "CompleteMultipartUpload"),
    ("s3", "ListParts"),
    ("s3", "DeleteObject"),
    ("sqs", "SendMessageBatch"),
];

/// Replies with a body that can be cut.
const WITH_REPLY: [&str; 6] =
    ["GetObject", "ListObjectsV2", "CreateMultipartUpload", "CompleteMultipartUpload", "ListParts", "SendMessageBatch"];

/// Requests with a body that can be cut.
const WITH_BODY: [&str; 4] = ["PutObject", "UploadPart", "CompleteMultipartUpload", "SendMessageBatch"];

/// One cell of the matrix.
#[derive(Debug, Clone)]
pub struct Cell {
    fault: String,
    rule: Value,
}

/// Every cell.
pub fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (service, operation) in OPERATIONS {
        let slow_down = if service == "s3" { "SlowDown" } else { "ServiceUnavailable" };
        let mut cell = |fault: &str, times: u32, effect: Value| {
            let mut rule = json!({"service": service, "operation": operation, "times": times});
            if let (Some(rule), Value::Object(effect)) = (rule.as_object_mut(), effect) {
                rule.extend(effect);
            }
            cells.push(Cell { fault: format!("{fault}, {operation}"), rule });
        };
        cell("503 slow down", 2, json!({"error": {"code": slow_down, "status": 503}}));
        cell("throttled", 2, json!({"error": {"code": "ThrottlingException", "status": 400}}));
        cell("500", 2, json!({"error": {"code": "InternalError", "status": 500}}));
        cell("time-out", 1, json!({"timeout_ms": 1_500}));
        cell("reset", 2, json!({"reset": true}));
        cell("latency", 3, json!({"latency": {"min": 300, "max": 900}}));
        if WITH_REPLY.contains(&operation) {
            cell("reply cut", 2, json!({"response": {"abort_frac": 0.5}}));
        }
        if WITH_BODY.contains(&operation) {
            cell("request cut", 2, json!({"request": {"cut_upload": {"after_frac": 0.5}}}));
        }
        // More than the SDK tries: the message is given back, or the trigger is tried again.
        if ["GetObject", "PutObject", "CompleteMultipartUpload", "SendMessageBatch"].contains(&operation) {
            cell("503 for longer than retries last", 7, json!({"error": {"code": slow_down, "status": 503}}));
        }
    }
    cells
}

/// One for each fault and each operation, but for the one that takes long.
pub fn few() -> Vec<Cell> {
    let wanted = [
        "503 slow down, PutObject",
        "throttled, ListObjectsV2",
        "500, CreateMultipartUpload",
        "time-out, HeadObject",
        "reset, DeleteObject",
        "latency, ListParts",
        "reply cut, GetObject",
        "reply cut, CompleteMultipartUpload",
        "request cut, UploadPart",
        "500, SendMessageBatch",
    ];
    all().into_iter().filter(|cell| wanted.contains(&cell.fault.as_str())).collect()
}

/// Runs these cells one after the other, each with a run of its own.
pub async fn wire(stack: &'static Stack, cells: &[Cell]) -> Result<Report> {
    let proxy = Proxy { endpoint: stack.proxy.clone().context("the stack has no proxy")? };
    let through = [("AWS_ENDPOINT_URL_S3", proxy.endpoint.as_str()), ("AWS_ENDPOINT_URL_SQS", proxy.endpoint.as_str())];
    for function in FUNCTIONS {
        configure(stack, function, TIMEOUT_S, &through).await?;
    }
    set_visibility(stack, VISIBILITY_S).await?;
    let site = Arc::new(Site::new(stack, "wire", SLICE_ROWS).await?);
    let reader = Reader::start(Arc::clone(&site));
    let source = rows();
    let content = parquet(&source, source.len())?;
    let mut report = Report::default();
    let mut clean = None;
    for (number, cell) in [None].into_iter().chain(cells.iter().map(Some)).enumerate() {
        proxy.take_fired()?;
        proxy.set_rules(&json!(cell.map(|cell| &cell.rule).into_iter().collect::<Vec<_>>()))?;
        let file = format!("{number:03}.parquet");
        let run = site.put(&file, content.clone()).await?;
        let ended = site.ended(std::slice::from_ref(&run), PATIENCE).await;
        let fired = proxy.take_fired()?;
        proxy.set_rules(&json!([]))?;
        let fault = cell.map_or("none", |cell| &cell.fault);
        let audited = match ended {
            Ok(ended) => site.audit(&file, &source, &ended[&run.run_id]).await,
            Err(error) => Err(error),
        };
        let audited = match audited {
            Ok(audited) => audited,
            Err(error) => {
                report.problems.push(format!("{fault}: {error:#}"));
                continue;
            }
        };
        if *clean.get_or_insert_with(|| audited.digest.clone()) != audited.digest {
            report.problems.push(format!("{fault}: the parts are not those of a run without a failure"));
        }
        if cell.is_none() {
            continue;
        }
        let mut line = Line { injected: u64::try_from(fired.len())?, ..Line::new(fault) };
        line.add(&file, &audited);
        report.lines.push(line);
        report.fired.extend(fired.into_iter().map(|fired| json!({"fault": fault, "source": file, "fired": fired})));
    }
    site.quiet(Duration::from_secs(60)).await?;
    let seen = reader.stop().await?;
    for line in &mut report.lines {
        line.early = line.digests.keys().map(|file| seen.early_of(file)).sum();
    }
    report.problems.extend(seen.early.iter().map(|(key, why)| format!("{key} was seen early: {why}")));
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_has_each_fault_on_each_operation() {
        assert_eq!(all().len(), OPERATIONS.len() * 6 + WITH_REPLY.len() + WITH_BODY.len() + 4);
        assert_eq!(few().len(), 10);
    }
}
