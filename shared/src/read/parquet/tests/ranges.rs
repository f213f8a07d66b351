//! Which bytes are read.

use super::*;
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
