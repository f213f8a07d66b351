//! Column chunks as the parquet crate's decoder wants them, fed from [`Blocks`].

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length, SerializedPageReader};
use parquet::schema::types::ColumnDescPtr;

use super::blocks::{Blocks, Placed};
use super::coded::Coding;
use super::codes::CodeReader;
use super::delta;
use super::pages::{KnownPages, Locations};
use super::snappy::Unpacker;
use super::thrift::{self, PageKind, Problem};

/// Pages that claim to become larger are refused.
const MAX_PAGE_BYTES: u64 = 1 << 30;
/// A page may claim this much whatever its compressed size; above, only [`MAX_RATIO`] times that size.
const FREE_PAGE_BYTES: u64 = 64 << 20;
const MAX_RATIO: u64 = 10_000;
/// A page header is at most this long: its statistics hold a value or two.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// The pieces of each chunk, by row group index and leaf column.
pub(super) type PlacedChunks = Arc<Mutex<HashMap<(usize, usize), Vec<Placed>>>>;

/// The row groups that a slice touches.
pub(super) struct SliceGroups {
    pub metadata: Arc<ParquetMetaData>,
    /// Their indices in the file, ascending.
    pub groups: Vec<usize>,
    pub pages: Arc<KnownPages>,
    pub blocks: Arc<Blocks>,
    /// The pieces of each chunk; taken when the chunk is opened.
    pub chunks: PlacedChunks,
}

impl SliceGroups {
    /// Readers of the columns of one of the row groups that are read as codes.
    pub fn code_readers(&self, group: usize, coding: &Coding) -> Result<Vec<CodeReader>> {
        let readers = coding.dictionaries().map(|(column, dictionary)| {
            let opened = self.chunks_of(column).open(group)?;
            Ok(CodeReader::new(opened.pages, dictionary.clone(), opened.place, opened.is_optional))
        });
        readers.collect()
    }

    fn chunks_of(&self, column: usize) -> Chunks {
        Chunks {
            column,
            groups: self.groups.clone().into_iter(),
            metadata: self.metadata.clone(),
            pages: self.pages.clone(),
            blocks: self.blocks.clone(),
            chunks: self.chunks.clone(),
        }
    }
}

impl RowGroups for SliceGroups {
    fn num_rows(&self) -> usize {
        self.row_groups().map(|group| usize::try_from(group.num_rows()).unwrap_or(0)).sum()
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        Ok(Box::new(self.chunks_of(column)))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.groups.iter().filter_map(|index| self.metadata.row_groups().get(*index)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// One column's chunks, row group by row group.
struct Chunks {
    column: usize,
    groups: std::vec::IntoIter<usize>,
    metadata: Arc<ParquetMetaData>,
    pages: Arc<KnownPages>,
    blocks: Arc<Blocks>,
    chunks: PlacedChunks,
}

/// One chunk, open.
struct OpenChunk {
    pages: Box<dyn PageReader>,
    /// For errors: row group and column.
    place: String,
    /// Whether rows, or what holds them, may be null.
    is_optional: bool,
}

impl Chunks {
    /// Opens the chunk of a row group.
    fn open(&self, index: usize) -> Result<OpenChunk> {
        let missing = || ParquetError::General(format!("row group {index} has no column {}", self.column));
        let group = self.metadata.row_groups().get(index).ok_or_else(missing)?;
        let chunk = group.columns().get(self.column).ok_or_else(missing)?;
        let place = format!("row group {index}, column {}", chunk.column_path());
        let pieces = lock(&self.chunks).remove(&(index, self.column)).unwrap_or_default();
        let locations = self.pages.column(index, self.column);
        let bytes = ColumnBytes {
            blocks: self.blocks.clone(),
            state: Mutex::new(ColumnState {
                pieces: pieces.into(),
                next_header: match locations {
                    Some(_) => NextHeader::Everywhere,
                    None => NextHeader::At(chunk.byte_range().0),
                },
            }),
        };
        let rows = usize::try_from(group.num_rows())?;
        let chunk_without = without_dictionary(chunk, locations, &bytes)?;
        let chunk = chunk_without.as_ref().unwrap_or(chunk);
        let unpacker = (chunk.compression() == Compression::SNAPPY).then(Unpacker::default);
        let as_it_lies = match &unpacker {
            Some(_) => Some(chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?),
            None => None,
        };
        let chunk = as_it_lies.as_ref().unwrap_or(chunk);
        let locations = locations.map(|locations| locations.as_ref().clone());
        let inner = SerializedPageReader::new(Arc::new(bytes), chunk, rows, locations).map_err(at(&place))?;
        let column = chunk.column_descr_ptr();
        let is_optional = column.max_def_level() > 0;
        Ok(OpenChunk {
            pages: Box::new(NamedPages { inner, unpacker, place: place.clone(), column }),
            place,
            is_optional,
        })
    }
}

/// The chunk as if it had no dictionary, where its dictionary is not among what is read: no page that is read uses it.
fn without_dictionary(
    chunk: &ColumnChunkMetaData,
    locations: Option<&Locations>,
    bytes: &ColumnBytes,
) -> Result<Option<ColumnChunkMetaData>> {
    let (start, length) = chunk.byte_range();
    let read_from = lock(&bytes.state).pieces.front().map(|(range, _)| range.start);
    let first = locations.and_then(|locations| locations.first()).map(|page| page.offset);
    let (Some(read_from), Some(first)) = (read_from, first) else { return Ok(None) };
    let dictionary_bytes = u64::try_from(first)?.saturating_sub(start);
    if dictionary_bytes == 0 || read_from == start {
        return Ok(None);
    }
    let rest = chunk.clone().into_builder().set_dictionary_page_offset(None).set_data_page_offset(first);
    rest.set_total_compressed_size(i64::try_from(length.saturating_sub(dictionary_bytes))?).build().map(Some)
}

impl Iterator for Chunks {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.groups.next()?;
        Some(self.open(index).map(|chunk| chunk.pages))
    }
}

impl PageIterator for Chunks {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn at(place: &str) -> impl Fn(ParquetError) -> ParquetError {
    move |error| match error {
        ParquetError::External(inner) => ParquetError::External(inner),
        ParquetError::General(text) => ParquetError::General(format!("{place}: {text}")),
        ParquetError::EOF(text) => ParquetError::General(format!("{place}: {text}")),
        other => ParquetError::General(format!("{place}: {other}")),
    }
}

/// A page reader whose errors name the row group and the column.
struct NamedPages {
    inner: SerializedPageReader<ColumnBytes>,
    /// For pages that `inner` leaves compressed.
    unpacker: Option<Unpacker>,
    place: String,
    column: ColumnDescPtr,
}

impl PageReader for NamedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let mut page = self.inner.get_next_page().map_err(at(&self.place))?;
        if let Some(unpacker) = &mut self.unpacker
            && let Some(packed) = page
        {
            let unpacked = unpacker.unpack(packed);
            page = Some(unpacked.map_err(|problem| at(&self.place)(ParquetError::General(problem)))?);
        }
        if let Some(page) = &page {
            delta::check(page, &self.column).map_err(|claim| at(&self.place)(ParquetError::General(claim)))?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.inner.peek_next_page().map_err(at(&self.place))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.inner.skip_next_page().map_err(at(&self.place))
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.inner.at_record_boundary().map_err(at(&self.place))
    }
}

impl Iterator for NamedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// Where page headers start, so that they are checked before the decoder believes them.
enum NextHeader {
    /// At every read: pages are known and read whole.
    Everywhere,
    /// At this offset.
    At(u64),
}

struct ColumnState {
    /// What is still to be read, in file order.
    pieces: VecDeque<Placed>,
    next_header: NextHeader,
}

/// The bytes of one column chunk. Reads only ever move forward, so what lies before a read is released.
struct ColumnBytes {
    blocks: Arc<Blocks>,
    state: Mutex<ColumnState>,
}

impl ColumnBytes {
    /// The bytes from `start` on that lie in one piece; empty behind the last one.
    fn from(&self, state: &mut ColumnState, start: u64) -> Result<Bytes> {
        while let Some((bytes, block)) = state.pieces.front() {
            if bytes.end > start {
                break;
            }
            self.blocks.release(*block);
            state.pieces.pop_front();
        }
        self.look(state, start)
    }

    /// As `from`, releasing nothing.
    fn look(&self, state: &ColumnState, start: u64) -> Result<Bytes> {
        let Some((range, block)) = state.pieces.iter().find(|(range, _)| range.contains(&start)) else {
            return Ok(Bytes::new());
        };
        let (block_start, bytes) = self.blocks.wait(*block).ok_or_else(gone)?;
        let place = |at: u64| at.checked_sub(block_start).and_then(|at| usize::try_from(at).ok());
        match (place(start), place(range.end)) {
            (Some(from), Some(to)) if from <= to && to <= bytes.len() => Ok(bytes.slice(from..to)),
            _ => Err(ParquetError::General("a block is shorter than planned".to_owned())),
        }
    }

    /// Exactly `length` bytes from `start` on.
    fn exactly(&self, state: &mut ColumnState, start: u64, length: u64) -> Result<Bytes> {
        let length = usize::try_from(length)?;
        let first = self.from(state, start)?;
        if first.len() >= length {
            return Ok(first.slice(..length));
        }
        let beyond = || ParquetError::EOF("a page reaches beyond its column".to_owned());
        // Count before allocating: the length is only a claim.
        let end = start.checked_add(u64::try_from(length)?).ok_or_else(beyond)?;
        if state.pieces.back().is_none_or(|(range, _)| range.end < end) {
            return Err(beyond());
        }
        let mut whole = BytesMut::with_capacity(length);
        whole.extend_from_slice(&first);
        while whole.len() < length {
            let next = self.from(state, start + u64::try_from(whole.len())?)?;
            if next.is_empty() {
                return Err(beyond());
            }
            let wanted = (length - whole.len()).min(next.len());
            whole.extend_from_slice(&next.slice(..wanted));
        }
        Ok(whole.freeze())
    }

    /// The page header at `start`, checked; `None` where no header is expected there.
    fn check_header(&self, state: &mut ColumnState, start: u64) -> Result<()> {
        match state.next_header {
            NextHeader::At(at) if at != start => return Ok(()),
            _ => {}
        }
        let mut bytes = self.from(state, start)?;
        let header = loop {
            match thrift::page_header(&bytes) {
                Ok(header) => break header,
                Err(Problem::Malformed(what)) => {
                    return Err(ParquetError::General(format!("a page header cannot be read: {what}")));
                }
                Err(Problem::End) => {
                    let length = u64::try_from(bytes.len())?;
                    let next = self.look(state, start + length)?;
                    if next.is_empty() || length > MAX_HEADER_BYTES {
                        return Err(ParquetError::EOF("a page header ends too early".to_owned()));
                    }
                    bytes = [bytes, next].concat().into();
                }
            }
        };
        if let NextHeader::At(at) = &mut state.next_header {
            *at = start + u64::from(header.header_bytes) + u64::from(header.compressed_bytes);
        }
        let claim = header.uncompressed_bytes;
        if let Some(problem) = implausible(usize::try_from(header.compressed_bytes)?, u64::from(claim)) {
            return Err(ParquetError::General(problem));
        }
        match header.kind {
            PageKind::Dictionary { values } if values > u64::from(claim).saturating_mul(8) => {
                Err(ParquetError::General(format!("a dictionary of {claim} bytes claims {values} entries")))
            }
            _ => Ok(()),
        }
    }
}

/// What is wrong with a page of so many bytes that claims to become `claim` of them, if anything.
pub(super) fn implausible(bytes: usize, claim: u64) -> Option<String> {
    let bound = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(MAX_RATIO);
    (claim > MAX_PAGE_BYTES || (claim > FREE_PAGE_BYTES && claim > bound)).then(|| {
        format!(
            "a page of {bytes} bytes claims to become {claim}: above the limits of {MAX_PAGE_BYTES} bytes and \
             {MAX_RATIO} times its size"
        )
    })
}

fn gone() -> ParquetError {
    ParquetError::External("the read was given up".into())
}

impl Length for ColumnBytes {
    fn len(&self) -> u64 {
        lock(&self.state).pieces.back().map_or(0, |(range, _)| range.end)
    }
}

impl ChunkReader for ColumnBytes {
    type T = HeaderRead;

    fn get_read(&self, start: u64) -> Result<HeaderRead> {
        let mut state = lock(&self.state);
        self.check_header(&mut state, start)?;
        let here = self.from(&mut state, start)?;
        // A header that straddles two pieces is put together; the decoder reads no more than a header.
        if thrift::page_header(&here) == Err(Problem::End) {
            let next = self.look(&state, start + u64::try_from(here.len())?)?;
            let next = next.slice(..next.len().min(usize::try_from(MAX_HEADER_BYTES)?));
            return Ok(HeaderRead([here, next].concat().into()));
        }
        Ok(HeaderRead(here))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut state = lock(&self.state);
        if matches!(state.next_header, NextHeader::Everywhere) {
            self.check_header(&mut state, start)?;
        }
        self.exactly(&mut state, start, u64::try_from(length)?)
    }
}

impl Drop for ColumnBytes {
    fn drop(&mut self) {
        for (_, block) in &lock(&self.state).pieces {
            self.blocks.release(*block);
        }
    }
}

/// Bytes as a [`Read`].
pub(super) struct HeaderRead(Bytes);

impl Read for HeaderRead {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(self.0.len());
        if let Some(head) = buffer.get_mut(..count) {
            self.0.copy_to_slice(head);
        }
        Ok(count)
    }
}
