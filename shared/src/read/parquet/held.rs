//! A row group as the file has it, some of its columns held in memory: to be looked at, and then copied or decoded.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use arrow::array::ArrayRef;
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::SerializedPageReader;
use tokio::sync::mpsc;

use super::blocks::{self, Blocks, Piece};
use super::footer::{Footer, chunk_range};
use super::pages::KnownPages;
use super::slice::{Covered, PlacedRows, ReadOptions, SliceReader, pieces};
use super::thrift::{self, PageKind};
use super::{distinct, walk};
use crate::plan::ColumnPages;
use crate::read::SourceFile;
use crate::write::EncodedChunk;
use crate::{Error, Result};

/// A dictionary that claims to become larger is not looked at by itself.
const MAX_DICTIONARY_BYTES: u32 = 8 << 20;

/// Chunks are read in pieces of about this size: several at once, and below what the heap gives back to the system, which
/// would clear it for the next row group.
const READ_BYTES: u64 = 5 << 19;

/// One row group, the chunks of some columns in memory and their pages found.
#[derive(Debug, Clone)]
pub struct HeldRowGroup {
    source: SourceFile,
    footer: Footer,
    index: usize,
    rows: Range<u64>,
    chunks: BTreeMap<usize, Chunk>,
    options: ReadOptions,
}

#[derive(Debug, Clone)]
struct Chunk {
    bytes: Bytes,
    /// Offsets from the chunk's start.
    pages: ColumnPages,
    /// Bytes that the dictionary claims to become.
    dictionary_claim: u32,
    /// Whether every data page uses the dictionary.
    in_dictionary: bool,
}

/// A column, and where its chunk lies in the file.
type Place = (usize, Range<u64>);

impl HeldRowGroup {
    /// The row group that holds exactly these rows, if one does, its columns do not nest and lie in the file in their order;
    /// and the bytes of its chunks.
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
        let places: Vec<(u64, u64)> = group.columns().iter().map(chunk_range).collect::<Option<_>>()?;
        let in_order = places.is_sorted_by_key(|(start, _)| *start);
        let bytes = places.iter().map(|(_, length)| length).sum();
        (flat && in_order && rows.start < rows.end).then_some((index, bytes))
    }

    /// Reads columns of a row group. `None` where their pages do not tell their rows, or something else lies between them.
    ///
    /// [`Error::Source`] where page headers contradict the footer.
    pub async fn fetch(
        source: &SourceFile,
        footer: &Footer,
        index: usize,
        rows: Range<u64>,
        columns: &BTreeSet<usize>,
    ) -> Result<Option<Self>> {
        let (source, footer) = (source.clone(), footer.clone());
        let mut held = Self { source, footer, index, rows, chunks: BTreeMap::new(), options: ReadOptions::default() };
        let places = held.places().filter(|(column, _)| columns.contains(column)).collect();
        let mut read = std::pin::pin!(held.read(places, held.options.concurrent_reads));
        let mut chunks = BTreeMap::new();
        while let Some((column, bytes)) = read.try_next().await? {
            let Some(chunk) = held.checked(column, bytes)? else { return Ok(None) };
            chunks.insert(column, chunk);
        }
        held.chunks = chunks;
        Ok(Some(held))
    }

    /// Decodes the rows, of these columns or of all. What is not held is fetched.
    pub fn rows(&self, columns: Option<&[usize]>) -> Result<SliceReader> {
        let footer = match columns {
            Some(columns) => self.footer.project(columns),
            None => Some(self.footer.clone()),
        };
        let footer = footer.ok_or_else(|| Error::Internal("columns of a flat file cannot be told apart".to_owned()))?;
        let total = self.rows.end - self.rows.start;
        let covered = vec![Covered { index: self.index, rows: 0..total, total }];
        let mut absent = pieces(&footer, &covered, &KnownPages::default());
        absent.retain(|Piece { chunk: (_, column), .. }| footer.reads(*column) && !self.chunks.contains_key(column));
        let ahead = self.options.fetched_bytes.min(self.source.storage.reads_ahead());
        let mut plan = blocks::plan(absent, ahead);
        let mut held = Vec::new();
        for (column, range) in self.places() {
            if let Some(chunk) = self.chunks.get(&column).filter(|_| footer.reads(column)) {
                plan.chunks.insert((self.index, column), vec![(range.clone(), plan.blocks.len())]);
                plan.blocks.push(range);
                held.push(chunk.bytes.clone());
            }
        }
        let blocks = Arc::new(Blocks::new(&plan, held));
        let reads = self.options.concurrent_reads;
        let fetcher = tokio::spawn(blocks::fetch(self.source.clone(), blocks.clone(), reads, ahead));
        let placed =
            PlacedRows { pages: Arc::new(KnownPages::default()), blocks, chunks: Arc::new(Mutex::new(plan.chunks)) };
        // A row group that is cleaned after all is read like any other.
        let options = ReadOptions { coded: columns.is_none(), ..self.options.clone() };
        Ok(SliceReader::decode(&self.source, &footer, placed, covered, self.rows.clone(), fetcher, &options))
    }

    /// The values that a held column's dictionary lists, behind a null where the column may hold nulls. `None` where pages do
    /// not all use the dictionary, or it is large, damaged, or of a type that is not worth it.
    pub fn distinct(&self, column: usize) -> Option<ArrayRef> {
        let chunk = self.chunks.get(&column)?;
        if !chunk.in_dictionary || chunk.dictionary_claim > MAX_DICTIONARY_BYTES {
            return None;
        }
        let data_type = self.footer.schema.fields().get(column)?.data_type();
        let told = self.footer.metadata.row_groups().get(self.index)?.columns().get(column)?;
        let descriptor = told.column_descr_ptr();
        let nullable = descriptor.max_def_level() > 0;
        let metadata = self.encoded(chunk.clone(), told).in_place_of(descriptor).ok()?;
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

    /// Sends the column chunks in their order, to be copied, with the statistics that the file has of them; those that are not
    /// held are fetched, no more ahead than the storage is worth. `false` where one of them turns out to be none to copy: see
    /// [`fetch`](Self::fetch), as for errors. It ends early where nobody takes chunks any more.
    pub async fn send_chunks(self, chunks: mpsc::Sender<EncodedChunk>) -> Result<bool> {
        let told = self.footer.with_statistics();
        let group = told.as_ref().unwrap_or(&self.footer.metadata).row_groups().get(self.index);
        let told = group.map(|group| group.columns()).unwrap_or_default();
        let ahead = self.source.storage.reads_ahead() / READ_BYTES;
        let reads = usize::try_from(ahead).unwrap_or(usize::MAX).clamp(1, self.options.concurrent_reads);
        let absent = self.places().filter(|(column, _)| !self.chunks.contains_key(column)).collect();
        let mut absent = std::pin::pin!(self.read(absent, reads));
        for (column, told) in told.iter().enumerate() {
            let chunk = match self.chunks.get(&column) {
                Some(chunk) => chunk.clone(),
                None => {
                    let read = absent.try_next().await?.filter(|(read, _)| *read == column);
                    let (_, bytes) = read.ok_or_else(|| Error::Internal("a column chunk was not read".to_owned()))?;
                    let Some(chunk) = self.checked(column, bytes)? else { return Ok(false) };
                    chunk
                }
            };
            if chunks.send(self.encoded(chunk, told)).await.is_err() {
                break;
            }
        }
        Ok(true)
    }

    /// The columns, and where their chunks lie in the file.
    fn places(&self) -> impl Iterator<Item = Place> {
        let group = self.footer.metadata.row_groups().get(self.index);
        let chunks = group.into_iter().flat_map(|group| group.columns()).enumerate();
        chunks.filter_map(|(column, chunk)| chunk_range(chunk).map(|(start, length)| (column, start..start + length)))
    }

    /// The chunks at these places, in order, so many reads at a time.
    fn read(&self, places: Vec<Place>, reads: usize) -> impl Stream<Item = Result<(usize, Bytes)>> + use<> {
        let pieces =
            places.iter().map(|(column, bytes)| Piece { chunk: (self.index, *column), bytes: bytes.clone(), row: 0 });
        let plan = blocks::plan(pieces.collect(), 2 * READ_BYTES);
        let mut within: Vec<Vec<Place>> = vec![Vec::new(); plan.blocks.len()];
        for place in places {
            let block = plan.chunks.get(&(self.index, place.0)).and_then(|pieces| pieces.first());
            if let Some(within) = block.and_then(|(_, block)| within.get_mut(*block)) {
                within.push(place);
            }
        }
        let source = self.source.clone();
        let read = move |(block, places): (Range<u64>, Vec<Place>)| {
            let source = source.clone();
            async move {
                let start = block.start;
                let bytes = blocks::read(&source, block).await?;
                let cut = move |(column, range): Place| {
                    let within = |at: u64| usize::try_from(at.checked_sub(start)?).ok();
                    let range = within(range.start).zip(within(range.end));
                    let chunk = range.filter(|(_, end)| *end <= bytes.len()).map(|(from, end)| bytes.slice(from..end));
                    Ok((column, chunk.ok_or_else(|| Error::Internal("a column chunk was not read".to_owned()))?))
                };
                Ok::<_, Error>(stream::iter(places.into_iter().map(cut)))
            }
        };
        stream::iter(plan.blocks.into_iter().zip(within)).map(read).buffered(reads.max(1)).try_flatten()
    }

    /// A chunk with its pages; see [`fetch`](Self::fetch).
    fn checked(&self, column: usize, bytes: Bytes) -> Result<Option<Chunk>> {
        let wanted = self.rows.end - self.rows.start;
        match found(bytes) {
            Some((_, counted)) if counted != wanted => {
                let group = self.footer.metadata.row_groups().get(self.index);
                let problem = format!("its pages hold {counted} rows, the footer claims {wanted}");
                Err(match group.and_then(|group| group.columns().get(column)) {
                    Some(chunk) => walk::damaged(&self.source, self.index, chunk, &problem),
                    None => self.source.error(problem),
                })
            }
            found => Ok(found.map(|(chunk, _)| chunk)),
        }
    }

    fn encoded(&self, chunk: Chunk, told: &ColumnChunkMetaData) -> EncodedChunk {
        let Chunk { bytes, pages, .. } = chunk;
        EncodedChunk { bytes, metadata: told.clone(), pages, rows: self.rows.end - self.rows.start }
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
