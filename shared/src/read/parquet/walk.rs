//! Finding the pages of a file without an offset index, by reading page headers and skipping what lies between.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{StreamExt, TryStreamExt};
use parquet::file::metadata::ColumnChunkMetaData;

use super::footer::{Footer, chunk_range};
use super::pages::has_index;
use super::slice::{Covered, covered};
use super::thrift::{self, PageHeader, PageKind, Problem};
use crate::plan::{ColumnPages, PageMap, Slice};
use crate::read::SourceFile;
use crate::{Error, Result};

/// Columns walked at a time. A header tells where the next one is, so the reads of one column follow one another.
const CONCURRENT_COLUMNS: usize = 48;
/// Read for a column's first header.
const FIRST_HEADER_BYTES: u64 = 1 << 10;
/// Read for a header, at least; more where the last one was longer.
const HEADER_BYTES: u64 = 128;
/// Read at a time, where skipping pages would save less than the requests cost.
const RUN_BYTES: u64 = 1 << 20;
/// Of the bytes walked over, one in so many may be read for the sake of fewer requests.
const RUN_SHARE: u64 = 100;
/// A header is at most this long.
const MAX_HEADER_BYTES: u64 = 1 << 20;
/// A plan keeps no more pages than this; a file with more is read from its row groups' starts.
const MAX_PAGES: usize = 1_000_000;

/// Finds the pages of every row group that a slice boundary cuts, so that a slice reads its own pages only. Empty where
/// no boundary cuts a row group, or the file has an offset index. Columns whose pages do not tell their rows (repeated
/// ones with version 1 pages) are left out: they are read from the row group's start.
///
/// [`Error::Source`] where page headers contradict the footer.
pub async fn find_pages(source: &SourceFile, footer: &Footer, slices: &[Slice]) -> Result<PageMap> {
    let chunks = cut_chunks(footer, slices);
    let sizes: Vec<u64> = chunks.iter().filter_map(|(_, _, chunk)| Some(chunk_range(chunk)?.1)).collect();
    let whole_below = whole_below(sizes);
    let walks = chunks.into_iter().map(|(index, column, chunk)| {
        async move {
            let rows = footer.row_groups.get(index).copied().unwrap_or(0);
            let pages = Walk::new(source, index, chunk, rows, whole_below).run().await?;
            Ok::<_, Error>((index, column, pages))
        }
        .boxed()
    });
    let walks: Vec<_> = walks.collect();
    let mut walked = futures::stream::iter(walks).buffer_unordered(CONCURRENT_COLUMNS);
    let mut map = PageMap::default();
    let mut total = 0usize;
    while let Some((index, column, pages)) = walked.try_next().await? {
        let (Ok(index), Ok(column), Some(pages)) = (u32::try_from(index), u32::try_from(column), pages) else {
            continue;
        };
        total = total.saturating_add(pages.sizes.len());
        if total > MAX_PAGES {
            return Ok(PageMap::default());
        }
        map.row_groups.entry(index).or_default().columns.insert(column, pages);
    }
    Ok(map)
}

/// Chunks of fewer bytes than this are read whole: together no more than the share of all that is spent to save requests.
fn whole_below(mut sizes: Vec<u64>) -> u64 {
    sizes.sort_unstable();
    let mut left = sizes.iter().fold(0, |sum: u64, size| sum.saturating_add(*size)) / RUN_SHARE;
    for size in sizes {
        match left.checked_sub(size) {
            Some(rest) => left = rest,
            None => return size,
        }
    }
    u64::MAX
}

/// What a person should know of a plan with these pages: the columns that slices read from the start of the row group
/// they share, because the pages do not tell their rows.
pub fn read_from_start(footer: &Footer, slices: &[Slice], pages: &PageMap) -> Vec<String> {
    let located = |index: usize, column: usize| {
        let group = u32::try_from(index).ok().and_then(|index| pages.row_groups.get(&index));
        let column = u32::try_from(column).ok();
        group.zip(column).is_some_and(|(group, column)| group.columns.contains_key(&column))
    };
    let columns: BTreeSet<String> = cut_chunks(footer, slices)
        .into_iter()
        .filter(|(index, column, _)| !located(*index, *column))
        .map(|(_, _, chunk)| chunk.column_path().string())
        .collect();
    let note =
        |column| format!("pages of column {column} do not tell their rows: slices read it from its row group's start");
    columns.into_iter().map(note).collect()
}

/// The chunks, with row group and column, of the row groups without an offset index that a slice boundary cuts.
fn cut_chunks<'a>(footer: &'a Footer, slices: &[Slice]) -> Vec<(usize, usize, &'a ColumnChunkMetaData)> {
    let mut cut: Vec<usize> = slices
        .iter()
        .flat_map(|slice| covered(footer, &slice.rows))
        .filter(Covered::is_cut)
        .map(|covered| covered.index)
        .collect();
    cut.dedup();
    cut.into_iter()
        .filter_map(|index| Some((index, footer.metadata.row_groups().get(index)?)))
        .filter(|(_, group)| !has_index(group))
        .flat_map(|(index, group)| {
            group.columns().iter().enumerate().map(move |(column, chunk)| (index, column, chunk))
        })
        .collect()
}

/// The walk over one column chunk.
struct Walk<'a> {
    source: &'a SourceFile,
    group: usize,
    chunk: &'a ColumnChunkMetaData,
    rows: u64,
    /// Whether the chunk is so small that it is read whole.
    whole: bool,
    /// The bytes read last and where they start.
    ahead: (u64, Bytes),
    /// Bytes of the last header.
    header_bytes: u64,
}

impl<'a> Walk<'a> {
    fn new(source: &'a SourceFile, group: usize, chunk: &'a ColumnChunkMetaData, rows: u64, whole_below: u64) -> Self {
        let whole = chunk_range(chunk).is_some_and(|(_, length)| length < whole_below);
        let header_bytes = FIRST_HEADER_BYTES / 2;
        Self { source, group, chunk, rows, whole, ahead: (0, Bytes::new()), header_bytes }
    }

    /// The data pages, or `None` where their rows cannot be told.
    async fn run(&mut self) -> Result<Option<ColumnPages>> {
        let Some((start, length)) = chunk_range(self.chunk) else { return Ok(None) };
        let end = start.saturating_add(length);
        let flat = self.chunk.column_descr().max_rep_level() == 0;
        let mut pages = ColumnPages::default();
        let (mut at, mut rows, mut last_size) = (start, 0u64, 0u64);
        let mut plain_from = Some(0);
        while at < end {
            let header = self.header(at..end, last_size).await?;
            self.header_bytes = u64::from(header.header_bytes);
            let size = u64::from(header.header_bytes) + u64::from(header.compressed_bytes);
            if size > end - at {
                return Err(self.damaged(format!("the page at byte {at} reaches beyond its column")));
            }
            match header.kind {
                PageKind::Data { values, rows: told, in_dictionary } => {
                    let Some(page_rows) = told.or(flat.then_some(values)) else { return Ok(None) };
                    let Ok(size) = u32::try_from(size) else { return Ok(None) };
                    if pages.sizes.is_empty() {
                        pages.offset = at;
                    }
                    pages.push(size, page_rows);
                    if in_dictionary {
                        plain_from = u32::try_from(pages.sizes.len()).ok();
                    }
                    rows = rows.saturating_add(page_rows);
                    last_size = u64::from(size);
                }
                // Before the data pages lies the dictionary, and nothing else that the decoder could read.
                PageKind::Dictionary { .. } if at == start => {}
                PageKind::Dictionary { .. } | PageKind::Other => return Ok(None),
            }
            if pages.sizes.len() > MAX_PAGES {
                return Ok(None);
            }
            at += size;
        }
        if rows != self.rows {
            return Err(self.damaged(format!("its pages hold {rows} rows, the footer claims {}", self.rows)));
        }
        pages.plain_from = plain_from.filter(|place| usize::try_from(*place).is_ok_and(|at| at < pages.sizes.len()));
        Ok((!pages.sizes.is_empty()).then_some(pages))
    }

    /// The page header at the start of `range`, read ahead where pages as small as the last are not worth skipping.
    async fn header(&mut self, range: Range<u64>, last_size: u64) -> Result<PageHeader> {
        let small = last_size > 0 && last_size < self.source.storage.reads_through();
        let mut wanted = match self.whole || small {
            true => RUN_BYTES,
            false => self.header_bytes.saturating_mul(2).max(HEADER_BYTES),
        };
        loop {
            let here = range.start.checked_sub(self.ahead.0).and_then(|skip| usize::try_from(skip).ok());
            let bytes = here.and_then(|skip| self.ahead.1.get(skip..)).unwrap_or_default();
            match thrift::page_header(bytes) {
                Ok(header) => return Ok(header),
                Err(Problem::Malformed(what)) => {
                    return Err(self.damaged(format!("the page header at byte {} cannot be read: {what}", range.start)));
                }
                Err(Problem::End) => {}
            }
            let had = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let left = range.end - range.start;
            if had >= left || had >= MAX_HEADER_BYTES {
                return Err(self.damaged(format!("the page header at byte {} does not end", range.start)));
            }
            if had >= wanted {
                wanted = wanted.saturating_mul(16);
            }
            let length = wanted.min(left);
            let end = range.start + length;
            self.ahead = (range.start, self.source.read(range.start..end).await?);
            wanted = wanted.saturating_mul(16);
        }
    }

    fn damaged(&self, problem: String) -> Error {
        damaged(self.source, self.group, self.chunk, &problem)
    }
}

/// The error of a column chunk that is not what the footer says.
pub(super) fn damaged(source: &SourceFile, group: usize, chunk: &ColumnChunkMetaData, problem: &str) -> Error {
    let path = chunk.column_path();
    source.error(format!("row group {group}, column {path}: {problem}: the file is damaged, deliver it again"))
}
