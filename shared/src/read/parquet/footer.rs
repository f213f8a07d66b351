//! A Parquet file's footer, read and checked.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::basic::{Compression, Type as PhysicalType};
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
    RowGroupMetaData,
};

use super::schema::{self, Levels};
use super::thrift::{self, Problem};
use crate::plan::admission::Widths;
use crate::read::SourceFile;
use crate::{Error, Result};

/// Read at once from the end of the file: most footers fit.
const TAIL_BYTES: u64 = 64 * 1024;
/// `PAR1` at the start; four bytes of length and `PAR1` at the end.
const HEAD: u64 = 4;
const TAIL: u64 = 8;
/// Deeper schemas would overflow a parser's stack before they meant anything.
const MAX_SCHEMA_DEPTH: u32 = 64;

/// Bounds on a footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FooterLimits {
    /// Bytes of the footer.
    pub footer_bytes: u64,
    /// Leaf columns.
    pub columns: u64,
    /// Row groups.
    pub row_groups: u64,
    /// Rows.
    pub rows: u64,
}

impl Default for FooterLimits {
    fn default() -> Self {
        Self { footer_bytes: 64 << 20, columns: 10_000, row_groups: 100_000, rows: 1 << 40 }
    }
}

/// What a footer tells, checked against the file and against itself.
#[derive(Debug, Clone)]
pub struct Footer {
    /// Rows of each row group, in order.
    pub row_groups: Vec<u64>,
    /// Rows of the file.
    pub total_rows: u64,
    /// The Arrow schema that rows are read with: INT96 as microseconds, dictionaries with 32-bit indices, strings not
    /// as views. Without metadata.
    pub schema: SchemaRef,
    /// The codec that most compressed bytes use: what `compression = "keep"` means.
    pub compression: Compression,
    pub(super) metadata: Arc<ParquetMetaData>,
    pub(super) levels: Levels,
    /// The leaf columns that are read; `None` for all.
    pub(super) leaves: Option<Arc<BTreeSet<usize>>>,
    /// As the file has it.
    bytes: Bytes,
}

impl Footer {
    /// Reads and checks the footer under the default limits.
    pub async fn read(source: &SourceFile) -> Result<Self> {
        Self::read_within(source, FooterLimits::default()).await
    }

    /// Reads and checks the footer: one ranged read, two where the footer is large.
    ///
    /// [`Error::Source`] where the file is not Parquet, cut short, encrypted, or tells what cannot be;
    /// [`Error::Limit`] above a limit.
    pub async fn read_within(source: &SourceFile, limits: FooterLimits) -> Result<Self> {
        let bytes = footer_bytes(source, &limits).await?;
        let footer = parse(source, &bytes, &limits)?;
        Ok(footer)
    }

    /// The same file with these columns only, by their place in the schema: what is read of it from then on. `None`
    /// where columns nest.
    pub fn project(&self, columns: &[usize]) -> Option<Self> {
        if self.columns() != self.schema.fields().len() {
            return None;
        }
        let levels = self.levels.project(&self.metadata, columns).ok()?;
        let leaves = Some(Arc::new(columns.iter().copied().collect()));
        Some(Self { schema: levels.schema(), levels, leaves, ..self.clone() })
    }

    /// What the rows take where they are widest.
    pub fn widths(&self) -> Widths {
        let mut widest = Widths { columns: u64::try_from(self.columns()).unwrap_or(u64::MAX), ..Widths::default() };
        for (group, rows) in self.metadata.row_groups().iter().zip(&self.row_groups) {
            let sum = |of: fn(&ColumnChunkMetaData, u64) -> u64| {
                group.columns().iter().fold(0, |sum: u64, chunk| sum.saturating_add(of(chunk, *rows)))
            };
            let stored = sum(|chunk, _| u64::try_from(chunk.compressed_size()).unwrap_or(0));
            widest.stored = widest.stored.max(Widths::per_1024(stored, *rows));
            widest.decoded = widest.decoded.max(Widths::per_1024(sum(decoded_bytes), *rows));
        }
        widest
    }

    /// What the footer tells of a row group's column chunks; nothing of a row group that is not there.
    pub fn chunks(&self, row_group: usize) -> std::slice::Iter<'_, ColumnChunkMetaData> {
        self.metadata.row_groups().get(row_group).map_or(&[][..], RowGroupMetaData::columns).iter()
    }

    /// Whether a leaf column is read.
    pub(super) fn reads(&self, leaf: usize) -> bool {
        self.leaves.as_ref().is_none_or(|leaves| leaves.contains(&leaf))
    }

    /// The metadata with the columns' statistics, which are as true as the file's writer. `None` where they cannot be
    /// read.
    pub(super) fn with_statistics(&self) -> Option<ParquetMetaData> {
        catch_unwind(AssertUnwindSafe(|| ParquetMetaDataReader::decode_metadata(&self.bytes).ok())).ok().flatten()
    }

    /// Leaf columns.
    pub fn columns(&self) -> usize {
        self.metadata.file_metadata().schema_descr().num_columns()
    }
}

pub(super) async fn footer_bytes(source: &SourceFile, limits: &FooterLimits) -> Result<Bytes> {
    if source.size == 0 {
        return Err(source.error("empty file: 0 bytes: deliver it again"));
    }
    if source.size < HEAD + TAIL {
        return Err(source.error(format!("not a Parquet file: only {} bytes: deliver it again", source.size)));
    }
    let tail = source.read(source.size.saturating_sub(TAIL_BYTES)..source.size).await?;
    let (before, last) = tail.split_last_chunk::<8>().ok_or_else(|| Error::Internal("short tail".to_owned()))?;
    let [a, b, c, d, magic @ ..] = *last;
    match &magic {
        b"PAR1" => {}
        b"PARE" => return Err(source.error("encrypted: not supported: deliver it without encryption")),
        _ => {
            let head = source.read(0..HEAD).await?;
            return Err(match head.as_ref() {
                b"PAR1" | b"PARE" => source.error(
                    "truncated: it starts as Parquet but there is no PAR1 at the end: deliver the whole file again",
                ),
                _ => source.error("not a Parquet file: no PAR1 at the end: check the dataset's source.format"),
            });
        }
    }
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    if length > source.size - HEAD - TAIL {
        return Err(source.error(format!(
            "the footer claims {length} bytes of a file of {}: it is damaged or cut short, deliver it again",
            source.size
        )));
    }
    if length > limits.footer_bytes {
        return Err(Error::Limit {
            what: format!("the footer of {} in bytes", source.uri()),
            value: length,
            limit: limits.footer_bytes,
            remedy: "write the source with fewer columns or larger row groups".to_owned(),
        });
    }
    let in_tail = usize::try_from(length).ok().and_then(|length| before.len().checked_sub(length));
    match in_tail {
        Some(start) => Ok(tail.slice(start..before.len())),
        None => source.read(source.size - TAIL - length..source.size - TAIL).await,
    }
}

pub(super) fn parse(source: &SourceFile, bytes: &Bytes, limits: &FooterLimits) -> Result<Footer> {
    let damaged = |problem: &dyn std::fmt::Display| {
        source.error(format!("the footer cannot be read: {problem}: the file is damaged, deliver it again"))
    };
    let shape = thrift::footer_shape(bytes).map_err(|problem| match problem {
        Problem::End => damaged(&"it ends too early"),
        Problem::Malformed(what) => damaged(&what),
    })?;
    if shape.encrypted {
        return Err(source.error("encrypted: not supported: deliver it without encryption"));
    }
    // Every leaf may sit in groups of its own.
    check_limit(source, "schema elements", u64::from(shape.schema_elements), limits.columns.saturating_mul(4))?;
    if shape.schema_depth > MAX_SCHEMA_DEPTH {
        return Err(damaged(&format!("the schema nests deeper than {MAX_SCHEMA_DEPTH} levels")));
    }
    let parsed = catch_unwind(AssertUnwindSafe(|| -> parquet::errors::Result<_> {
        let metadata = ParquetMetaDataReader::decode_metadata_with_options(bytes, Some(&options()))?;
        check_schema(&metadata)?;
        let levels = schema::levels(&metadata)?;
        Ok((metadata, levels))
    }));
    let (metadata, levels) = match parsed {
        Ok(Ok(parsed)) => parsed,
        Ok(Err(error)) => return Err(damaged(&error)),
        Err(_) => return Err(damaged(&"the parser gave up on it")),
    };
    check(source, &metadata, limits)?;
    let row_groups: Vec<u64> =
        metadata.row_groups().iter().map(|group| u64::try_from(group.num_rows()).unwrap_or(0)).collect();
    Ok(Footer {
        total_rows: row_groups.iter().sum(),
        row_groups,
        schema: levels.schema(),
        compression: compression(&metadata),
        metadata: Arc::new(metadata),
        levels,
        leaves: None,
        bytes: bytes.clone(),
    })
}

/// Statistics of columns are neither trusted nor needed. Which encodings a chunk's pages have is: it tells which columns
/// can be read as codes.
fn options() -> ParquetMetaDataOptions {
    ParquetMetaDataOptions::new()
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_encoding_stats_as_mask(true)
}

fn check_schema(metadata: &ParquetMetaData) -> parquet::errors::Result<()> {
    let leaves = metadata.file_metadata().schema_descr().num_columns();
    match metadata.row_groups().iter().all(|group| group.num_columns() == leaves) {
        true => Ok(()),
        false => Err(parquet::errors::ParquetError::General("a row group lacks columns of the schema".to_owned())),
    }
}

fn check_limit(source: &SourceFile, what: &str, value: u64, limit: u64) -> Result<()> {
    if value <= limit {
        return Ok(());
    }
    Err(Error::Limit {
        what: format!("the number of {what} of {}", source.uri()),
        value,
        limit,
        remedy: "write the source in smaller files".to_owned(),
    })
}

fn check(source: &SourceFile, metadata: &ParquetMetaData, limits: &FooterLimits) -> Result<()> {
    let file = metadata.file_metadata();
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    check_limit(source, "columns", count(file.schema_descr().num_columns()), limits.columns)?;
    check_limit(source, "row groups", count(metadata.num_row_groups()), limits.row_groups)?;
    if file.schema_descr().num_columns() == 0 {
        return Err(source.error("it has no columns: there is nothing to ingest"));
    }
    let mut total = 0u64;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let lies = |problem: String| {
            source.error(format!("row group {index} {problem}: the footer lies or is damaged, deliver the file again"))
        };
        let rows = u64::try_from(group.num_rows()).map_err(|_| lies(format!("claims {} rows", group.num_rows())))?;
        total = total.saturating_add(rows);
        check_limit(source, "rows", total, limits.rows)?;
        check_row_group(source, group, rows).map_err(lies)?;
    }
    if i64::try_from(total) != Ok(file.num_rows()) {
        return Err(source.error(format!(
            "the footer lies: it claims {} rows, its row groups hold {total}: deliver the file again",
            file.num_rows()
        )));
    }
    for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        if column.compression() == Compression::LZO {
            return Err(source.error(format!(
                "column {} is compressed with LZO, which is not supported: write it with zstd or snappy",
                column.column_path()
            )));
        }
    }
    Ok(())
}

fn check_row_group(source: &SourceFile, group: &RowGroupMetaData, rows: u64) -> Result<(), String> {
    for column in group.columns() {
        let path = column.column_path();
        if let Some(elsewhere) = column.file_path() {
            return Err(format!("keeps column {path} in another file, {elsewhere}, which is not supported"));
        }
        let (start, length) = chunk_range(column).ok_or_else(|| format!("has a negative offset for column {path}"))?;
        let end = start.checked_add(length).filter(|end| *end <= source.size - TAIL);
        if end.is_none() || (rows > 0 && (length == 0 || start < HEAD)) {
            return Err(format!("places column {path} at bytes {start} + {length} of a file of {}", source.size));
        }
        let values = u64::try_from(column.num_values()).map_err(|_| format!("claims a negative count in {path}"))?;
        let repeated = column.column_descr().max_rep_level() > 0;
        if (repeated && values < rows) || (!repeated && values != rows) {
            return Err(format!("claims {rows} rows but {values} values in column {path}"));
        }
    }
    Ok(())
}

/// Start and length of a column chunk, its dictionary included; `None` where the footer gives negative numbers. A
/// dictionary offset of zero stands for none: some writers say so.
pub(super) fn chunk_range(column: &ColumnChunkMetaData) -> Option<(u64, u64)> {
    let start = match column.dictionary_page_offset() {
        Some(offset) => offset,
        None => column.data_page_offset(),
    };
    Some((u64::try_from(start).ok()?, u64::try_from(column.compressed_size()).ok()?))
}

/// Bytes that a chunk takes decoded: in a dictionary's indices values take less than they are.
fn decoded_bytes(chunk: &ColumnChunkMetaData, rows: u64) -> u64 {
    let value_bytes: u64 = match chunk.column_type() {
        PhysicalType::BOOLEAN => 1,
        PhysicalType::INT32 | PhysicalType::FLOAT => 4,
        PhysicalType::INT64 | PhysicalType::DOUBLE => 8,
        // As text of twelve bytes; longer ones are told by the bytes encoded.
        PhysicalType::INT96 | PhysicalType::BYTE_ARRAY => 16,
        PhysicalType::FIXED_LEN_BYTE_ARRAY => u64::try_from(chunk.column_descr().type_length()).unwrap_or(0),
    };
    let encoded = u64::try_from(chunk.uncompressed_size()).unwrap_or(0);
    encoded.max(value_bytes.saturating_mul(rows))
}

fn compression(metadata: &ParquetMetaData) -> Compression {
    let mut by_codec: Vec<(Compression, i64)> = Vec::new();
    for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        match by_codec.iter_mut().find(|(codec, _)| *codec == column.compression()) {
            Some((_, bytes)) => *bytes = bytes.saturating_add(column.compressed_size()),
            None => by_codec.push((column.compression(), column.compressed_size())),
        }
    }
    let most = by_codec.into_iter().reduce(|most, next| if next.1 > most.1 { next } else { most });
    most.map_or(Compression::UNCOMPRESSED, |(codec, _)| codec)
}
