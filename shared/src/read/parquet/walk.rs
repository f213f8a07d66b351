//! Finding the pages of a file without an offset index, by reading page headers and skipping what lies between.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

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
/// Read at a time of a chunk that is read whole.
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
            let pages = walk(source, index, chunk, rows, whole_below).await?;
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

/// The data pages of a chunk; `None` where their rows cannot be told.
async fn walk(
    source: &SourceFile,
    group: usize,
    chunk: &ColumnChunkMetaData,
    rows: u64,
    whole_below: u64,
) -> Result<Option<ColumnPages>> {
    let Some((start, length)) = chunk_range(chunk) else { return Ok(None) };
    let bytes = start..start.saturating_add(length);
    let flat = chunk.column_descr().max_rep_level() == 0;
    let walk = Arc::new(Mutex::new(Walk::new(bytes.clone(), rows, flat, length < whole_below)));
    let walking = Arc::clone(&walk);
    let next = move |read| walking.lock().unwrap_or_else(PoisonError::into_inner).next(read);
    source.read_in_turn(&bytes, Box::new(next)).await?;
    let found = walk.lock().unwrap_or_else(PoisonError::into_inner).found.take();
    found.unwrap_or(Ok(None)).map_err(|problem| damaged(source, group, chunk, &problem))
}

/// The walk over one column chunk: which bytes to read, and what they tell.
struct Walk {
    /// Of the chunk.
    start: u64,
    end: u64,
    /// Where the next page header starts.
    at: u64,
    /// Rows that the footer claims.
    rows: u64,
    /// Whether each row has one value.
    flat: bool,
    /// Whether the chunk is so small that it is read whole.
    whole: bool,
    /// The bytes read last and where they start.
    ahead: (u64, Bytes),
    /// Bytes to read for the next header.
    wanted: u64,
    pages: ColumnPages,
    rows_found: u64,
    plain_from: Option<u32>,
    /// What it ended with: the pages, or what is wrong with them.
    found: Option<Result<Option<ColumnPages>, String>>,
}

impl Walk {
    fn new(bytes: Range<u64>, rows: u64, flat: bool, whole: bool) -> Self {
        Self {
            start: bytes.start,
            end: bytes.end,
            at: bytes.start,
            rows,
            flat,
            whole,
            ahead: (bytes.start, Bytes::new()),
            wanted: if whole { RUN_BYTES } else { FIRST_HEADER_BYTES },
            pages: ColumnPages::default(),
            rows_found: 0,
            plain_from: Some(0),
            found: None,
        }
    }

    /// Takes the bytes asked for before, and asks for the next; `None` at the walk's end.
    fn next(&mut self, read: Bytes) -> Option<Range<u64>> {
        self.ahead.1 = read;
        while self.at < self.end {
            let here = self.at.checked_sub(self.ahead.0).and_then(|skip| usize::try_from(skip).ok());
            let bytes = here.and_then(|skip| self.ahead.1.get(skip..)).unwrap_or_default();
            let problem = match thrift::page_header(bytes) {
                Ok(header) => match self.pass(&header) {
                    Ok(true) => continue,
                    Ok(false) => return self.ended(Ok(None)),
                    Err(problem) => problem,
                },
                Err(Problem::Malformed(what)) => {
                    format!("the page header at byte {} cannot be read: {what}", self.at)
                }
                Err(Problem::End) => {
                    let had = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    let left = self.end - self.at;
                    if had < left && had < MAX_HEADER_BYTES {
                        if had >= self.wanted {
                            self.wanted = self.wanted.saturating_mul(16);
                        }
                        self.ahead = (self.at, Bytes::new());
                        return Some(self.at..self.at + self.wanted.min(left));
                    }
                    format!("the page header at byte {} does not end", self.at)
                }
            };
            return self.ended(Err(problem));
        }
        if self.rows_found != self.rows {
            let problem = format!("its pages hold {} rows, the footer claims {}", self.rows_found, self.rows);
            return self.ended(Err(problem));
        }
        let mut pages = std::mem::take(&mut self.pages);
        let is_page = |place: &u32| usize::try_from(*place).is_ok_and(|at| at < pages.sizes.len());
        pages.plain_from = self.plain_from.filter(is_page);
        self.ended(Ok((!pages.sizes.is_empty()).then_some(pages)))
    }

    fn ended(&mut self, found: Result<Option<ColumnPages>, String>) -> Option<Range<u64>> {
        self.found = Some(found);
        None
    }

    /// Passes the page with this header; false where its rows cannot be told, or nothing like it can be read.
    fn pass(&mut self, header: &PageHeader) -> Result<bool, String> {
        let size = u64::from(header.header_bytes) + u64::from(header.compressed_bytes);
        if size > self.end - self.at {
            return Err(format!("the page at byte {} reaches beyond its column", self.at));
        }
        match header.kind {
            PageKind::Data { values, rows: told, in_dictionary } => {
                let Some(rows) = told.or(self.flat.then_some(values)) else { return Ok(false) };
                let Ok(size) = u32::try_from(size) else { return Ok(false) };
                if self.pages.sizes.is_empty() {
                    self.pages.offset = self.at;
                }
                self.pages.push(size, rows);
                if in_dictionary {
                    self.plain_from = u32::try_from(self.pages.sizes.len()).ok();
                }
                self.rows_found = self.rows_found.saturating_add(rows);
            }
            // Before the data pages lies the dictionary, and nothing else that the decoder could read.
            PageKind::Dictionary { .. } if self.at == self.start => {}
            PageKind::Dictionary { .. } | PageKind::Other => return Ok(false),
        }
        self.at += size;
        if !self.whole {
            self.wanted = u64::from(header.header_bytes).saturating_mul(2).max(HEADER_BYTES);
        }
        Ok(self.pages.sizes.len() <= MAX_PAGES)
    }
}

/// The error of a column chunk that is not what the footer says.
pub(super) fn damaged(source: &SourceFile, group: usize, chunk: &ColumnChunkMetaData, problem: &str) -> Error {
    let path = chunk.column_path();
    source.error(format!("row group {group}, column {path}: {problem}: the file is damaged, deliver it again"))
}
