//! Row groups copied as they are: no value is decoded or encoded.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, ConvertedType};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};

use crate::plan::ColumnPages;

/// A column chunk as another file has it.
#[derive(Debug, Clone)]
pub struct EncodedChunk {
    /// The dictionary page, if any, and the data pages; nothing else.
    pub bytes: Bytes,
    /// What the other file tells of it; its offsets do not matter.
    pub metadata: ColumnChunkMetaData,
    /// Where its data pages lie in `bytes`.
    pub pages: ColumnPages,
    /// Rows.
    pub rows: u64,
}

impl EncodedChunk {
    /// Its metadata in a file where it starts at byte 0 and the column is described so.
    pub(crate) fn in_place_of(&self, column: ColumnDescPtr) -> Result<ColumnChunkMetaData> {
        let told = &self.metadata;
        let data_offset = i64::try_from(self.pages.offset)?;
        let mut builder = ColumnChunkMetaData::builder(column)
            .set_compression_codec(told.compression_codec())
            .set_encodings_mask(*told.encodings_mask())
            .set_total_compressed_size(i64::try_from(self.bytes.len())?)
            .set_total_uncompressed_size(told.uncompressed_size())
            .set_num_values(told.num_values())
            .set_data_page_offset(data_offset)
            .set_dictionary_page_offset((data_offset > 0).then_some(0))
            .set_unencoded_byte_array_data_bytes(told.unencoded_byte_array_data_bytes());
        // Minima and maxima of old writers were ordered in ways that nobody can tell.
        if let Some(statistics) = told.statistics().filter(|statistics| !statistics.is_min_max_deprecated()) {
            builder = builder.set_statistics(statistics.clone());
        }
        if let Some(encodings) = told.page_encoding_stats() {
            builder = builder.set_page_encoding_stats(encodings.clone());
        }
        builder.build()
    }

    fn close(&self, column: ColumnDescPtr) -> Result<ColumnCloseResult> {
        let mut index = OffsetIndexBuilder::new();
        let pages = self.pages.pages().ok_or_else(|| ParquetError::General("pages do not add up".to_owned()))?;
        for page in pages {
            index.append_row_count(i64::try_from(page.rows)?);
            index.append_offset_and_size(i64::try_from(page.offset)?, i32::try_from(page.size)?);
        }
        Ok(ColumnCloseResult {
            bytes_written: u64::try_from(self.bytes.len())?,
            rows_written: self.rows,
            metadata: self.in_place_of(column)?,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(index.build()),
        })
    }
}

/// Whether chunks described so by another file fit into a part of these columns and this codec (its level apart).
pub fn fits<'a>(
    schema: &SchemaRef,
    compression: Compression,
    chunks: impl ExactSizeIterator<Item = &'a ColumnChunkMetaData>,
) -> bool {
    let Ok(part) = ArrowSchemaConverter::new().convert(schema) else { return false };
    let same_codec = |other: Compression| std::mem::discriminant(&other) == std::mem::discriminant(&compression);
    chunks.len() == part.num_columns()
        && chunks
            .zip(part.columns())
            .all(|(chunk, column)| same_codec(chunk.compression()) && is_same(chunk.column_descr(), column))
}

/// Whether two columns are read alike, byte for byte.
fn is_same(one: &ColumnDescriptor, other: &ColumnDescriptor) -> bool {
    let converted = one.converted_type();
    let logical = match (one.logical_type_ref(), other.logical_type_ref()) {
        (None, Some(_)) | (Some(_), None) => converted != ConvertedType::NONE && converted == other.converted_type(),
        (one, other) => one == other,
    };
    logical
        && one.path() == other.path()
        && one.physical_type() == other.physical_type()
        && one.type_length() == other.type_length()
        && (one.type_precision(), one.type_scale()) == (other.type_precision(), other.type_scale())
        && (one.max_def_level(), one.max_rep_level()) == (other.max_def_level(), 0)
        && other.max_rep_level() == 0
}

/// Appends a row group of the chunks that `next` gives, one for each column of the file; answers its rows.
pub(super) fn append<W: Write + Send>(
    file: &mut SerializedFileWriter<W>,
    mut next: impl FnMut() -> Option<EncodedChunk>,
) -> Result<u64> {
    let columns = file.schema_descr().columns().to_vec();
    let mut group = file.next_row_group()?;
    let mut rows = None;
    for column in columns {
        let chunk = next().ok_or_else(|| ParquetError::General("a row group to copy has ended early".to_owned()))?;
        if *rows.get_or_insert(chunk.rows) != chunk.rows {
            return Err(ParquetError::General("columns of a row group to copy have not as many rows".to_owned()));
        }
        group.append_column(&chunk.bytes, chunk.close(column)?)?;
    }
    group.close()?;
    Ok(rows.unwrap_or(0))
}
