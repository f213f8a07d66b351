//! What must hold of flat columns: what is written reads back, by values alone, with bounds that hold.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

use super::*;

/// Rows of a run in these tests.
const RUN: usize = 100;

thread_local! {
    static SPARE: Cell<Buffers> = Cell::default();
}

/// Rows of an array; an even number of them among others that are left out.
fn piece(array: &ArrayRef, at: usize, length: usize) -> SelectedValues {
    if !length.is_multiple_of(2) {
        return SelectedValues::new(&array.slice(at, length), None);
    }
    let other = (array.len() - 1 - at) as u64;
    let rows = (at as u64..).take(length).flat_map(|row| match row % 3 {
        0 => vec![(row, true), (other, false)],
        _ => vec![(row, true)],
    });
    let (rows, selection): (Vec<u64>, Vec<bool>) = rows.unzip();
    let array = take(array, &UInt64Array::from(rows), None).unwrap();
    SelectedValues::new(&array, Some(&selection.into()))
}

/// A file of one column, whose rows come in arrays cut at `cuts`, in runs of [`RUN`].
pub(super) fn file(
    array: &ArrayRef,
    data_type: &DataType,
    nullable: bool,
    codec: Compression,
    cuts: &[usize],
) -> Bytes {
    file_of_pages(array, (data_type, nullable), codec, cuts, RUN)
}

/// As [`file`], in runs of so many rows, each a page.
fn file_of_pages(
    array: &ArrayRef,
    (data_type, nullable): (&DataType, bool),
    codec: Compression,
    cuts: &[usize],
    page_rows: usize,
) -> Bytes {
    let schema = Arc::new(Schema::new(vec![Field::new("c", data_type.clone(), nullable)]));
    let descriptor = ArrowSchemaConverter::new().convert(&schema).unwrap();
    let mut column = FlatColumn::new(data_type, descriptor.column(0), codec, page_rows).unwrap();
    // Left by the columns before: nothing of it may show.
    let mut spare = SPARE.take();
    let mut cuts = cuts.iter().cycle();
    for start in (0..array.len()).step_by(page_rows) {
        let end = (start + page_rows).min(array.len());
        let (mut at, mut run) = (start, Vec::new());
        while at < end {
            let length = (*cuts.next().unwrap()).clamp(1, end - at);
            run.push(piece(array, at, length));
            at += length;
        }
        column.write(&run, &mut spare).unwrap();
    }
    let FlatChunk { pages, close } = column.close(&mut spare).unwrap();
    SPARE.set(spare);
    let mut bytes = Vec::new();
    let properties = WriterProperties::builder().set_compression(codec).build();
    let options = ArrowWriterOptions::new().with_properties(properties);
    let writer = ArrowWriter::try_new_with_options(&mut bytes, schema, options).unwrap();
    let (mut file, _) = writer.into_serialized_writer().unwrap();
    let mut group = file.next_row_group().unwrap();
    group.append_column(&pages, close).unwrap();
    group.close().unwrap();
    file.close().unwrap();
    bytes.into()
}

pub(super) fn read(bytes: &Bytes) -> ArrayRef {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap().with_batch_size(77).build().unwrap();
    let arrays: Vec<ArrayRef> = reader.map(|batch| batch.unwrap().column(0).clone()).collect();
    concat(&arrays.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap()
}

/// What the parquet crate's decoder makes of DELTA_BINARY_PACKED integers.
pub(super) fn decoded_deltas(bytes: &[u8], count: usize) -> Vec<i64> {
    use parquet::column::page::{Page, PageMetadata, PageReader};
    use parquet::column::reader::ColumnReaderImpl;
    use parquet::data_type::Int64Type;

    struct One(Option<Page>);
    impl Iterator for One {
        type Item = Result<Page>;
        fn next(&mut self) -> Option<Self::Item> {
            self.0.take().map(Ok)
        }
    }
    impl PageReader for One {
        fn get_next_page(&mut self) -> Result<Option<Page>> {
            Ok(self.0.take())
        }
        fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
            Ok(None)
        }
        fn skip_next_page(&mut self) -> Result<()> {
            Ok(())
        }
    }

    let schema = Schema::new(vec![Field::new("c", DataType::Int64, false)]);
    let column = ArrowSchemaConverter::new().convert(&schema).unwrap().column(0);
    let page = Page::DataPage {
        buf: Bytes::copy_from_slice(bytes),
        num_values: count as u32,
        encoding: Encoding::DELTA_BINARY_PACKED,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    };
    let mut reader = ColumnReaderImpl::<Int64Type>::new(column, Box::new(One(Some(page))));
    let mut values = Vec::new();
    reader.read_records(count, None, None, &mut values).unwrap();
    values
}

fn metadata(bytes: &Bytes) -> ParquetMetaData {
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    reader.try_parse(bytes).unwrap();
    reader.finish().unwrap()
}

fn codecs() -> impl Strategy<Value = Compression> {
    prop_oneof![
        Just(Compression::UNCOMPRESSED),
        Just(Compression::SNAPPY),
        Just(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
    ]
}

/// Arrays of every type that is flat, with and without nulls, of few and of many distinct values.
fn arrays() -> impl Strategy<Value = ArrayRef> {
    let types = prop::sample::select(vec![
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Binary,
        DataType::LargeBinary,
        DataType::Date32,
        DataType::Time32(arrow::datatypes::TimeUnit::Millisecond),
        DataType::Time64(arrow::datatypes::TimeUnit::Microsecond),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, Some("UTC".into())),
    ]);
    let distinct = prop_oneof![1u32..4, 4u32..200, Just(u32::MAX)];
    let null_share = prop_oneof![Just(0u32), Just(1), Just(50), Just(100)];
    (types, distinct, null_share, prop::collection::vec(any::<(u32, u32)>(), 0..450)).prop_map(
        |(data_type, distinct, null_share, numbers)| {
            let value =
                |(number, dice): &(u32, u32)| (dice % 100 >= null_share).then_some(i64::from(number % distinct));
            let whole: Int64Array = numbers.iter().map(value).collect();
            let narrow = |bits: u32| arrow::compute::unary::<_, _, Int64Type>(&whole, |value| value % (1 << bits) - 1);
            let small = |bits: u32| arrow::compute::unary::<_, _, Int64Type>(&whole, |value| value % (1 << bits));
            use arrow::datatypes::Int64Type;
            let array: ArrayRef = match &data_type {
                DataType::Int8 => Arc::new(narrow(7)),
                DataType::Int16 => Arc::new(narrow(15)),
                DataType::Int32 | DataType::Date32 | DataType::Time32(_) => {
                    let int: ArrayRef = Arc::new(narrow(31));
                    cast(&int, &DataType::Int32).unwrap()
                }
                DataType::UInt8 => Arc::new(small(8)),
                DataType::UInt16 => Arc::new(small(16)),
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => {
                    let text: StringArray = whole.iter().map(|value| Some(format!("text {}", value?))).collect();
                    Arc::new(text)
                }
                _ => Arc::new(whole),
            };
            let array = match &data_type {
                DataType::LargeBinary => cast(&array, &DataType::Binary).unwrap(),
                _ => array,
            };
            cast(&array, &data_type).unwrap()
        },
    )
}

/// The array as codes into a dictionary in another order than that of first use, with entries that nothing uses. Codes are
/// as narrow as they can be, and wider every other time.
fn as_codes(array: &ArrayRef) -> ArrayRef {
    let places = Int32Array::from_iter_values((0..array.len() as i32).rev());
    let values = arrow::compute::take(array, &places, None).unwrap();
    let last = array.len() as i32 - 1;
    let keys: Int32Array = (0..array.len()).map(|row| array.is_valid(row).then_some(last - row as i32)).collect();
    let widths = [DataType::UInt8, DataType::UInt16, DataType::Int32];
    let fitting = if array.len() <= 256 { 0 } else { 1 };
    narrowed(keys, values, &widths[(fitting + array.null_count() % 2).min(2)])
}

/// Codes in integers of that type.
fn narrowed(keys: Int32Array, values: ArrayRef, to: &DataType) -> ArrayRef {
    let coded = DictionaryArray::<Int32Type>::try_new(keys, values).unwrap();
    let of = Box::new(coded.values().data_type().clone());
    cast(&coded, &DataType::Dictionary(Box::new(to.clone()), of)).unwrap()
}

/// The array as codes into its distinct values.
fn as_dictionary(array: &ArrayRef) -> ArrayRef {
    let (mut places, mut firsts) = (std::collections::HashMap::new(), Vec::new());
    let mut key = |row: usize| {
        let shown = arrow::util::display::array_value_to_string(array, row).unwrap();
        *places.entry(shown).or_insert_with(|| {
            firsts.push(row as i32);
            firsts.len() as i32 - 1
        })
    };
    let keys: Int32Array = (0..array.len()).map(|row| array.is_valid(row).then(|| key(row))).collect();
    let values = arrow::compute::take(array, &Int32Array::from(firsts), None).unwrap();
    Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(array in arrays(), codec in codecs(), cuts in prop::collection::vec(1usize..150, 1..5)) {
        prop_assume!(!array.is_empty());
        let bytes = file(&array, array.data_type(), true, codec, &cuts);
        prop_assert_eq!(&read(&bytes), &array);
    }

    #[test]
    fn the_bytes_depend_on_values_alone_not_on_codes_or_cuts(
        array in arrays(), codec in codecs(), cuts in prop::collection::vec(1usize..150, 1..5),
    ) {
        prop_assume!(!array.is_empty());
        let wanted = file(&array, array.data_type(), true, codec, &[RUN]);
        prop_assert!(file(&array, array.data_type(), true, codec, &cuts) == wanted, "cut");
        let coded = as_codes(&array);
        prop_assert!(file(&coded, array.data_type(), true, codec, &[RUN]) == wanted, "coded");
        prop_assert!(file(&coded, array.data_type(), true, codec, &cuts) == wanted, "coded and cut");
    }

    #[test]
    fn statistics_and_page_indexes_bound_their_values(array in arrays()) {
        prop_assume!(!array.is_empty());
        let bytes = file(&as_dictionary(&array), array.data_type(), true, Compression::UNCOMPRESSED, &[RUN]);
        // The parquet crate's writer, one page a run, is what ours is held against.
        let mut theirs = Vec::new();
        let schema = Arc::new(Schema::new(vec![Field::new("c", array.data_type().clone(), true)]));
        let properties = WriterProperties::builder()
            .set_data_page_row_count_limit(RUN)
            .set_write_batch_size(RUN)
            .build();
        let mut writer = ArrowWriter::try_new(&mut theirs, schema.clone(), Some(properties)).unwrap();
        writer.write(&RecordBatch::try_new(schema, vec![array.clone()]).unwrap()).unwrap();
        writer.close().unwrap();
        let (ours, theirs) = (metadata(&bytes), metadata(&theirs.into()));
        let (our_chunk, their_chunk) = (ours.row_group(0).column(0), theirs.row_group(0).column(0));
        let ends = |statistics: &Statistics| {
            (statistics.min_bytes_opt().map(<[u8]>::to_vec), statistics.max_bytes_opt().map(<[u8]>::to_vec), statistics.null_count_opt())
        };
        prop_assert_eq!(our_chunk.statistics().map(ends), their_chunk.statistics().map(ends));
        let index = |metadata: &ParquetMetaData| metadata.column_index().unwrap()[0][0].clone();
        let shape = |index: &ColumnIndexMetaData| (index.null_counts().cloned(), (0..index.num_pages()).map(|page| index.is_null_page(page as usize)).collect::<Vec<_>>());
        let (our_index, their_index) = (index(&ours), index(&theirs));
        prop_assert_eq!(shape(&our_index), shape(&their_index));
        // But for histograms of levels, which ours leaves out.
        let told = |index: &ColumnIndexMetaData| format!("{index:?}").split("repetition").next().map(str::to_owned);
        prop_assert_eq!(told(&our_index), told(&their_index));
        let rows = |metadata: &ParquetMetaData| {
            metadata.offset_index().unwrap()[0][0].page_locations().iter().map(|page| page.first_row_index).collect::<Vec<_>>()
        };
        prop_assert_eq!(rows(&ours), rows(&theirs));
    }
}

#[test]
fn a_value_that_comes_late_in_a_page_is_in_its_range() {
    let rows = 20_000;
    for late in [3_000, 10_001, rows - 1] {
        // All of a small dictionary was seen long before.
        let array: ArrayRef = Arc::new(Int32Array::from_iter_values((0..rows).map(|row| match row {
            _ if row == late => 9,
            _ => row % 2,
        })));
        for array in [as_dictionary(&array), array] {
            let bytes = file_of_pages(&array, (&DataType::Int32, false), Compression::SNAPPY, &[4_999], array.len());
            let metadata = metadata(&bytes);
            let range = metadata.row_group(0).column(0).statistics().unwrap().clone();
            let ends = (range.min_bytes_opt().unwrap().to_vec(), range.max_bytes_opt().unwrap().to_vec());
            assert_eq!(ends, (0i32.to_le_bytes().to_vec(), 9i32.to_le_bytes().to_vec()), "row {late}");
        }
    }
}

#[test]
fn a_column_of_many_distinct_values_is_plain_and_one_of_few_is_coded() {
    let encodings = |array: ArrayRef| {
        let bytes = file(&array, array.data_type(), false, Compression::UNCOMPRESSED, &[RUN]);
        assert_eq!(&read(&bytes), &array);
        let metadata = metadata(&bytes);
        let chunk = metadata.row_group(0).column(0);
        (
            chunk.encodings().any(|encoding| encoding == Encoding::RLE_DICTIONARY),
            chunk.dictionary_page_offset().is_some(),
        )
    };
    assert_eq!(encodings(Arc::new(Int64Array::from_iter_values(0..1000))), (false, false));
    assert_eq!(encodings(Arc::new(Int64Array::from_iter_values((0..1000).map(|row| row % 20)))), (true, true));
}

#[test]
fn a_dictionary_that_grows_large_gives_way_to_plain_pages() {
    // The first page repeats itself; then come long strings, each once.
    let text = (0..3000).map(|row| if row < RUN { format!("{:0900}", row % 5) } else { format!("{row:0900}") });
    let array: ArrayRef = Arc::new(StringArray::from_iter_values(text));
    let bytes = file(&array, array.data_type(), true, Compression::SNAPPY, &[33]);
    assert_eq!(&read(&bytes), &array);
    assert!(file(&as_codes(&array), array.data_type(), true, Compression::SNAPPY, &[RUN]) == bytes);
    let metadata = metadata(&bytes);
    let pages = metadata.row_group(0).column(0).page_encoding_stats_mask().cloned().unwrap();
    assert!(pages.is_set(Encoding::PLAIN) && pages.is_set(Encoding::RLE_DICTIONARY), "{pages:?}");
}

#[test]
fn long_plain_strings_end_their_pages_early() {
    let array: ArrayRef = Arc::new(StringArray::from_iter_values((0..200).map(|row| format!("{row:030000}"))));
    let bytes = file(&array, array.data_type(), true, Compression::SNAPPY, &[RUN]);
    assert_eq!(&read(&bytes), &array);
    let metadata = metadata(&bytes);
    // The first run shows that codes save nothing; the second is cut.
    let rows: Vec<i64> =
        metadata.offset_index().unwrap()[0][0].page_locations().iter().map(|page| page.first_row_index).collect();
    assert_eq!(rows, [0, 100, 135, 170]);
}

#[test]
fn a_null_where_none_is_allowed_is_an_error() {
    let array: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let schema = Schema::new(vec![Field::new("c", DataType::Int32, false)]);
    let descriptor = ArrowSchemaConverter::new().convert(&schema).unwrap();
    let mut column = FlatColumn::new(&DataType::Int32, descriptor.column(0), Compression::UNCOMPRESSED, RUN).unwrap();
    column.write(&[SelectedValues::new(&array, None)], &mut Buffers::default()).unwrap();
    assert!(column.close(&mut Buffers::default()).is_err());
}

#[test]
fn dictionaries_that_change_midway_share_their_codes() {
    let coded = |texts: &[&str]| -> ArrayRef {
        Arc::new(texts.iter().map(|text| Some(*text)).collect::<DictionaryArray<Int32Type>>())
    };
    let pieces = [coded(&["a", "b", "a"]), coded(&["b", "c"]), coded(&["c", "a", "d"])];
    // a, b, a; b, c; c, a, d
    assert_eq!(codes_of_page(&pieces), (codes::Width::One, vec![0, 1, 0, 1, 2, 2, 0, 3]));
}

/// The codes of one page of these pieces, and how wide they are kept.
fn codes_of_page(pieces: &[ArrayRef]) -> (codes::Width, Vec<u32>) {
    let data_type = pieces[0].as_any_dictionary().values().data_type().clone();
    let schema = Schema::new(vec![Field::new("c", data_type.clone(), true)]);
    let descriptor = ArrowSchemaConverter::new().convert(&schema).unwrap();
    let mut column = FlatColumn::new(&data_type, descriptor.column(0), Compression::UNCOMPRESSED, usize::MAX).unwrap();
    for piece in pieces {
        column.write(&[SelectedValues::new(piece, None)], &mut Buffers::default()).unwrap();
    }
    (column.buffers.codes.width(), column.buffers.codes.iter().collect())
}

#[test]
fn codes_become_wider_midway_through_a_page_and_stay_the_same() {
    let numbers = |range: std::ops::Range<u32>| -> ArrayRef { Arc::new(UInt32Array::from_iter_values(range)) };
    let coded = |range: std::ops::Range<u32>, to: &DataType| {
        let keys = Int32Array::from_iter_values(0..range.len() as i32);
        narrowed(keys, numbers(range), to)
    };
    let few = coded(0..200, &DataType::UInt8);
    assert_eq!(codes_of_page(std::slice::from_ref(&few)), (codes::Width::One, (0..200).collect()));
    // The same dictionary again holds nothing new.
    let again = codes_of_page(&[few.clone(), few.clone()]);
    assert_eq!(again, (codes::Width::One, (0..200).chain(0..200).collect()));
    // The second dictionary might hold as many new values; that it does not is known once they are asked.
    let more = [few.clone(), few.clone(), coded(150..300, &DataType::UInt8)];
    let wanted: Vec<u32> = (0..200).chain(0..200).chain(150..300).collect();
    assert_eq!(codes_of_page(&more), (codes::Width::Two, wanted.clone()));
    let many = [&more[..], &[coded(0..70_000, &DataType::Int32), few.clone()]].concat();
    let wanted: Vec<u32> = wanted.into_iter().chain(0..70_000).chain(0..200).collect();
    assert_eq!(codes_of_page(&many), (codes::Width::Four, wanted));
    let plain_last = [few.clone(), numbers(100..400), few];
    assert_eq!(codes_of_page(&plain_last), (codes::Width::Four, (0..200).chain(100..400).chain(0..200).collect()));
}

#[test]
fn times_are_written_as_codes_differences_or_plain_whichever_suits_them() {
    const ROWS: u64 = 100_000;
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let second = 1_000_000;
    let start = 1_672_531_200 * second;
    let cases: [(Vec<u64>, Encoding); 3] = [
        // Seconds of trips, some minutes out of order: each second is that of several trips.
        ((0..ROWS).map(|row| start + (row / 8 + random() % 900) * second).collect(), Encoding::RLE_DICTIONARY),
        ((0..ROWS).map(|row| start + row * second).collect(), Encoding::DELTA_BINARY_PACKED),
        // All different, and five bytes of each are zero, which is lost in differences of an odd number of bits.
        ((0..ROWS).map(|_| (random() % (1 << 16)) << 40).collect(), Encoding::PLAIN),
    ];
    for (times, wanted) in cases {
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter(
            times.iter().enumerate().map(|(row, time)| (row % 11 > 0).then_some(*time as i64)),
        ));
        let zstd = Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
        let of = (times.data_type(), true);
        let bytes = file_of_pages(&times, of, zstd, &[usize::MAX], 30_000);
        assert_eq!(bytes, file_of_pages(&times, of, zstd, &[977, 20_000], 30_000), "{wanted}");
        assert_eq!(&read(&bytes), &times, "{wanted}");
        let metadata = metadata(&bytes);
        let chunk = metadata.row_group(0).column(0);
        let pages = chunk.page_encoding_stats_mask().map(|mask| mask.encodings().collect::<Vec<_>>());
        assert_eq!(pages, Some(vec![wanted]));
        let (least, greatest) = match chunk.statistics() {
            Some(Statistics::Int64(range)) => (range.min_opt().copied(), range.max_opt().copied()),
            other => unreachable!("{other:?}"),
        };
        let found = times.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
        assert_eq!((least, greatest), (arrow::compute::min(found), arrow::compute::max(found)));
    }
}
