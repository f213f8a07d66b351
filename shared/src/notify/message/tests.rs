//! What messages look like, and what no input can make of them.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::cost::Took;
use crate::ledger::identity::{Purpose, Run, Source};
use crate::ledger::records::{FORMAT, Visible};
use crate::ledger::{Failure, RowCounts};
use crate::storage::ObjectVersion;

fn outcome(status: Status, key: &str, error: Option<&str>) -> Outcome {
    let version = ObjectVersion { version_id: None, etag: "e".into(), last_modified_ms: 7 };
    let source = Source { bucket: "s3://nyc-tlc".into(), key: key.into(), version, size: 458_200_000 };
    Outcome {
        format: FORMAT,
        run: Run { run_id: "4be1".repeat(8), ..Run::new("fhvhv", "c", Purpose::Incremental, "", source) },
        status,
        error: error.map(|message| Failure { kind: "k".into(), message: message.into() }),
        slices: 18,
        rows: RowCounts::default(),
        reasons: BTreeMap::new(),
        dropped: BTreeMap::new(),
        warnings: BTreeMap::new(),
        drift: Vec::new(),
        coerced: Vec::new(),
        parts: Vec::new(),
        quarantine: Vec::new(),
        notes: Vec::new(),
        report_errors: Vec::new(),
        started_at_ms: 1_000,
        finished_at_ms: 42_200,
        took: None,
    }
}

fn complete() -> Outcome {
    let part = |index: u32| Visible {
        key: format!("fhvhv/fhvhv_tripdata_2025-01.parquet/part-{index:05}.parquet"),
        etag: "e".into(),
        rows: 9,
        bytes: 23_900_000,
        row_groups: vec![9],
        crc64: String::new(),
    };
    let reasons = [("drop-off after pick-up", 102_331), ("fare is not negative", 75_478)];
    Outcome {
        rows: RowCounts { read: 18_479_031, kept: 18_301_222, quarantined: 177_809, filtered: 0, written: 18_301_222 },
        reasons: reasons.map(|(reason, rows)| (reason.to_owned(), rows)).into(),
        parts: (0..18).map(part).collect(),
        took: Some(Took { invocations: 21, gb_seconds: 157.4, dollars: Some(0.003_91), ..Took::default() }),
        ..outcome(Status::Complete, "trip data/fhvhv_tripdata_2025-01.parquet", None)
    }
}

fn composed(outcome: &Outcome) -> Message {
    compose(outcome, &|key| format!("s3://sink/{key}"))
}

#[test]
fn a_complete_run_reads_so() {
    let message = composed(&complete());
    assert_eq!(message.subject, "Rowmill: fhvhv complete: fhvhv_tripdata_2025-01.parquet");
    let expected = "\
fhvhv: fhvhv_tripdata_2025-01.parquet is complete

rows     18,479,031 read, 18,301,222 kept, 177,809 quarantined (1.0 %)
reasons  102,331 drop-off after pick-up, 75,478 fare is not negative
output   18 parts, 430.2 MB of 458.2 MB
time     41.2 s
cost     about $0.00391: 157.4 GB-seconds in 21 invocations
source   s3://nyc-tlc/trip data/fhvhv_tripdata_2025-01.parquet
parts    s3://sink/fhvhv/fhvhv_tripdata_2025-01.parquet/
run      4be14be14be14be14be14be14be14be1
";
    assert_eq!(message.text, expected);
    assert_eq!(message.slack["text"], "✅ fhvhv: fhvhv_tripdata_2025-01.parquet is complete");
    let blocks = message.slack["blocks"].as_array().unwrap();
    let kinds: Vec<&str> = blocks.iter().filter_map(|block| block["type"].as_str()).collect();
    assert_eq!(kinds, ["section", "section", "context"]);
    assert_eq!(blocks[1]["fields"].as_array().unwrap().len(), 5);
}

#[test]
fn a_failed_run_says_why_and_what_to_do() {
    let message = composed(&outcome(Status::Failed, "a.parquet", Some("s3://nyc-tlc/a.parquet: not a Parquet file")));
    assert_eq!(message.subject, "Rowmill: fhvhv failed: a.parquet");
    let expected = "\
fhvhv: a.parquet failed

why      s3://nyc-tlc/a.parquet: not a Parquet file
time     41.2 s
source   s3://nyc-tlc/a.parquet
run      4be14be14be14be14be14be14be14be1

What was published before stays. Once mended: rowmill redrive 4be14be14be14be14be14be14be14be1
";
    assert_eq!(message.text, expected);
    assert_eq!(message.slack["blocks"][1]["text"]["text"], "> s3://nyc-tlc/a.parquet: not a Parquet file");
}

#[test]
fn dropped_rows_are_told_by_expectation() {
    let ended = Outcome { dropped: BTreeMap::from([("far".to_owned(), 1_200), ("long".to_owned(), 7)]), ..complete() };
    let text = composed(&ended).text;
    assert!(text.contains("\ndropped  1,200 far, 7 long\n"), "{text}");
}

#[test]
fn no_name_can_mention_a_channel_or_link_anywhere() {
    let message = composed(&outcome(Status::Superseded, "<!channel> & <https://x|y>\n*.csv", None));
    let sent = message.slack.to_string();
    assert!(!sent.contains('<') && sent.contains("&lt;!channel&gt; &amp; &lt;https:"), "{sent}");
    assert!(message.text.lines().count() < 12 && message.text.contains("<!channel>"), "{}", message.text);
}

/// Every text of the payload with the bound of its place.
fn bounded(value: &Value, max: usize) -> Result<(), TestCaseError> {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                bounded(value, if key == "fields" || key == "elements" { 2_000 } else { max })?;
            }
        }
        Value::Array(all) => {
            prop_assert!((1..=10).contains(&all.len()));
            for value in all {
                bounded(value, max)?;
            }
        }
        Value::String(text) => {
            prop_assert!(!text.is_empty() && text.chars().count() <= max, "{} characters", text.chars().count());
            // What is left is the mark of a quotation.
            prop_assert!(!text.strip_prefix("> ").unwrap_or(text).contains(['<', '>']));
        }
        _ => {}
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_message_keeps_the_bounds_of_its_channel(
        key in "(.|[<&>\n]){0,900}",
        error in proptest::option::of("(.|[<&>\n]){0,900}"),
        dataset in "[a-z][a-z_-]{0,63}",
        reasons in proptest::collection::btree_map("(.|[<&>]){0,200}", 0_u64..u64::MAX / 1_000, 0..9),
        status in prop::sample::select(vec![Status::Complete, Status::Failed, Status::Superseded]),
    ) {
        let mut ended = outcome(status, &key, error.as_deref());
        ended.run.dataset = dataset;
        ended.reasons = reasons;
        let message = composed(&ended);
        let subject = &message.subject;
        prop_assert!(subject.len() <= 100 && subject.is_ascii() && !subject.chars().any(char::is_control), "{subject:?}");
        // SNS takes 256 KiB.
        prop_assert!(message.text.len() < 64 << 10);
        bounded(&message.slack, 3_000)?;
    }
}
