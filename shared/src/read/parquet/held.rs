//! A row group as the file has it, held in memory: to be looked at, and then copied or decoded.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use arrow::array::ArrayRef;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use parquet::column::page::{Page, PageReader};
use parquet::file::reader::SerializedPageReader;

use super::blocks::{self, BlockPlan, Blocks, Piece};
use super::footer::{Footer, chunk_range};
use super::pages::KnownPages;
use super::slice::{Covered, PlacedRows, ReadOptions, SliceReader};
use super::thrift::{self, PageKind};
use super::{distinct, walk};
use crate::plan::ColumnPages;
use crate::read::SourceFile;
use crate::write::EncodedChunk;
use crate::{Error, Result};

/// A dictionary that claims to become larger is not looked at by itself.
const MAX_DICTIONARY_BYTES: u32 = 8 << 20;

/// A row group is read in pieces of about this size: several at once, and below what the heap gives back to the system, which
/// would clear it for the next row group.
const READ_BYTES: u64 = 5 << 19;

/// One row group, its bytes in memory and its pages found.
#[derive(Debug)]
pub struct HeldRowGroup {
    source: SourceFile,
    footer: Footer,
    index: usize,
    rows: Range<u64>,
    chunks: Vec<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    /// Offsets from the chunk's start.
    pages: ColumnPages,
    /// Bytes that the dictionary claims to become.
    dictionary_claim: u32,
    /// Whether every data page uses the dictionary.
    in_dictionary: bool,
}

impl HeldRowGroup {
    /// The row group that holds exactly these rows, if one does and its columns do not nest; and the bytes of its chunks.
    pub fn of_rows(footer: &Footer, rows: &Range<u64>) -> Option<(usize, u64)> {
        let mut first = 0u64;
        let index = footer.row_groups.iter().position(|count| {
            let found = first == rows.start && first.checked_add(*count) == Some(rows.end);
            first = first.saturating_add(*count);
            found
        })?;
        let group = footer.metadata.row_groups().get(index)?;
        let flat = group.columns().iter().all(|chunk| chunk.column_descr().max_rep_level() == 0);
        let flat = flat && footer.columns() == footer.schema.fields().len();
        let bytes: Option<u64> = group.columns().iter().map(|chunk| Some(chunk_range(chunk)?.1)).sum();
        bytes.filter(|_| flat && rows.start < rows.end).map(|bytes| (index, bytes))
    }

    /// Reads a row group. `None` where its pages do not tell their rows, or something else lies between them.
    ///
    /// [`Error::Source`] where page headers contradict the footer.
    pub async fn fetch(
        source: &SourceFile,
        footer: &Footer,
        index: usize,
        rows: Range<u64>,
        options: &ReadOptions,
    ) -> Result<Option<Self>> {
        let Some(group) = footer.metadata.row_groups().get(index) else { return Ok(None) };
        let Some(ranges) = group.columns().iter().map(chunk_range).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let pieces = ranges.iter().enumerate().map(|(column, (start, length))| Piece {
            chunk: (index, column),
            bytes: *start..start.saturating_add(*length),
            row: 0,
        });
        let plan = blocks::plan(pieces.collect(), 2 * READ_BYTES);
        let reads = plan.blocks.iter().cloned().map(|block| blocks::read(source, block));
        let reads: Vec<Bytes> = stream::iter(reads).buffered(options.concurrent_reads.max(1)).try_collect().await?;
        let mut chunks = Vec::with_capacity(ranges.len());
        for (column, chunk) in group.columns().iter().enumerate() {
            let placed = plan.chunks.get(&(index, column)).and_then(|pieces| pieces.first());
            let bytes = placed.and_then(|(range, block)| {
                let start = range.start.checked_sub(plan.blocks.get(*block)?.start)?;
                let end = start.checked_add(range.end - range.start)?;
                let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
                let whole = reads.get(*block)?;
                (end <= whole.len()).then(|| whole.slice(start..end))
            });
            let bytes = bytes.ok_or_else(|| Error::Internal("a column chunk was not read".to_owned()))?;
            match found(bytes) {
                Some((chunk, counted)) if counted == rows.end - rows.start => chunks.push(chunk),
                Some((_, counted)) => {
                    return Err(walk::damaged(
                        source,
                        index,
                        chunk,
                        &format!("its pages hold {counted} rows, the footer claims {}", rows.end - rows.start),
                    ));
                }
                None => return Ok(None),
            }
        }
        Ok(Some(Self { source: source.clone(), footer: footer.clone(), index, rows, chunks }))
    }

    /// Decodes the rows, of these columns or of all.
    pub fn rows(&self, columns: Option<&[usize]>) -> Result<SliceReader> {
        let footer = match columns {
            Some(columns) => self.footer.project(columns),
            None => Some(self.footer.clone()),
        };
        let footer = footer.ok_or_else(|| Error::Internal("columns of a flat file cannot be told apart".to_owned()))?;
        let mut plan = BlockPlan::default();
        let mut held = Vec::new();
        let group = self.footer.metadata.row_groups().get(self.index);
        let ranges = group.into_iter().flat_map(|group| group.columns()).filter_map(chunk_range);
        for (column, ((start, length), chunk)) in ranges.zip(&self.chunks).enumerate() {
            if footer.reads(column) {
                let range = start..start.saturating_add(length);
                plan.chunks.insert((self.index, column), vec![(range.clone(), plan.blocks.len())]);
                plan.blocks.push(range);
                held.push(chunk.bytes.clone());
            }
        }
        let blocks = Arc::new(Blocks::new(&plan));
        held.into_iter().enumerate().for_each(|(block, bytes)| blocks.put(block, bytes));
        let placed =
            PlacedRows { pages: Arc::new(KnownPages::default()), blocks, chunks: Arc::new(Mutex::new(plan.chunks)) };
        let total = self.rows.end - self.rows.start;
        let covered = vec![Covered { index: self.index, rows: 0..total, total }];
        let fetched = tokio::spawn(async {});
        // A row group that is cleaned after all is read like any other.
        let options = ReadOptions { coded: columns.is_none(), ..ReadOptions::default() };
        Ok(SliceReader::decode(&self.source, &footer, placed, covered, self.rows.clone(), fetched, &options))
    }

    /// The values that a column's dictionary lists, behind a null where the column may hold nulls. `None` where pages do
    /// not all use the dictionary, or it is large, damaged, or of a type that is not worth it.
    pub fn distinct(&self, column: usize) -> Option<ArrayRef> {
        let chunk = self.chunks.get(column)?;
        if !chunk.in_dictionary || chunk.dictionary_claim > MAX_DICTIONARY_BYTES {
            return None;
        }
        let data_type = self.footer.schema.fields().get(column)?.data_type();
        let descriptor = self.footer.metadata.row_groups().get(self.index)?.columns().get(column)?.column_descr_ptr();
        let nullable = descriptor.max_def_level() > 0;
        let encoded = self.encoded(column, None)?;
        let metadata = encoded.in_place_of(descriptor).ok()?;
        let bytes = Arc::new(chunk.bytes.clone());
        let rows = usize::try_from(self.rows.end - self.rows.start).ok()?;
        let page = catch_unwind(AssertUnwindSafe(|| {
            SerializedPageReader::new(bytes, &metadata, rows, None).and_then(|mut pages| pages.get_next_page())
        }));
        match page {
            Ok(Ok(Some(Page::DictionaryPage { buf, num_values, .. }))) => {
                distinct::values(&buf, num_values, data_type, nullable)
            }
            _ => None,
        }
    }

    /// The column chunks, to be copied, with the statistics that the file has of them.
    pub fn encoded_chunks(&self) -> Option<Vec<EncodedChunk>> {
        let told = self.footer.with_statistics();
        let group = told.as_ref().and_then(|told| told.row_groups().get(self.index));
        (0..self.chunks.len()).map(|column| self.encoded(column, group)).collect()
    }

    fn encoded(&self, column: usize, told: Option<&parquet::file::metadata::RowGroupMetaData>) -> Option<EncodedChunk> {
        let chunk = self.chunks.get(column)?;
        let plain = self.footer.metadata.row_groups().get(self.index)?.columns().get(column)?;
        let metadata = told.and_then(|told| told.columns().get(column)).unwrap_or(plain).clone();
        Some(EncodedChunk {
            bytes: chunk.bytes.clone(),
            metadata,
            pages: chunk.pages.clone(),
            rows: self.rows.end - self.rows.start,
        })
    }
}

/// The pages of a column chunk and the rows they hold.
fn found(bytes: Bytes) -> Option<(Chunk, u64)> {
    let mut pages = ColumnPages::default();
    let (mut at, mut rows, mut in_dictionary, mut dictionary_claim) = (0usize, 0u64, true, 0);
    while at < bytes.len() {
        let header = thrift::page_header(bytes.get(at..)?).ok()?;
        let size = header.header_bytes.checked_add(header.compressed_bytes)?;
        let end = at.checked_add(usize::try_from(size).ok()?).filter(|end| *end <= bytes.len())?;
        match header.kind {
            PageKind::Dictionary { .. } if at == 0 => dictionary_claim = header.uncompressed_bytes,
            PageKind::Data { values, rows: told, in_dictionary: uses } => {
                if pages.sizes.is_empty() {
                    pages.offset = u64::try_from(at).ok()?;
                }
                let held = told.unwrap_or(values);
                pages.push(size, held);
                rows = rows.checked_add(held)?;
                in_dictionary &= uses;
            }
            PageKind::Dictionary { .. } | PageKind::Other => return None,
        }
        at = end;
    }
    in_dictionary &= pages.offset > 0;
    Some((Chunk { bytes, pages, dictionary_claim, in_dictionary }, rows))
}
