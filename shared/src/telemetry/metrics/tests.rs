//! Every line fits the specification: "Specification: Embedded metric format", CloudWatch user guide.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::cost::{Took, Usage};
use crate::ledger::identity::{Purpose, Source};
use crate::ledger::records::FORMAT;
use crate::ledger::{Failure, RowCounts};
use crate::storage::ObjectVersion;

/// `StandardUnit` of the API reference, MetricDatum.
const UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

/// Asserts the specification's rules, and answers the metrics' names.
fn assert_fits(line: &Value) -> BTreeSet<String> {
    let text = line.to_string();
    assert!(text.len() < 1 << 20 && !text.contains('\n'), "one log event of less than 1 MB");
    let read: Value = serde_json::from_str(&text).unwrap();
    let root = read.as_object().unwrap();
    let aws = root["_aws"].as_object().unwrap();
    assert_eq!(aws.keys().collect::<Vec<_>>(), ["CloudWatchMetrics", "Timestamp"]);
    let timestamp_ms = aws["Timestamp"].as_i64().unwrap();
    assert!((1_600_000_000_000..4_000_000_000_000).contains(&timestamp_ms), "milliseconds since 1970: {timestamp_ms}");
    let mut names = BTreeSet::new();
    for directive in aws["CloudWatchMetrics"].as_array().unwrap() {
        let namespace = directive["Namespace"].as_str().unwrap();
        assert!((1..=1_024).contains(&namespace.len()) && !namespace.starts_with("AWS/"));
        let sets = directive["Dimensions"].as_array().unwrap();
        assert!(!sets.is_empty());
        for set in sets {
            let set: Vec<&str> = set.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            assert!(set.len() <= 30, "{set:?}");
            assert_eq!(set.iter().collect::<BTreeSet<_>>().len(), set.len(), "each once: {set:?}");
            for dimension in set {
                let value = root[dimension].as_str().unwrap_or_else(|| panic!("{dimension} is no text: {text}"));
                assert!((1..=1_024).contains(&value.len()) && (1..=250).contains(&dimension.len()));
            }
        }
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()));
        for metric in metrics {
            let name = metric["Name"].as_str().unwrap();
            assert!((1..=1_024).contains(&name.len()));
            assert!(UNITS.contains(&metric["Unit"].as_str().unwrap()), "{metric}");
            assert!(root[name].is_number(), "{name} is no number: {text}");
            assert!(names.insert(name.to_owned()), "{name} twice");
        }
    }
    names
}

const NOW_MS: i64 = 1_760_000_000_000;

fn run() -> Run {
    let version = ObjectVersion { version_id: None, etag: "e".into(), last_modified_ms: 7 };
    let source = Source { bucket: "s3://b".into(), key: "k \"quoted\"\n.parquet".into(), version, size: 9_000 };
    Run::new("trips", "c", Purpose::Incremental, "", source)
}

fn outcome(status: Status, took: Option<Took>) -> Outcome {
    Outcome {
        format: FORMAT,
        run: run(),
        status,
        error: None,
        slices: 1,
        rows: RowCounts { read: 10, kept: 6, quarantined: 3, filtered: 1, written: 6 },
        reasons: BTreeMap::new(),
        dropped: BTreeMap::new(),
        warnings: BTreeMap::new(),
        drift: Vec::new(),
        coerced: Vec::new(),
        parts: Vec::new(),
        quarantine: Vec::new(),
        notes: Vec::new(),
        report_errors: Vec::new(),
        started_at_ms: NOW_MS - 1_500,
        finished_at_ms: NOW_MS,
        took,
    }
}

#[test]
fn every_line_fits_the_specification() {
    let usage = Usage { duration_ms: 1_200, memory_mib: Some(3_008), peak_mib: Some(512) };
    let failed = SliceResult::Failed(Failure { kind: "storage".into(), message: "m".into() });
    let record = SliceRecord {
        format: FORMAT,
        run_id: "r".into(),
        slice: 0,
        attempt: "a".into(),
        recorded_at_ms: NOW_MS,
        usage: Some(usage),
        result: failed,
    };
    let lines = [
        started("stack", "stack-ProcessorFunction-1", NOW_MS),
        dataset_refused("stack", "trips", NOW_MS),
        notice_dropped("stack", &run(), "webhook", NOW_MS),
        slice_ended("stack", &run(), &record),
        slice_ended("stack", &run(), &SliceRecord { usage: None, ..record }),
        run_ended("stack", &outcome(Status::Complete, Some(Took { dollars: Some(0.001), ..Took::default() }))),
        run_ended("stack", &outcome(Status::Failed, None)),
    ];
    let names: BTreeSet<String> = lines.iter().flat_map(assert_fits).collect();
    for wanted in ["ColdStarts", "PeakMemory", "SliceDuration", "PublishDuration", "RunDuration", "Cost", "BytesRead"] {
        assert!(names.contains(wanted), "{wanted}");
    }
}

#[test]
fn a_run_that_ended_is_counted_by_its_status_and_its_rows_by_their_fate() {
    let line = run_ended("stack", &outcome(Status::Failed, None));
    let counts = ["RunsComplete", "RunsFailed", "RunsSuperseded"].map(|name| line[name].as_u64().unwrap());
    assert_eq!(counts, [0, 1, 0]);
    let rows = ["RowsRead", "RowsKept", "RowsQuarantined", "RowsFiltered"].map(|name| line[name].as_u64().unwrap());
    assert_eq!(rows, [10, 6, 3, 1]);
    assert_eq!((&line["BytesRead"], &line["RunDuration"]), (&json!(9_000), &json!(1_500)));
}
