//! Slices in hand at once, of which not all are decoded and encoded at once.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;

use super::fixture::Stack;
use crate::dataset::Dataset;
use crate::pipeline::formats::Formats;
use crate::pipeline::message::Message;
use crate::pipeline::open::{Eagerness, open_incremental, source_of};
use crate::pipeline::process::{Processed, process};
use crate::pipeline::{Context, Limits};
use crate::storage::Storage;

const DATASET: &str = "name = \"trips\"\n[source]\nuri = \"s3://source/in/\"\nformat = \"parquet\"\n\
                       [output]\nprefix = \"trips/\"\nrow_group_rows = 100\ncompression = \"keep\"\n";

/// 200 rows, in row groups of so many.
fn numbers(row_group_rows: usize) -> Bytes {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..200));
    let batch = RecordBatch::try_from_iter([("number", numbers)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    for first in (0..200).step_by(row_group_rows) {
        writer.write(&batch.slice(first, row_group_rows)).unwrap();
        writer.flush().unwrap();
    }
    Bytes::from(writer.into_inner().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_waits_for_its_turn_to_be_encoded_and_one_that_is_copied_does_not() {
    let stack = Stack { dataset: Dataset::parse(DATASET, "trips.toml").unwrap(), ..Stack::new() };
    let Context { stores, work, finalize, clock, .. } = stack.ctx.clone();
    let limits = Limits { encoding_slices: 1, ..Limits::default() };
    let ctx = Context::new(stack.sink.clone(), stores, work, finalize, clock, limits);
    let mut messages: Vec<Message> = Vec::new();
    for (key, row_group_rows) in [("in/copied.parquet", 100), ("in/encoded.parquet", 50)] {
        stack.bucket.put(key, numbers(row_group_rows)).await.unwrap();
        let source = source_of("s3://source", stack.bucket.head(key).await.unwrap().unwrap());
        open_incremental(&ctx, &stack.dataset, source, Eagerness::default()).await.unwrap();
        messages.extend(stack.work.take());
    }
    let [copied, encoded] = <[Message; 2]>::try_from(messages).unwrap();
    let turn = ctx.encoding_turn().await.unwrap();
    let formats = Formats::default();
    let copying = process(&ctx, &formats, copied);
    let copied = tokio::time::timeout(Duration::from_secs(30), copying).await.unwrap();
    assert_eq!(copied.unwrap(), Processed::Recorded);
    let waiting = tokio::spawn({
        let ctx = ctx.clone();
        async move { process(&ctx, &Formats::default(), encoded).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    drop(turn);
    assert_eq!(waiting.await.unwrap().unwrap(), Processed::Recorded);
}
