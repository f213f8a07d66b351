//! The slices of a file, one after the other, are the file.

use proptest::prelude::*;

use super::*;
use crate::read::testing::OneFile;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

fn layouts() -> impl Strategy<Value = Layout> {
    let codec = prop_oneof![
        Just(Compression::UNCOMPRESSED),
        Just(Compression::SNAPPY),
        Just(Compression::ZSTD(ZstdLevel::default()))
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (prop::collection::vec(0usize..400, 0..6), flags, 10usize..120, codec).prop_map(
        |(row_groups, (nested, offset_index, version_2, dictionary), page_rows, codec)| Layout {
            row_groups,
            nested,
            offset_index,
            version_2,
            page_rows,
            dictionary,
            codec,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_slices_of_a_file_are_its_rows_whatever_its_row_groups_and_pages(
        layout in layouts(), slice_rows in 1u64..500, batch_rows in 1usize..300, coded in any::<bool>(),
    ) {
        let slice_rows = slice_rows.max(layout.row_groups.iter().sum::<usize>() as u64 / 40);
        let (_, source) = OneFile::new(file(&layout)).source();
        let options = ReadOptions { batch_rows, coded, ..ReadOptions::default() };
        let found = runtime().block_on(read_all(&source, slice_rows, &options)).unwrap();
        assert_same(&found, &expected(&layout, &found.schema()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tiny_budget_and_one_read_at_a_time_never_lock_up() {
    let layout = Layout { row_groups: vec![3000, 10, 5000], nested: true, ..Layout::default() };
    for offset_index in [true, false] {
        let layout = Layout { offset_index, ..layout.clone() };
        let (_, source) = OneFile::new(file(&layout)).source();
        let options =
            ReadOptions { batch_rows: 100, concurrent_reads: 1, fetched_bytes: 1, batches_ahead: 1, coded: false };
        let found = read_all(&source, 1234, &options).await.unwrap();
        assert_same(&found, &expected(&layout, &found.schema()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_the_source_holds_as_codes_come_as_codes_of_one_dictionary() {
    for version_2 in [false, true] {
        let layout = Layout { row_groups: vec![1000, 500], version_2, nested: true, ..Layout::default() };
        let (_, source) = OneFile::new(file(&layout)).source();
        let footer = Footer::read(&source).await.unwrap();
        let options = ReadOptions { batch_rows: 300, coded: true, ..ReadOptions::default() };
        let mut reader = SliceReader::open(&source, &footer, None, 100..1400, &options).await.unwrap();
        let (mut dictionaries, mut rows) = (Vec::new(), Vec::new());
        while let Some(batch) = reader.next().await.unwrap() {
            let coded = |at: usize| crate::coded::parts(batch.column(at), footer.schema.field(at).data_type());
            assert!(coded(1).is_none() && coded(5).is_none(), "timestamps and lists come plain");
            let text = coded(3).unwrap();
            // Kept, as another array may lie where a dropped one lay.
            dictionaries.push(text.values().clone());
            rows.push((batch.num_rows(), coded(0).is_some(), coded(2).is_some()));
        }
        assert_eq!(rows, [300, 300, 300, 300, 100].map(|rows| (rows, true, true)));
        let same = |a: usize, b: usize| Arc::ptr_eq(&dictionaries[a], &dictionaries[b]);
        assert!((0..3).all(|batch| same(batch, 0)));
        assert!(!same(3, 0) && same(3, 4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_rows_has_a_schema_and_no_slices() {
    let (_, source) = OneFile::new(file(&Layout { row_groups: vec![], ..Layout::default() })).source();
    let footer = Footer::read(&source).await.unwrap();
    assert_eq!(footer.total_rows, 0);
    assert_eq!(footer.schema.fields().len(), 5);
    let mut reader = SliceReader::open(&source, &footer, None, 0..0, &ReadOptions::default()).await.unwrap();
    assert!(reader.next().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_dropped_early_leaves_nothing_running() {
    let (storage, source) = OneFile::new(file(&Layout { row_groups: vec![20_000], ..Layout::default() })).source();
    let footer = Footer::read(&source).await.unwrap();
    let options = ReadOptions { batch_rows: 10, ..ReadOptions::default() };
    let mut reader = SliceReader::open(&source, &footer, None, 0..20_000, &options).await.unwrap();
    reader.next().await.unwrap().unwrap();
    drop((reader, source));
    // The decoder's thread lets go of the storage as soon as it finds nobody listening.
    for _ in 0..200 {
        if Arc::strong_count(&storage) == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("something still holds the source");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_overwritten_while_it_is_read_is_told_as_such() {
    let mut storage = OneFile::new(file(&Layout::default()));
    storage.changes_at_read = Some(2);
    let (_, source) = storage.source();
    let error = read_all(&source, 300, &ReadOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::SourceChanged { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_beyond_the_file_are_refused() {
    let (_, source) = OneFile::new(file(&Layout::default())).source();
    let footer = Footer::read(&source).await.unwrap();
    let error = SliceReader::open(&source, &footer, None, 0..1001, &ReadOptions::default()).await.unwrap_err();
    assert_eq!(
        problem(&error),
        "test://bucket/in/a file.parquet: rows 0 to 1001 are not among its 1000 rows: it is not the file that was planned"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plans_pages_that_do_not_fit_the_file_are_left_out_of_account() {
    let layout = Layout { offset_index: false, ..Layout::default() };
    let (_, source) = OneFile::new(file(&layout)).source();
    let footer = Footer::read(&source).await.unwrap();
    let slices = plan::slices(footer.total_rows, 300, 1, 100).unwrap();
    let mut pages = find_pages(&source, &footer, &slices).await.unwrap();
    for column in pages.row_groups.values_mut().flat_map(|group| group.columns.values_mut()) {
        column.offset += 1 << 30;
    }
    let wanted = expected(&layout, &footer.schema);
    let found = read_slice(&source, &footer, Some(&pages), &slices[1], &ReadOptions::default()).await.unwrap();
    assert_same(&found, &wanted.slice(300, 300));
}
