//! What must hold of parts and uploads.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, ListBuilder, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use proptest::prelude::*;

use super::*;
use crate::Error;
use crate::clock::SystemClock;
use crate::selected::SelectedRows;
use crate::storage::{CompleteOutcome, MemoryStorage, Storage};

fn storage() -> Arc<MemoryStorage> {
    Arc::new(MemoryStorage::new("sink", Arc::new(SystemClock)).with_min_part_bytes(1))
}

async fn upload(storage: &Arc<MemoryStorage>, part_bytes: usize) -> DeferredUpload {
    let options = UploadOptions { part_bytes, concurrent_parts: 3 };
    DeferredUpload::begin(storage.clone(), "out/part-00000.parquet", "a1", &BTreeMap::new(), options).await.unwrap()
}

async fn complete(storage: &Arc<MemoryStorage>, pending: &PendingUpload) -> Bytes {
    let outcome = storage.complete_upload(&pending.key, &pending.upload_id, &pending.parts).await.unwrap();
    assert!(matches!(outcome, CompleteOutcome::Completed { .. }));
    storage.objects()[&pending.key].clone()
}

fn options(threads: usize) -> PartOptions {
    PartOptions {
        compression: Compression::ZSTD(ZstdLevel::try_new(1).unwrap()),
        metadata: BTreeMap::from([("rowmill.run_id".to_owned(), "r1".to_owned())]),
        threads,
    }
}

fn rows(count: usize, nested: bool) -> RecordBatch {
    let text: StringArray = (0..count).map(|row| (row % 6 != 0).then(|| format!("text {}", row % 1300))).collect();
    let times = TimestampMicrosecondArray::from_iter_values((0..count as i64).map(|row| row * row % 9_999_999));
    // A long stretch without nulls beside one with: encoders treat them differently.
    let sparse: Int64Array = (0..count as i64).map(|row| (row < 40_000 || row % 3 != 0).then_some(row * 7)).collect();
    // So wide that pages end by their bytes.
    let wide = |row: usize| (row < 40_000 || !row.is_multiple_of(3)).then(|| format!("{:0200}", row * 7919));
    let wide: StringArray = (0..count).map(wide).collect();
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("text", Arc::new(text)),
        ("time", Arc::new(times)),
        ("sparse", Arc::new(sparse)),
        ("wide", Arc::new(wide)),
    ];
    if nested {
        let mut list = ListBuilder::new(arrow::array::PrimitiveBuilder::<Int64Type>::new());
        for row in 0..count {
            (0..row % 5).for_each(|element| list.values().append_value((row + element) as i64));
            list.append(row % 9 != 0);
        }
        columns.push(("list", Arc::new(list.finish())));
    }
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

/// Rows of a batch; an even number of them among others that are left out.
fn piece(rows: &RecordBatch, start: usize, count: usize) -> SelectedRows {
    if !count.is_multiple_of(2) {
        return rows.slice(start, count).into();
    }
    let other = (rows.num_rows() - 1 - start) as u64;
    let places = (start as u64..).take(count).flat_map(|row| match row % 99 {
        0 => vec![(row, true), (other, false)],
        _ => vec![(row, true)],
    });
    let (places, selection): (Vec<u64>, Vec<bool>) = places.unzip();
    let all = take_record_batch(rows, &UInt64Array::from(places)).unwrap();
    SelectedRows::try_new(all.schema(), all.columns().to_vec(), all.num_rows(), Some(selection.into())).unwrap()
}

/// Writes `rows` cut into batches of the given sizes, round and round, with a row group every `group` rows.
async fn part(rows: &RecordBatch, sizes: &[usize], group: usize, threads: usize) -> (Bytes, PartStats) {
    let storage = storage();
    let mut writer = PartWriter::begin(rows.schema(), options(threads), upload(&storage, 100_000).await);
    let mut sizes = sizes.iter().cycle();
    let mut start = 0;
    while start < rows.num_rows() {
        let group_end = (start / group + 1) * group;
        let count = (*sizes.next().unwrap()).min(rows.num_rows() - start).min(group_end - start);
        writer.write(piece(rows, start, count)).await.unwrap();
        start += count;
        if start == group_end {
            writer.end_row_group().await.unwrap();
        }
    }
    let finished = writer.finish().await.unwrap();
    let bytes = complete(&storage, &finished.upload).await;
    assert_eq!(finished.stats.bytes, bytes.len() as u64);
    (bytes, finished.stats)
}

fn read(bytes: Bytes, schema: &Arc<Schema>) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    concat_batches(schema, &reader.map(Result::unwrap).collect::<Vec<_>>()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_holds_its_rows_in_the_row_groups_it_was_told() {
    let rows = rows(70_000, true);
    let (bytes, stats) = part(&rows, &[9_000], 30_000, 2).await;
    assert_eq!((stats.rows, stats.row_groups.as_slice()), (70_000, [30_000, 30_000, 10_000].as_slice()));
    assert_eq!(read(bytes, &rows.schema()), rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_a_part_do_not_depend_on_threads_or_batches() {
    for nested in [false, true] {
        let rows = rows(80_000, nested);
        let (wanted, _) = part(&rows, &[32_768], 70_000, 1).await;
        for (sizes, threads) in [(vec![80_000], 1), (vec![32_768], 3), (vec![1, 777, 40_000], 2), (vec![999], 8)] {
            let (found, _) = part(&rows, &sizes, 70_000, threads).await;
            assert!(found == wanted, "batches of {sizes:?} on {threads} threads, nested: {nested}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_do_those_of_wide_rows() {
    let text = (0..30_000).map(|row| format!("{row:>1500}"));
    let rows =
        RecordBatch::try_from_iter([("text", Arc::new(StringArray::from_iter_values(text)) as ArrayRef)]).unwrap();
    let (wanted, _) = part(&rows, &[16_384], 30_000, 1).await;
    for sizes in [vec![30_000], vec![1_025], vec![1, 777, 10_000]] {
        let (found, _) = part(&rows, &sizes, 30_000, 2).await;
        assert!(found == wanted, "batches of {sizes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_written_in_turns_has_the_bytes_of_one_written_at_once() {
    let rows = rows(80_000, true);
    let (wanted, stats) = part(&rows, &[32_768], 30_000, 1).await;
    let storage = storage();
    let mut writer = TurnWriter::begin(rows.schema(), options(2), upload(&storage, 100_000).await);
    for start in [0, 30_000, 60_000] {
        let end = (start + 30_000).min(80_000);
        let pieces = (start..end).step_by(7_000).map(|at| rows.slice(at, 7_000.min(end - at)));
        writer.row_group(pieces.collect()).await.unwrap();
    }
    let finished = writer.finish().await.unwrap();
    assert_eq!(finished.stats, stats);
    assert!(complete(&storage, &finished.upload).await == wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_fails_ends_the_part_and_aborts_its_upload() {
    let storage = storage();
    let mut writer = TurnWriter::begin(rows(0, true).schema(), options(1), upload(&storage, 1000).await);
    assert!(writer.row_group(vec![rows(10, false)]).await.is_err());
    let error = writer.finish().await.unwrap_err();
    assert!(error.to_string().contains("the part has ended before"), "{error}");
    assert!(storage.open_uploads().is_empty() && storage.objects().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_has_page_indexes_statistics_its_codec_and_its_metadata() {
    let (bytes, _) = part(&rows(50_000, false), &[10_000], 50_000, 1).await;
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    reader.try_parse(&bytes).unwrap();
    let metadata = reader.finish().unwrap();
    let file = metadata.file_metadata();
    assert_eq!(file.created_by(), Some(concat!("rowmill ", env!("CARGO_PKG_VERSION"))));
    let pairs = file.key_value_metadata().unwrap();
    assert!(pairs.iter().any(|pair| pair.key == "rowmill.run_id" && pair.value.as_deref() == Some("r1")));
    let group = metadata.row_group(0);
    for column in group.columns() {
        assert!(matches!(column.compression(), Compression::ZSTD(_)));
        assert!(column.statistics().is_some() && column.column_index_offset().is_some());
        assert!(column.offset_index_offset().is_some());
    }
    let encodings: Vec<Encoding> = group.column(1).encodings().collect();
    assert!(
        encodings.contains(&Encoding::PLAIN) || encodings.contains(&Encoding::DELTA_BINARY_PACKED),
        "{encodings:?}"
    );
    assert_eq!(group.column(1).dictionary_page_offset(), None);
    assert!(group.column(0).dictionary_page_offset().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_without_rows_is_a_file_that_tells_its_schema() {
    let storage = storage();
    let schema = rows(0, true).schema();
    let mut writer = PartWriter::begin(schema.clone(), options(2), upload(&storage, 1000).await);
    writer.end_row_group().await.unwrap();
    let finished = writer.finish().await.unwrap();
    assert_eq!((finished.stats.rows, finished.stats.row_groups.len()), (0, 0));
    let bytes = complete(&storage, &finished.upload).await;
    assert_eq!(ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().schema().fields(), schema.fields());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_other_columns_ends_the_part_and_aborts_its_upload() {
    let storage = storage();
    let other = Arc::new(Schema::new(vec![Field::new("other", DataType::Int64, true)]));
    let mut writer = PartWriter::begin(other, options(1), upload(&storage, 1000).await);
    let _ = writer.write(rows(10, false)).await;
    let error = writer.finish().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "internal: encoding out/part-00000.parquet: Parquet error: a batch has other columns than the part"
    );
    assert!(storage.open_uploads().is_empty() && storage.objects().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_an_upload_is_what_the_next_write_tells() {
    let storage = storage();
    // Parts of one byte: the limit on parts is soon reached.
    let mut writer = PartWriter::begin(rows(0, false).schema(), options(1), upload(&storage, 1).await);
    let error = loop {
        let written = match writer.write(rows(50_000, false)).await {
            Ok(()) => writer.end_row_group().await,
            failed => failed,
        };
        if let Err(error) = written {
            break error;
        }
    };
    assert!(matches!(error, Error::Limit { limit: 10_000, .. }), "{error}");
    writer.abort().await;
    assert!(storage.open_uploads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_part_leaves_nothing_behind() {
    let storage = storage();
    let mut writer = PartWriter::begin(rows(0, false).schema(), options(1), upload(&storage, 1000).await);
    writer.write(rows(50_000, false)).await.unwrap();
    writer.end_row_group().await.unwrap();
    writer.abort().await;
    assert!(storage.open_uploads().is_empty() && storage.objects().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_visible_before_the_upload_is_completed() {
    let storage = storage();
    let mut deferred = upload(&storage, 10).await;
    deferred.write(Bytes::from_static(b"0123456789abcdefghij+")).await.unwrap();
    let pending = deferred.finish().await.unwrap();
    assert!(storage.objects().is_empty());
    assert_eq!(complete(&storage, &pending).await, "0123456789abcdefghij+");
    assert_eq!(pending.parts.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((pending.size, pending.attempt.as_str()), (21, "a1"));
}

/// The check value of CRC-64/NVME in the catalogue of parametrised CRC algorithms.
#[tokio::test(flavor = "multi_thread")]
async fn the_checksum_is_crc_64_nvme_of_the_whole() {
    let storage = storage();
    let mut deferred = upload(&storage, 4).await;
    deferred.write(Bytes::from_static(b"123456789")).await.unwrap();
    assert_eq!(deferred.finish().await.unwrap().crc64, "ae8b14860a799888");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_more_parts_than_s3_takes_is_refused() {
    let storage = storage();
    let mut deferred = upload(&storage, 1).await;
    let error = deferred.write(Bytes::from(vec![0; 10_001])).await.unwrap_err();
    assert!(matches!(error, Error::Limit { limit: 10_000, .. }), "{error}");
    deferred.abort().await;
    assert!(storage.open_uploads().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn an_object_is_its_bytes_in_parts_of_one_size_however_they_came(
        bytes in prop::collection::vec(any::<u8>(), 0..500), cuts in prop::collection::vec(1usize..60, 1..10), part in 1usize..90,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (found, pending) = runtime.block_on(async {
            let storage = storage();
            let mut deferred = upload(&storage, part).await;
            let (mut rest, mut cuts) = (Bytes::from(bytes.clone()), cuts.iter().cycle());
            while !rest.is_empty() {
                let count = (*cuts.next().unwrap()).min(rest.len());
                deferred.write(rest.split_to(count)).await.unwrap();
            }
            let pending = deferred.finish().await.unwrap();
            (complete(&storage, &pending).await, pending)
        });
        prop_assert_eq!(pending.parts.len(), bytes.len().div_ceil(part).max(1));
        prop_assert_eq!(found, bytes);
    }
}
