//! Which bytes are read.

use std::collections::BTreeSet;

use arrow::array::StringArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use tokio::sync::mpsc;

use super::*;
use crate::read::parquet::HeldRowGroup;
use crate::read::testing::OneFile;

fn total(reads: &[std::ops::Range<u64>]) -> u64 {
    reads.iter().map(|range| range.end - range.start).sum()
}

/// A file of one row group, large enough that pages matter: about 6 MB.
fn large(offset_index: bool) -> Layout {
    Layout {
        row_groups: vec![600_000],
        offset_index,
        page_rows: 5_000,
        dictionary: false,
        codec: Compression::UNCOMPRESSED,
        ..Layout::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_is_read_with_one_read_for_the_footer_and_one_for_the_rows() {
    let (storage, source) = OneFile::new(file(&Layout::default())).source();
    let footer = Footer::read(&source).await.unwrap();
    assert_eq!(storage.take_reads(), vec![0..source.size; 1]);
    let slice = Slice { index: 0, rows: 0..1000 };
    read_slice(&source, &footer, None, &slice, &ReadOptions::default()).await.unwrap();
    let reads = storage.take_reads();
    assert_eq!(reads.len(), 1, "{reads:?}");
    assert_eq!(reads[0].start, 4, "the first byte behind PAR1");
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_of_one_row_group_read_their_own_pages_only() {
    for offset_index in [true, false] {
        let (storage, source) = OneFile::new(file(&large(offset_index))).source();
        let footer = Footer::read(&source).await.unwrap();
        let slices = plan::slices(footer.total_rows, 60_000, 1, 100).unwrap();
        storage.take_reads();
        let pages = find_pages(&source, &footer, &slices).await.unwrap();
        let walked = total(&storage.take_reads());
        assert_eq!(walked == 0, offset_index);
        assert!(walked < source.size / 20, "{walked} of {}", source.size);
        let mut read = walked;
        for slice in &slices {
            read_slice(&source, &footer, Some(&pages), slice, &ReadOptions::default()).await.unwrap();
            let own = total(&storage.take_reads());
            assert!(own < source.size * 13 / 100, "slice {}: {own} of {}", slice.index, source.size);
            read += own;
        }
        assert!(read <= source.size * 11 / 10, "{read} of {}", source.size);
    }
}

/// A file like a month of trips, at a smaller scale: one row group; times whose dictionary overflows after a few of many
/// pages, amounts and zones that keep theirs, flags that take next to nothing.
fn like_trips(rows: usize) -> Bytes {
    let mixed = |row: usize, salt: usize| (row + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for copy in 0..4 {
        let times =
            (0..rows).map(|row| 1_700_000_000_000_000 + (row as i64) * 150_000 + (mixed(row, copy) % 9_000_000) as i64);
        columns.push((format!("time {copy}"), Arc::new(TimestampMicrosecondArray::from_iter_values(times))));
        let amounts = (0..rows).map(|row| (mixed(row, copy) % 1_500) as i64);
        columns.push((format!("amount {copy}"), Arc::new(Int64Array::from_iter_values(amounts))));
        let zones = (0..rows).map(|row| (mixed(row, copy) % 263) as i64);
        columns.push((format!("zone {copy}"), Arc::new(Int64Array::from_iter_values(zones))));
        let flags = (0..rows).map(|row| if mixed(row, copy) % 50 == 0 { "Y" } else { "N" });
        columns.push((format!("flag {copy}"), Arc::new(StringArray::from_iter_values(flags))));
    }
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_data_page_row_count_limit(2_000)
        .set_write_batch_size(2_000)
        .set_dictionary_page_size_limit(16 << 10)
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_and_walk_together_read_at_most_a_tenth_more_than_the_file() {
    let (storage, source) = OneFile::new(like_trips(300_000)).source();
    let footer = Footer::read(&source).await.unwrap();
    let slices = plan::slices(footer.total_rows, 104_857, 1, 100).unwrap();
    storage.take_reads();
    let pages = find_pages(&source, &footer, &slices).await.unwrap();
    let walked = total(&storage.take_reads());
    assert!(walked <= source.size * 6 / 100, "{walked} of {}", source.size);
    let mut read = walked;
    let mut rows = Vec::new();
    for slice in &slices {
        rows.push(read_slice(&source, &footer, Some(&pages), slice, &ReadOptions::default()).await.unwrap());
        read += total(&storage.take_reads());
    }
    assert!(read <= source.size * 11 / 10, "{walked} walked, {read} read of {}", source.size);
    let whole = Slice { index: 0, rows: 0..footer.total_rows };
    let wanted = read_slice(&source, &footer, None, &whole, &ReadOptions::default()).await.unwrap();
    assert_eq!(concat_batches(&footer.schema, &rows).unwrap(), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dictionary_is_read_by_the_slices_whose_pages_use_it_and_no_others() {
    let (storage, source) = OneFile::new(like_trips(40_000)).source();
    let footer = Footer::read(&source).await.unwrap();
    let slices = plan::slices(footer.total_rows, 10_000, 1, 100).unwrap();
    let pages = find_pages(&source, &footer, &slices).await.unwrap();
    let columns = &pages.row_groups[&0].columns;
    // The times' dictionary overflows on the second page; the amounts' and the flags' never does.
    assert!(columns[&0].plain_from.is_some_and(|place| place <= 2), "{:?}", columns[&0].plain_from);
    assert_eq!((columns[&1].plain_from, columns[&3].plain_from), (None, None));
    for (slice, reads_dictionary) in slices.iter().zip([true, false, false, false]) {
        storage.take_reads();
        read_slice(&source, &footer, Some(&pages), slice, &ReadOptions::default()).await.unwrap();
        let read = storage.take_reads();
        // The first column's dictionary lies behind `PAR1`.
        assert_eq!(read.iter().any(|range| range.contains(&4)), reads_dictionary, "slice {}: {read:?}", slice.index);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_walked_where_slices_end_with_row_groups() {
    let layout = Layout { row_groups: vec![100; 20], offset_index: false, ..Layout::default() };
    let (storage, source) = OneFile::new(file(&layout)).source();
    let footer = Footer::read(&source).await.unwrap();
    storage.take_reads();
    let slices = plan::slices(footer.total_rows, 500, 1, 100).unwrap();
    let pages = find_pages(&source, &footer, &slices).await.unwrap();
    assert_eq!((pages, storage.take_reads()), (PageMap::default(), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_column_with_version_1_pages_is_left_out_and_read_from_the_start() {
    let layout = Layout { row_groups: vec![5000], nested: true, offset_index: false, ..Layout::default() };
    let (_, source) = OneFile::new(file(&layout)).source();
    let footer = Footer::read(&source).await.unwrap();
    let slices = plan::slices(footer.total_rows, 1000, 1, 100).unwrap();
    let pages = find_pages(&source, &footer, &slices).await.unwrap();
    assert_eq!(pages.row_groups[&0].columns.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(
        read_from_start(&footer, &slices, &pages),
        ["pages of column list.list.item do not tell their rows: slices read it from its row group's start"]
    );
    let found = read_slice(&source, &footer, Some(&pages), &slices[3], &ReadOptions::default()).await.unwrap();
    assert_same(&found, &expected(&layout, &footer.schema).slice(3000, 1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_at_most_16_mib_and_few() {
    let layout = Layout { row_groups: vec![600_000; 2], ..large(false) };
    let (storage, source) = OneFile::new(file(&layout)).source();
    let footer = Footer::read(&source).await.unwrap();
    storage.take_reads();
    let slice = Slice { index: 0, rows: 0..1_200_000 };
    read_slice(&source, &footer, None, &slice, &ReadOptions::default()).await.unwrap();
    let reads = storage.take_reads();
    assert!(reads.iter().all(|range| range.end - range.start <= 16 << 20), "{reads:?}");
    assert!(reads.len() as u64 <= source.size.div_ceil(4 << 20) + 8, "{} reads of {}", reads.len(), source.size);
    assert!(total(&reads) <= source.size);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_whose_slices_read_the_same_pages_says_so() {
    let (_, source) = OneFile::new(like_trips(40_000)).source();
    let footer = Footer::read(&source).await.unwrap();
    for (slice_rows, noted) in [(20_000, false), (1_000, true)] {
        let slices = plan::slices(footer.total_rows, slice_rows, 1, 100).unwrap();
        let pages = find_pages(&source, &footer, &slices).await.unwrap();
        let note = read_again(&footer, &slices, &pages);
        assert_eq!(note.as_ref().is_some_and(|note| note.contains("slice_row_groups")), noted, "{note:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_group_that_is_looked_at_and_then_cleaned_or_copied_is_read_once() {
    let (storage, source) = OneFile::new(like_trips(100_000)).source();
    let footer = Footer::read(&source).await.unwrap();
    let rows = 0..footer.total_rows;
    let (index, bytes) = HeldRowGroup::of_rows(&footer, &rows).unwrap();
    storage.take_reads();
    let columns = BTreeSet::from([1, 7, 15]);
    let held = HeldRowGroup::fetch(&source, &footer, index, rows.clone(), &columns).await.unwrap().unwrap();
    let looked_at = total(&storage.take_reads());
    assert!(looked_at < bytes / 4, "{looked_at} of {bytes}");

    assert_eq!(all_rows(held.rows(Some(&[7])).unwrap()).await.num_columns(), 1);
    assert_eq!(total(&storage.take_reads()), 0);

    let cleaned = all_rows(held.rows(None).unwrap()).await;
    let reads = storage.take_reads();
    assert!(total(&reads) + looked_at <= bytes * 101 / 100, "{reads:?}");
    let expected = SliceReader::open(&source, &footer, None, rows, &ReadOptions::default()).await.unwrap();
    assert_eq!(cleaned, all_rows(expected).await);

    storage.take_reads();
    let (sender, mut chunks) = mpsc::channel(1);
    let sending = tokio::spawn(held.send_chunks(sender));
    let mut sent = 0;
    while let Some(chunk) = chunks.recv().await {
        sent += chunk.bytes.len() as u64;
    }
    assert!(sending.await.unwrap().unwrap());
    assert_eq!(sent, bytes);
    assert!(total(&storage.take_reads()) + looked_at <= bytes * 101 / 100);
}

async fn all_rows(mut reader: SliceReader) -> RecordBatch {
    let mut batches = Vec::new();
    while let Some(batch) = reader.next().await.unwrap() {
        // Codes of different batches may be into different dictionaries.
        let plain = batch.columns().iter().map(|column| match column.data_type() {
            DataType::Dictionary(_, values) => cast(column, values).unwrap(),
            _ => column.clone(),
        });
        let names = batch.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        batches.push(RecordBatch::try_from_iter(names.into_iter().zip(plain)).unwrap());
    }
    concat_batches(&batches[0].schema(), &batches).unwrap()
}
