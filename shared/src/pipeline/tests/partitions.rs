//! Partitioned output, end to end over memory storage: real rows, many parts to a slice, every step of the protocol.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, UInt64Type};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::fixture::Stack;
use crate::dataset::Dataset;
use crate::event::{Intent, Request};
use crate::ledger::{Outcome, Status};
use crate::pipeline::formats::Formats;
use crate::pipeline::open::{Eagerness, Opened, open_incremental, source_of};
use crate::pipeline::{finalize, process, request};
use crate::storage::Storage;

const DAY_US: i64 = 86_400_000_000;
/// 2024-01-01.
const START_US: i64 = 19_723 * DAY_US;

fn partitioned(output: &str) -> Stack {
    let text = format!(
        "name = \"trips\"\n[source]\nuri = \"s3://source/in/\"\npattern = \"*.parquet\"\nformat = \"parquet\"\n\
         [output]\nprefix = \"trips/\"\nrow_group_rows = 100\n{output}\n"
    );
    Stack { dataset: Dataset::parse(&text, "trips.toml").unwrap(), ..Stack::new() }
}

const BY_DATE: &str = "partition_by = [\"date(pickup)\"]\nlineage = true";

/// Rows whose pick-up is on the given days since 2024-01-01, in order; `None` is a null.
fn trips(days: &[Option<i64>]) -> Bytes {
    let times = days.iter().enumerate().map(|(row, day)| day.map(|day| START_US + day * DAY_US + row as i64));
    let numbers: Int64Array = (0..days.len() as i64).map(Some).collect();
    let vendors = days.iter().enumerate().map(|(row, _)| [Some("a"), Some("b/c"), None][row % 3]);
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("pickup", Arc::new(times.collect::<TimestampMicrosecondArray>()) as Arc<dyn Array>, true),
        ("number", Arc::new(numbers), true),
        ("vendor", Arc::new(vendors.collect::<StringArray>()), true),
    ])
    .unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    Bytes::from(writer.into_inner().unwrap())
}

fn on(days: impl IntoIterator<Item = i64>) -> Bytes {
    trips(&days.into_iter().map(Some).collect::<Vec<_>>())
}

/// Writes a source, and opens its run.
async fn delivered(stack: &Stack, key: &str, file: Bytes) -> String {
    stack.pass(1_000);
    stack.bucket.put(key, file).await.unwrap();
    let source = source_of("s3://source", stack.bucket.head(key).await.unwrap().unwrap());
    match open_incremental(&stack.ctx, &stack.dataset, source, Eagerness::default()).await.unwrap() {
        Opened::Enqueued(run) => run.run_id,
        other => panic!("{other:?}"),
    }
}

/// Works until no message is left.
async fn work_off(stack: &Stack) {
    loop {
        let (work, ends) = (stack.work.take(), stack.finalizing.take());
        if work.is_empty() && ends.is_empty() {
            return;
        }
        for message in work {
            process::process(&stack.ctx, &Formats::default(), message).await.unwrap();
        }
        for message in ends {
            finalize::handle(&stack.ctx, message).await.unwrap();
        }
    }
}

async fn ingested(stack: &Stack, key: &str, file: Bytes) -> Outcome {
    let run_id = delivered(stack, key, file).await;
    work_off(stack).await;
    stack.ctx.ledger.outcome("trips", &run_id).await.unwrap().unwrap()
}

fn parts(stack: &Stack) -> BTreeMap<String, Bytes> {
    stack.sink.objects().into_iter().filter(|(key, _)| key.starts_with("trips/")).collect()
}

fn keys(stack: &Stack) -> Vec<String> {
    parts(stack).into_keys().collect()
}

fn read(part: &Bytes) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(part.clone()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn numbers(part: &Bytes) -> Vec<i64> {
    read(part).column_by_name("number").unwrap().as_primitive::<Int64Type>().values().to_vec()
}

#[tokio::test]
async fn each_row_lies_in_its_partition_once_and_in_the_sources_order() {
    let stack = partitioned(BY_DATE);
    let days: Vec<Option<i64>> = (0..250).map(|row| [Some(1), Some(0), None, Some(1)][row % 4]).collect();
    let outcome = ingested(&stack, "in/a.parquet", trips(&days)).await;
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.error);
    let folders = ["date=2024-01-01/", "date=2024-01-02/", "date=__HIVE_DEFAULT_PARTITION__/"];
    let expected: Vec<String> = folders
        .iter()
        .flat_map(|folder| (0..3).map(move |slice| format!("trips/{folder}a.parquet.part-0000{slice}.parquet")))
        .collect();
    assert_eq!(keys(&stack), expected);
    let mut seen = Vec::new();
    for (key, part) in parts(&stack) {
        let day = folders.iter().position(|folder| key.contains(folder)).unwrap();
        let wanted = [Some(0), Some(1), None][day];
        let rows = numbers(&part);
        assert!(rows.is_sorted() && rows.iter().all(|row| days[*row as usize] == wanted), "{key}: {rows:?}");
        let batch = read(&part);
        let lineage = batch.column_by_name("_rowmill_row").unwrap().as_primitive::<UInt64Type>();
        assert_eq!(lineage.values().iter().map(|row| *row as i64).collect::<Vec<_>>(), rows);
        seen.extend(rows);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..250).collect::<Vec<_>>());
    assert_eq!((outcome.rows.read, outcome.rows.written, outcome.parts.len()), (250, 250, 9));
    assert_eq!(stack.sink.open_uploads(), []);
}

#[tokio::test]
async fn a_new_version_that_lacks_a_partition_removes_its_part_and_no_other_sources() {
    let stack = partitioned(BY_DATE);
    ingested(&stack, "in/a.parquet", on([0, 0, 1, 2])).await;
    ingested(&stack, "in/b.parquet", on([1, 1])).await;
    let outcome = ingested(&stack, "in/a.parquet", on([0, 3])).await;
    assert_eq!(outcome.status, Status::Complete);
    assert_eq!(
        keys(&stack),
        [
            "trips/date=2024-01-01/a.parquet.part-00000.parquet",
            "trips/date=2024-01-02/b.parquet.part-00000.parquet",
            "trips/date=2024-01-04/a.parquet.part-00000.parquet",
        ]
    );
    assert_eq!(numbers(&parts(&stack)["trips/date=2024-01-01/a.parquet.part-00000.parquet"]), [0]);
    let published = stack.ctx.ledger.pointer("trips", "s3://source", "in/a.parquet").await.unwrap().unwrap().value;
    assert_eq!(published.published.unwrap().parts.len(), 2);
    assert!(published.displaced.is_empty() && published.claim.is_none());
}

#[tokio::test]
async fn a_source_that_is_gone_is_pruned_from_every_partition() {
    let stack = partitioned(BY_DATE);
    ingested(&stack, "in/a.parquet", on(0..5)).await;
    ingested(&stack, "in/b.parquet", on(0..2)).await;
    stack.bucket.delete("in/a.parquet").await.unwrap();
    let asked = Request { intent: Intent::Prune, ..Request::default() };
    request::request(&stack.ctx, std::slice::from_ref(&stack.dataset), &asked, Eagerness::default()).await.unwrap();
    work_off(&stack).await;
    assert_eq!(keys(&stack).len(), 2);
    assert!(keys(&stack).iter().all(|key| key.contains("/b.parquet.part-")), "{:?}", keys(&stack));
}

#[tokio::test]
async fn nothing_is_visible_before_all_slices_are_recorded_and_lost_uploads_are_made_again_with_the_same_bytes() {
    let days = || on((0..350).map(|row| row % 7));
    let straight = partitioned(BY_DATE);
    ingested(&straight, "in/a.parquet", days()).await;

    let stack = partitioned(BY_DATE);
    delivered(&stack, "in/a.parquet", days()).await;
    // The file's message plans; of its four slices one stays unfinished: its message is lost, as in a crash.
    for message in stack.work.take() {
        process::process(&stack.ctx, &Formats::default(), message).await.unwrap();
    }
    let mut slices = stack.work.take();
    let lost = slices.pop().unwrap();
    for message in slices {
        process::process(&stack.ctx, &Formats::default(), message.clone()).await.unwrap();
        // Delivered twice: the second finds the record.
        process::process(&stack.ctx, &Formats::default(), message).await.unwrap();
    }
    assert!(parts(&stack).is_empty());
    assert_eq!(stack.sink.open_uploads().len(), 3 * 7);
    process::process(&stack.ctx, &Formats::default(), lost).await.unwrap();
    // One upload of many expires before the finalizer comes.
    let gone = stack.sink.open_uploads().pop().unwrap();
    stack.sink.abort_upload(&gone.key, &gone.upload_id).await.unwrap();
    work_off(&stack).await;
    assert_eq!(parts(&stack).len(), 4 * 7);
    assert_eq!(parts(&stack), parts(&straight));
    assert_eq!(stack.sink.open_uploads(), []);
}

#[tokio::test]
async fn a_slice_that_fails_leaves_no_upload_of_any_partition() {
    let stack = partitioned("partition_by = [\"date(pickup)\"]\nmax_partitions = 3");
    let outcome = ingested(&stack, "in/a.parquet", on([0, 1, 2, 2, 3, 2, 1, 0])).await;
    let error = outcome.error.unwrap();
    assert_eq!((outcome.status, error.kind.as_str()), (Status::Failed, "limit"));
    assert_eq!(
        error.message,
        "the number of partitions of rows 0..8 of s3://source/in/a.parquet is 4, above the limit of 3: keep stray values \
         out with an expectation on `date(pickup)` (the rarest so far, with their rows: date=2024-01-04 (1), \
         date=2024-01-01 (2), date=2024-01-02 (2)), or raise output.max_partitions"
    );
    assert!(parts(&stack).is_empty());
    assert_eq!(stack.sink.open_uploads(), []);
}

#[tokio::test]
async fn stray_dates_are_kept_out_by_an_expectation() {
    let stack = partitioned(
        "partition_by = [\"date(pickup)\"]\nmax_partitions = 2\nmax_quarantined = 1.0\n[[expectations]]\nname = \"in 2024\"\n\
         expr = \"year(pickup) = 2024\"",
    );
    let outcome = ingested(&stack, "in/a.parquet", on([0, 1, -6_000, -5_000, 9_000])).await;
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.error);
    assert_eq!((outcome.rows.kept, outcome.reasons["in 2024"]), (2, 3));
    assert_eq!(keys(&stack).len(), 2);
}

#[tokio::test]
async fn row_groups_hold_their_windows_rows_of_the_partition() {
    let stack = partitioned("slice_row_groups = 3\npartition_by = [\"date(pickup)\"]");
    // 300 rows are one slice of three windows; day 1 has no rows in the second.
    let day = |row: i64| i64::from(row % 2 == 0 && !(100..200).contains(&row));
    ingested(&stack, "in/a.parquet", on((0..300).map(day))).await;
    let sizes: Vec<Vec<i64>> = parts(&stack)
        .values()
        .map(|part| {
            let reader = ParquetRecordBatchReaderBuilder::try_new(part.clone()).unwrap();
            reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect()
        })
        .collect();
    assert_eq!(sizes, [vec![50, 100, 50], vec![50, 50]]);
}

#[tokio::test]
async fn a_column_that_names_a_partition_leaves_the_part_and_levels_nest() {
    let stack = partitioned("partition_by = [\"vendor\", { name = \"day\", expr = \"date(pickup)\" }]");
    let outcome = ingested(&stack, "in/sub/../a.parquet", on([0; 6])).await;
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.error);
    assert_eq!(
        keys(&stack),
        [
            "trips/vendor=__HIVE_DEFAULT_PARTITION__/day=2024-01-01/sub%2F%2E.%2Fa.parquet.part-00000.parquet",
            "trips/vendor=a/day=2024-01-01/sub%2F%2E.%2Fa.parquet.part-00000.parquet",
            "trips/vendor=b%2Fc/day=2024-01-01/sub%2F%2E.%2Fa.parquet.part-00000.parquet",
        ]
    );
    for part in parts(&stack).values() {
        assert!(read(part).column_by_name("vendor").is_none() && read(part).num_rows() == 2);
    }
}

#[tokio::test]
async fn values_that_are_named_alike_share_a_part_in_the_sources_order() {
    let either = "case when number % 3 = 0 then '' when number % 3 = 1 then null else 'x' end";
    let stack = partitioned(&format!("partition_by = [{{ name = \"v\", expr = \"{either}\" }}]"));
    let outcome = ingested(&stack, "in/a.parquet", on([0; 9])).await;
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.error);
    let rows: Vec<Vec<i64>> = parts(&stack).values().map(numbers).collect();
    assert_eq!(rows, [vec![0, 1, 3, 4, 6, 7], vec![2, 5, 8]]);
}

#[tokio::test]
async fn a_slice_without_kept_rows_makes_no_part() {
    let stack = partitioned("partition_by = [\"date(pickup)\"]\n[transform]\nfilter = \"number < 100\"");
    let outcome = ingested(&stack, "in/a.parquet", on((0..200).map(|_| 0))).await;
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.error);
    assert_eq!((outcome.rows.kept, outcome.rows.filtered), (100, 100));
    assert_eq!(keys(&stack), ["trips/date=2024-01-01/a.parquet.part-00000.parquet"]);
}

#[tokio::test]
async fn a_run_that_never_published_leaves_its_partitions_to_nobody() {
    let stack = partitioned(BY_DATE);
    delivered(&stack, "in/a.parquet", on((0..150).map(|row| row % 3))).await;
    for message in stack.work.take() {
        process::process(&stack.ctx, &Formats::default(), message).await.unwrap();
    }
    let slices = stack.work.take();
    process::process(&stack.ctx, &Formats::default(), slices[0].clone()).await.unwrap();
    assert_eq!(stack.sink.open_uploads().len(), 3);
    // A newer version comes and goes first.
    let outcome = ingested(&stack, "in/a.parquet", on([5])).await;
    assert_eq!(outcome.status, Status::Complete);
    for message in slices {
        let _ = process::process(&stack.ctx, &Formats::default(), message).await;
    }
    work_off(&stack).await;
    assert_eq!(keys(&stack), ["trips/date=2024-01-06/a.parquet.part-00000.parquet"]);
    assert_eq!(stack.sink.open_uploads(), []);
}
