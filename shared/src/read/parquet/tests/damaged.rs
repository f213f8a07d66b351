//! Files that are not what they claim.

use rstest::rstest;

use super::*;
use crate::read::testing::OneFile;

const PLACE: &str = "test://bucket/in/a file.parquet: ";

async fn told(bytes: impl Into<Bytes>) -> String {
    let (_, source) = OneFile::new(bytes).source();
    let plain = problem(&read_all(&source, 300, &ReadOptions::default()).await.unwrap_err()).replace(PLACE, "");
    let options = ReadOptions { coded: true, ..ReadOptions::default() };
    let coded = problem(&read_all(&source, 300, &options).await.unwrap_err());
    assert!(coded.starts_with(PLACE), "{coded}");
    plain
}

#[rstest]
#[case::empty(b"", "empty file: 0 bytes: deliver it again")]
#[case::tiny(b"PAR1", "not a Parquet file: only 4 bytes: deliver it again")]
#[case::csv(b"a,b,c\n1,2,3\n4,5,6\n", "not a Parquet file: no PAR1 at the end: check the dataset's source.format")]
#[case::truncated(
    b"PAR1 and then some, but not all",
    "truncated: it starts as Parquet but there is no PAR1 at the end: deliver the whole file again"
)]
#[case::encrypted(b"PARE        \x04\0\0\0PARE", "encrypted: not supported: deliver it without encryption")]
#[case::footer_length(
    b"PAR1\0\0\0\0\xff\xff\xff\x7fPAR1",
    "the footer claims 2147483647 bytes of a file of 16: it is damaged or cut short, deliver it again"
)]
#[case::footer(
    b"PAR1\x0f\x0f\x0f\x0f\x04\0\0\0PAR1",
    "the footer cannot be read: a type that the protocol does not have: the file is damaged, deliver it again"
)]
#[case::no_footer(
    b"PAR1\x04\0\0\0\0\0\0\0PAR1",
    "the footer cannot be read: it ends too early: the file is damaged, deliver it again"
)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_parquet_file_is_told_in_plain_words(#[case] bytes: &'static [u8], #[case] message: &str) {
    assert_eq!(told(bytes).await, message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_cut_anywhere_is_an_error_and_never_rows() {
    let whole = file(&Layout { row_groups: vec![300, 200], ..Layout::default() });
    for length in (0..whole.len()).step_by(37) {
        told(whole.slice(..length)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_names_its_row_group_and_column() {
    let layout = Layout { row_groups: vec![500, 500], codec: Compression::SNAPPY, ..Layout::default() };
    let whole = file(&layout);
    let (_, source) = OneFile::new(whole.clone()).source();
    let footer = Footer::read(&source).await.unwrap();
    let chunk = footer.metadata.row_group(1).column(3).byte_range();
    let mut bytes = whole.to_vec();
    bytes[(chunk.0 + 2) as usize..(chunk.0 + chunk.1 - 2) as usize].fill(0xff);
    let message = told(bytes).await;
    assert!(message.starts_with("row group 1, column \"text\": "), "{message}");
}

/// A file of plain pages whose footer says that they hold dictionary indices.
fn lying_of_its_encodings() -> Bytes {
    use parquet::basic::{Encoding, PageType};
    use parquet::column::writer::ColumnCloseResult;
    use parquet::file::metadata::{PageEncodingStats, ParquetMetaDataReader};
    use parquet::file::writer::SerializedFileWriter;

    let honest = file(&Layout { dictionary: false, offset_index: false, ..Layout::default() });
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&honest).unwrap();
    let mut bytes = Vec::new();
    let schema = metadata.file_metadata().schema_descr().root_schema_ptr();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for column in metadata.row_group(0).columns() {
        let stats = PageEncodingStats { page_type: PageType::DATA_PAGE, encoding: Encoding::RLE_DICTIONARY, count: 1 };
        let close = ColumnCloseResult {
            bytes_written: column.compressed_size() as u64,
            rows_written: 1000,
            metadata: column.clone().into_builder().set_page_encoding_stats(vec![stats]).build().unwrap(),
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        group.append_column(&honest, close).unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_footer_that_lies_of_dictionary_indices_is_found_out() {
    let (_, source) = OneFile::new(lying_of_its_encodings()).source();
    read_all(&source, 300, &ReadOptions::default()).await.unwrap();
    let options = ReadOptions { coded: true, ..ReadOptions::default() };
    let message = problem(&read_all(&source, 300, &options).await.unwrap_err());
    assert!(message.contains("the footer tells of dictionary indices only, a page holds PLAIN"), "{message}");
}

/// Deterministic noise.
fn noise(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1), |state| {
        let mut next = *state;
        next ^= next << 13;
        next ^= next >> 7;
        next ^= next << 17;
        Some(next)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_turned_at_random_give_rows_or_an_error_and_never_a_panic() {
    for (index, layout) in [
        Layout { row_groups: vec![400, 300], nested: true, codec: Compression::UNCOMPRESSED, ..Layout::default() },
        Layout { row_groups: vec![400], offset_index: false, dictionary: false, version_2: true, ..Layout::default() },
    ]
    .into_iter()
    .enumerate()
    {
        let whole = file(&layout);
        for round in 0..150u64 {
            let mut bytes = whole.to_vec();
            let mut noise = noise(round * 2 + index as u64 + 1).map(|value| value as usize);
            for _ in 0..=round % 4 {
                let at = noise.next().unwrap() % bytes.len();
                bytes[at] = noise.next().unwrap() as u8;
            }
            let (_, source) = OneFile::new(bytes).source();
            let options = ReadOptions { coded: round % 2 == 0, ..ReadOptions::default() };
            match read_all(&source, 150, &options).await {
                Ok(_) | Err(Error::Source { .. } | Error::Limit { .. }) => {}
                Err(other) => panic!("round {round}: {other:?}"),
            }
        }
    }
}
