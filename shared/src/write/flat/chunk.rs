//! The pages of a column chunk, compressed one by one, and what the footer tells of them.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io::Read;

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, PageType};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::ColumnDescPtr;

use super::codec::{Effort, Press, Wanted};
use super::entries::Entries;
use super::header::{self, Body, Form};
use super::kind::Kind;
use super::statistics::Range;

/// A page's header has a few numbers.
const HEADER_BYTES: usize = 64;

/// A finished column chunk: its bytes, and what the file's writer has to know of them.
pub(in crate::write) struct FlatChunk {
    pub pages: ChunkPages,
    pub close: ColumnCloseResult,
}

/// Dictionary page and data pages, one behind the other.
pub(in crate::write) struct ChunkPages(Vec<Bytes>);

impl Length for ChunkPages {
    fn len(&self) -> u64 {
        self.0.iter().map(|page| whole(page.len())).sum()
    }
}

impl ChunkReader for ChunkPages {
    type T = ReadPages;

    fn get_read(&self, _start: u64) -> Result<ReadPages> {
        // The file's writer reads a chunk once, from its start.
        Ok(ReadPages { pages: self.0.clone().into(), read: 0 })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = Vec::new();
        let mut read = self.get_read(0)?;
        std::io::copy(&mut (&mut read).take(start), &mut std::io::sink())?;
        read.take(whole(length)).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Pages as one stream.
pub(in crate::write) struct ReadPages {
    pages: VecDeque<Bytes>,
    /// Bytes of the first page that were read.
    read: usize,
}

impl Read for ReadPages {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while let Some(page) = self.pages.front() {
            let count = page.get(self.read..).unwrap_or_default().read(buffer)?;
            if count > 0 || buffer.is_empty() {
                self.read += count;
                return Ok(count);
            }
            self.pages.pop_front();
            self.read = 0;
        }
        Ok(0)
    }
}

/// One data page with its header.
#[derive(Debug)]
struct Finished {
    bytes: Bytes,
    rows: usize,
}

/// What a data page is, beside its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageShape {
    pub rows: usize,
    pub nulls: usize,
    pub form: Form,
}

/// The pages made so far.
pub(super) struct Pages {
    column: ColumnDescPtr,
    wanted: Wanted,
    finished: Vec<Finished>,
    coded_pages: usize,
    delta_pages: usize,
    uncompressed: usize,
    rows: u64,
    nulls: u64,
    range: Range,
    index: ColumnIndexBuilder,
    order: Order,
}

impl Pages {
    pub fn new(kind: Kind, column: ColumnDescPtr, compression: Compression) -> Self {
        Self {
            wanted: Wanted { compression, effort: Effort::Level },
            finished: Vec::new(),
            coded_pages: 0,
            delta_pages: 0,
            uncompressed: 0,
            rows: 0,
            nulls: 0,
            range: Range::new(kind),
            index: ColumnIndexBuilder::new(column.physical_type()),
            order: Order::default(),
            column,
        }
    }

    /// Whether no data page was made yet.
    pub fn is_empty(&self) -> bool {
        self.finished.is_empty()
    }

    /// Bytes that a body would take.
    pub fn size_of(&self, body: &[u8], press: &mut Press) -> Result<usize> {
        Ok(press.compress(body, self.wanted)?.len())
    }

    /// Adds a data page.
    pub fn put(&mut self, body: &[u8], shape: PageShape, range: Range, press: &mut Press) -> Result<()> {
        let PageShape { rows, nulls, form } = shape;
        let compressed = press.compress(body, self.wanted)?;
        // As large as it is: pages wait for the row group's end, and what they could grow to would wait with them.
        let mut page = Vec::with_capacity(HEADER_BYTES + compressed.len());
        header::data_page(number(rows)?, form, lengths(body, compressed)?, &mut page);
        self.uncompressed += page.len() + body.len();
        page.extend_from_slice(compressed);
        if self.finished.is_empty() && form != Form::Plain {
            let length = compressed.len();
            self.wanted.effort = self.effort_after(body, length, press)?;
        }
        self.finished.push(Finished { bytes: page.into(), rows });
        self.coded_pages += usize::from(form == Form::Codes);
        self.delta_pages += usize::from(form == Form::Deltas);
        self.rows += whole(rows);
        self.nulls += whole(nulls);
        let null_count = i64::try_from(nulls)?;
        match range.written() {
            Some((least, greatest)) => self.index.append(false, least.bytes, greatest.bytes, null_count),
            None if range.any => self.index.to_invalid(),
            None => self.index.append(true, Vec::new(), Vec::new(), null_count),
        }
        self.range.join(&range);
        self.order.next(range);
        Ok(())
    }

    /// What the first page shows, which the codec made so long with all effort: no more than what saves something.
    fn effort_after(&self, body: &[u8], length: usize, press: &mut Press) -> Result<Effort> {
        if saves_little(body.len(), length) {
            return Ok(Effort::Least);
        }
        if !matches!(self.wanted.compression, Compression::ZSTD(_)) {
            return Ok(Effort::Level);
        }
        let frequencies = Wanted { effort: Effort::Frequencies, ..self.wanted };
        let is_as_small = press.compress(body, frequencies)?.len() <= length;
        Ok(if is_as_small { Effort::Frequencies } else { Effort::Level })
    }

    /// Ends the chunk; a dictionary that no page uses is left out.
    pub fn close(mut self, entries: &Entries, press: &mut Press) -> Result<FlatChunk> {
        let mut dictionary = Vec::new();
        if self.coded_pages > 0 {
            // Distinct values may compress where their codes do not.
            let plain = entries.plain();
            let compressed = press.compress(&plain, Wanted { effort: Effort::Level, ..self.wanted })?;
            header::dictionary_page(number(entries.len())?, lengths(&plain, compressed)?, &mut dictionary);
            self.uncompressed += dictionary.len() + plain.len();
            dictionary.extend_from_slice(compressed);
        }
        let mut bytes = dictionary.len();
        let mut offsets = OffsetIndexBuilder::new();
        for page in &self.finished {
            offsets.append_row_count(i64::try_from(page.rows)?);
            offsets.append_offset_and_size(i64::try_from(bytes)?, i32::try_from(page.bytes.len())?);
            bytes += page.bytes.len();
        }
        self.index.set_boundary_order(self.order.found());
        let column_index = if self.index.valid() { Some(self.index.build()?) } else { None };
        let has_dictionary = self.coded_pages > 0;
        let statistics = self.range.statistics(self.nulls);
        let plain_pages = self.finished.len() - self.coded_pages - self.delta_pages;
        let metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(self.wanted.compression)
            .set_encodings(encodings(self.coded_pages, self.delta_pages, plain_pages))
            .set_page_encoding_stats(encoding_stats(self.coded_pages, self.delta_pages, plain_pages)?)
            .set_num_values(i64::try_from(self.rows)?)
            .set_total_compressed_size(i64::try_from(bytes)?)
            .set_total_uncompressed_size(i64::try_from(self.uncompressed)?)
            .set_dictionary_page_offset(has_dictionary.then_some(0))
            .set_data_page_offset(i64::try_from(dictionary.len())?)
            .set_statistics(statistics)
            .build()?;
        let data_pages = self.finished.into_iter().map(|page| page.bytes);
        let close = ColumnCloseResult {
            bytes_written: whole(bytes),
            rows_written: self.rows,
            metadata,
            bloom_filter: None,
            column_index,
            offset_index: Some(offsets.build()),
        };
        let dictionary = std::iter::once(Bytes::from(dictionary));
        Ok(FlatChunk { pages: ChunkPages(dictionary.chain(data_pages).collect()), close })
    }
}

/// Whether packed values are better left as they are: what little could be saved costs every reader time.
fn saves_little(bytes: usize, compressed: usize) -> bool {
    compressed.saturating_mul(100) > bytes.saturating_mul(90)
}

fn encodings(coded: usize, deltas: usize, plain: usize) -> Vec<Encoding> {
    let mut encodings = vec![Encoding::RLE];
    encodings.extend((coded + plain > 0).then_some(Encoding::PLAIN));
    encodings.extend((deltas > 0).then_some(Encoding::DELTA_BINARY_PACKED));
    encodings.extend((coded > 0).then_some(Encoding::RLE_DICTIONARY));
    encodings
}

fn encoding_stats(coded: usize, deltas: usize, plain: usize) -> Result<Vec<PageEncodingStats>> {
    let stats = [
        (PageType::DICTIONARY_PAGE, Encoding::PLAIN, usize::from(coded > 0)),
        (PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, coded),
        (PageType::DATA_PAGE, Encoding::DELTA_BINARY_PACKED, deltas),
        (PageType::DATA_PAGE, Encoding::PLAIN, plain),
    ];
    let used = stats.into_iter().filter(|(_, _, count)| *count > 0);
    used.map(|(page_type, encoding, count)| Ok(PageEncodingStats { page_type, encoding, count: i32::try_from(count)? }))
        .collect()
}

fn lengths(body: &[u8], compressed: &[u8]) -> Result<Body> {
    Ok(Body { uncompressed: number(body.len())?, compressed: number(compressed.len())? })
}

/// A number of the format's: below 2^31.
fn number(count: usize) -> Result<u32> {
    Ok(u32::try_from(i32::try_from(count)?)?)
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Whether pages ascend or descend, pages of nulls left out.
#[derive(Debug)]
struct Order {
    last: Option<Range>,
    ascends: bool,
    descends: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self { last: None, ascends: true, descends: true }
    }
}

impl Order {
    fn next(&mut self, range: Range) {
        if !range.any {
            return;
        }
        if let Some(last) = &self.last {
            match range.steps_from(last) {
                Some((least, greatest)) => {
                    self.ascends &= least != Ordering::Less && greatest != Ordering::Less;
                    self.descends &= least != Ordering::Greater && greatest != Ordering::Greater;
                }
                None => (self.ascends, self.descends) = (false, false),
            }
        }
        self.last = Some(range);
    }

    fn found(&self) -> BoundaryOrder {
        match (self.ascends, self.descends) {
            (true, _) => BoundaryOrder::ASCENDING,
            (false, true) => BoundaryOrder::DESCENDING,
            (false, false) => BoundaryOrder::UNORDERED,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use parquet::basic::{Type as PhysicalType, ZstdLevel};
    use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type};

    use super::*;

    /// The effort for pages behind this one.
    fn effort(body: &[u8], form: Form) -> Effort {
        let leaf = Type::primitive_type_builder("c", PhysicalType::INT32).build().unwrap();
        let column = ColumnDescriptor::new(Arc::new(leaf), 0, 0, ColumnPath::new(vec!["c".to_owned()]));
        let codec = Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
        let mut pages = Pages::new(Kind::Int32, Arc::new(column), codec);
        let (shape, mut press) = (PageShape { rows: 1, nulls: 0, form }, Press::default());
        pages.put(body, shape, Range::new(Kind::Int32), &mut press).unwrap();
        pages.wanted.effort
    }

    #[test]
    fn a_codec_does_no_more_than_what_makes_the_first_page_smaller() {
        let mut state = 1u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u8::try_from((state >> 33) % below).unwrap()
        };
        let bytes: Vec<u8> = (0..100_000).map(|_| random(256)).collect();
        assert_eq!(effort(&bytes, Form::Codes), Effort::Least);
        let some_frequent: Vec<u8> = (0..100_000).map(|_| random(16) * random(16)).collect();
        assert_eq!(effort(&some_frequent, Form::Codes), Effort::Frequencies);
        // Sixty-four words of twelve bytes, in any order.
        let words: Vec<&[u8]> = (0..8_000).map(|_| bytes.chunks(12).nth(random(64).into()).unwrap()).collect();
        assert_eq!(effort(&words.concat(), Form::Codes), Effort::Level);
        assert_eq!(effort(&bytes, Form::Plain), Effort::Level, "plain values differ from page to page");
    }
}
