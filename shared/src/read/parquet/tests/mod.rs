//! What must hold of reading Parquet, over generated files and over the public corpus.

mod corpus;
mod damaged;
mod nulls;
mod ranges;
mod slices;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Builder, Int64Array, ListBuilder, RecordBatch, StringBuilder, StringDictionaryBuilder,
    TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int8Type, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};

use super::{Footer, ReadOptions, SliceReader, find_pages, read_again, read_from_start};
use crate::plan::{self, PageMap, Slice};
use crate::read::SourceFile;
use crate::{Error, Result};

/// How a test file is written.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub row_groups: Vec<usize>,
    pub nested: bool,
    pub offset_index: bool,
    pub version_2: bool,
    pub page_rows: usize,
    pub dictionary: bool,
    pub codec: Compression,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            row_groups: vec![1000],
            nested: false,
            offset_index: true,
            version_2: false,
            page_rows: 50,
            dictionary: true,
            codec: Compression::ZSTD(ZstdLevel::default()),
        }
    }
}

/// Rows whose values tell their number.
pub(super) fn rows(first: usize, count: usize, nested: bool) -> RecordBatch {
    let numbers = first..first + count;
    let mut small = Int32Builder::new();
    let mut text = StringBuilder::new();
    let mut category = StringDictionaryBuilder::<Int8Type>::new();
    let mut list = ListBuilder::new(Int32Builder::new());
    for number in numbers.clone() {
        small.append_option((number % 7 != 0).then_some((number * 31 % 1000) as i32));
        text.append_option((number % 5 != 0).then(|| format!("value {}", number % 97)));
        category.append_value(["Y", "N", " "][number % 3]);
        for element in 0..number % 4 {
            list.values().append_option((element != 2).then_some((number * 10 + element) as i32));
        }
        list.append(number % 11 != 3);
    }
    let times: Vec<i64> = numbers.clone().map(|number| 1_580_000_000_000_000 + (number as i64) * 1_700_000).collect();
    let mut columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("number", Arc::new(Int64Array::from_iter_values(numbers.map(|number| number as i64))), false),
        ("time", Arc::new(TimestampMicrosecondArray::from(times)), true),
        ("small", Arc::new(small.finish()), true),
        ("text", Arc::new(text.finish()), true),
        ("category", Arc::new(category.finish()), true),
    ];
    if nested {
        columns.push(("list", Arc::new(list.finish()), true));
    }
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// A file of that layout.
pub(super) fn file(layout: &Layout) -> Bytes {
    let version = if layout.version_2 { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
    let statistics = if layout.offset_index { EnabledStatistics::Page } else { EnabledStatistics::None };
    let properties = WriterProperties::builder()
        .set_writer_version(version)
        .set_data_page_row_count_limit(layout.page_rows)
        .set_write_batch_size(layout.page_rows.min(64))
        .set_dictionary_enabled(layout.dictionary)
        .set_compression(layout.codec)
        .set_statistics_enabled(statistics)
        .set_offset_index_disabled(!layout.offset_index)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows(0, 0, layout.nested).schema(), Some(properties)).unwrap();
    let mut first = 0;
    for &count in &layout.row_groups {
        writer.write(&rows(first, count, layout.nested)).unwrap();
        writer.flush().unwrap();
        first += count;
    }
    writer.close().unwrap();
    bytes.into()
}

/// Every row of one slice.
pub(super) async fn read_slice(
    source: &SourceFile,
    footer: &Footer,
    pages: Option<&PageMap>,
    slice: &Slice,
    options: &ReadOptions,
) -> Result<RecordBatch> {
    let mut reader = SliceReader::open(source, footer, pages, slice.rows.clone(), options).await?;
    let mut batches = Vec::new();
    while let Some(batch) = reader.next().await? {
        assert!(batch.num_rows() > 0 && batch.num_rows() <= options.batch_rows);
        let columns = batch.columns().iter().zip(footer.schema.fields());
        let plain = columns.map(|(column, field)| crate::coded::unpack(column, field.data_type()).unwrap());
        batches.push(RecordBatch::try_new(footer.schema.clone(), plain.collect()).unwrap());
    }
    Ok(concat_batches(&footer.schema, &batches).unwrap())
}

/// Reads a file slice by slice.
pub(super) async fn read_all(source: &SourceFile, slice_rows: u64, options: &ReadOptions) -> Result<RecordBatch> {
    let footer = Footer::read(source).await?;
    let slices = plan::slices(footer.total_rows, slice_rows, 1, u64::MAX)?;
    let pages = find_pages(source, &footer, &slices).await?;
    let mut batches = Vec::new();
    for slice in &slices {
        let batch = read_slice(source, &footer, Some(&pages), slice, options).await?;
        assert_eq!(batch.num_rows() as u64, slice.rows.end - slice.rows.start);
        batches.push(batch);
    }
    Ok(concat_batches(&footer.schema, &batches).unwrap())
}

/// The rows a file of `layout` must read as: dictionaries come with 32-bit indices.
pub(super) fn expected(layout: &Layout, schema: &Arc<Schema>) -> RecordBatch {
    let all = rows(0, layout.row_groups.iter().sum(), layout.nested);
    let columns = all.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()).unwrap());
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

/// Equal by value: dictionaries may differ in their order.
pub(super) fn assert_same(found: &RecordBatch, wanted: &RecordBatch) {
    use arrow::datatypes::DataType;
    assert_eq!(found.schema(), wanted.schema());
    assert_eq!(found.num_rows(), wanted.num_rows());
    for ((found, wanted), field) in found.columns().iter().zip(wanted.columns()).zip(found.schema().fields()) {
        let plain = |array: &ArrayRef| match array.data_type() {
            DataType::Dictionary(_, value) => arrow::compute::cast(array, value).unwrap(),
            _ => array.clone(),
        };
        assert!(plain(found) == plain(wanted), "column {} differs", field.name());
    }
}

pub(super) fn problem(error: &Error) -> String {
    assert!(matches!(error, Error::Source { .. }), "{error:?}");
    error.to_string()
}
