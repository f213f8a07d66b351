//! The rows of one slice, as record batches.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::batches::Batches;
use super::blocks::{self, Blocks, Piece};
use super::coded::Coding;
use super::columns::{PlacedChunks, SliceGroups};
use super::footer::{Footer, chunk_range};
use super::pages::KnownPages;
use crate::plan::PageMap;
use crate::read::SourceFile;
use crate::{Error, Result};

/// Where pages are not known, a chunk is fetched in stretches of this many bytes.
const STRETCH_BYTES: u64 = 4 << 20;
/// A batch holds no more than about this many bytes, as far as the footer tells.
const BATCH_BYTES: u64 = 64 << 20;

/// What Arrow and Parquet put in front of an error's text.
const LAYERS: [&str; 4] = ["Parquet argument error: ", "Parquet error: ", "External: ", "EOF: "];

/// How a slice is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Rows in a batch; fewer where rows are wide.
    pub batch_rows: usize,
    /// Reads in flight.
    pub concurrent_reads: usize,
    /// Bytes fetched and not yet decoded. A block that the decoder waits for may exceed it.
    pub fetched_bytes: u64,
    /// Batches decoded ahead of the consumer.
    pub batches_ahead: usize,
    /// Whether columns may come as codes into a dictionary ([`crate::coded`]), where the source holds them so.
    pub coded: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { batch_rows: 65_536, concurrent_reads: 6, fetched_bytes: 64 << 20, batches_ahead: 1, coded: false }
    }
}

/// Reads the rows of a slice in order. Fetching runs as a task from the beginning, decoding on a blocking thread from when the
/// first batch is asked for; both end when the reader is dropped.
#[derive(Debug)]
pub struct SliceReader {
    /// Until it begins.
    decoding: Option<(Decode, mpsc::Sender<Result<RecordBatch>>)>,
    batches: mpsc::Receiver<Result<RecordBatch>>,
    fetcher: JoinHandle<()>,
    blocks: Arc<Blocks>,
    source: SourceFile,
    rows: Range<u64>,
    delivered: u64,
}

impl SliceReader {
    /// Opens the global rows `rows` of a source. `pages` is what the plan found ([`super::find_pages`]); a source with
    /// an offset index needs none.
    pub async fn open(
        source: &SourceFile,
        footer: &Footer,
        pages: Option<&PageMap>,
        rows: Range<u64>,
        options: &ReadOptions,
    ) -> Result<Self> {
        if rows.start > rows.end || rows.end > footer.total_rows {
            return Err(source.error(format!(
                "rows {} to {} are not among its {} rows: it is not the file that was planned",
                rows.start, rows.end, footer.total_rows
            )));
        }
        let groups = covered(footer, &rows);
        let cut = groups.iter().filter(|group| group.is_cut()).map(|group| group.index);
        let known = Arc::new(KnownPages::find(source, footer, cut, pages).await?);
        let ahead = options.fetched_bytes.min(source.storage.reads_ahead());
        let mut plan = blocks::plan(pieces(footer, &groups, &known), ahead);
        let blocks = Arc::new(Blocks::new(&plan, Vec::new()));
        let fetcher = tokio::spawn(blocks::fetch(source.clone(), blocks.clone(), options.concurrent_reads, ahead));
        let placed =
            PlacedRows { pages: known, blocks, chunks: Arc::new(Mutex::new(std::mem::take(&mut plan.chunks))) };
        Ok(Self::decode(source, footer, placed, groups, rows, fetcher, options))
    }

    /// Decodes what comes into the blocks of `placed`.
    pub(super) fn decode(
        source: &SourceFile,
        footer: &Footer,
        placed: PlacedRows,
        groups: Vec<Covered>,
        rows: Range<u64>,
        fetcher: JoinHandle<()>,
        options: &ReadOptions,
    ) -> Self {
        let (sender, batches) = mpsc::channel(options.batches_ahead.max(1));
        let blocks = placed.blocks.clone();
        let job = Decode {
            batch_rows: batch_rows(footer, &groups, options.batch_rows),
            groups,
            placed,
            coded: options.coded,
            footer: footer.clone(),
            source: source.clone(),
        };
        let decoding = Some((job, sender));
        Self { decoding, batches, fetcher, blocks, source: source.clone(), rows, delivered: 0 }
    }

    /// The next batch; `None` once every row of the slice was delivered. Not to be called again after an error.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some((job, sender)) = self.decoding.take() {
            tokio::task::spawn_blocking(move || job.run(&sender));
        }
        let wanted = self.rows.end - self.rows.start;
        match self.batches.recv().await {
            Some(Ok(batch)) => {
                self.delivered += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
                if self.delivered > wanted {
                    return Err(self.miscounted(wanted));
                }
                Ok(Some(batch))
            }
            Some(Err(error)) => Err(error),
            None if self.delivered == wanted => Ok(None),
            None => Err(self.miscounted(wanted)),
        }
    }

    fn miscounted(&self, wanted: u64) -> Error {
        self.source.error(format!(
            "rows {} to {} were to be {wanted} rows, its pages hold {}: the file is damaged, deliver it again",
            self.rows.start, self.rows.end, self.delivered
        ))
    }
}

impl Drop for SliceReader {
    fn drop(&mut self) {
        self.blocks.close();
        self.fetcher.abort();
    }
}

/// A row group and the rows of it that a slice holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Covered {
    pub index: usize,
    /// Within the row group.
    pub rows: Range<u64>,
    /// Of the row group.
    pub total: u64,
}

impl Covered {
    /// Whether the slice holds only some of the rows.
    pub fn is_cut(&self) -> bool {
        self.rows.end - self.rows.start < self.total
    }
}

/// The row groups that `rows` touches.
pub(super) fn covered(footer: &Footer, rows: &Range<u64>) -> Vec<Covered> {
    let mut first = 0u64;
    let mut covered = Vec::new();
    for (index, &total) in footer.row_groups.iter().enumerate() {
        let end = first.saturating_add(total);
        let (from, to) = (rows.start.max(first), rows.end.min(end));
        if from < to {
            covered.push(Covered { index, rows: from - first..to - first, total });
        }
        first = end;
    }
    covered
}

fn batch_rows(footer: &Footer, groups: &[Covered], wanted: usize) -> usize {
    let widest = groups
        .iter()
        .filter_map(|covered| {
            let group = footer.metadata.row_groups().get(covered.index)?;
            let bytes: i64 = group.columns().iter().map(ColumnChunkMetaData::uncompressed_size).sum();
            u64::try_from(bytes).ok()?.checked_div(covered.total)
        })
        .max();
    let fitting = BATCH_BYTES / widest.unwrap_or(1).max(1);
    wanted.min(usize::try_from(fitting).unwrap_or(usize::MAX)).max(1)
}

/// What the decoder will read, piece by piece.
pub(super) fn pieces(footer: &Footer, groups: &[Covered], known: &KnownPages) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut before = 0u64;
    for covered in groups {
        let Some(group) = footer.metadata.row_groups().get(covered.index) else { continue };
        for (column, chunk) in group.columns().iter().enumerate() {
            let Some((start, length)) = chunk_range(chunk) else { continue };
            let place = (covered.index, column);
            let mut add = |bytes: Range<u64>, row: u64| {
                if !bytes.is_empty() {
                    let row = before + row.max(covered.rows.start);
                    pieces.push(Piece { chunk: place, bytes, row });
                }
            };
            match known.column(covered.index, column) {
                Some(locations) => {
                    let number = |value: i64| u64::try_from(value).unwrap_or(0);
                    let dictionary_end = locations.first().map_or(start, |page| number(page.offset));
                    if known.needs_dictionary(covered.index, column, covered.rows.start) {
                        add(start..dictionary_end, 0);
                    }
                    let ends = locations.iter().skip(1).map(|page| number(page.first_row_index));
                    for (page, end) in locations.iter().zip(ends.chain([covered.total])) {
                        let first = number(page.first_row_index);
                        if first < covered.rows.end && end > covered.rows.start {
                            let offset = number(page.offset);
                            add(offset..offset + u64::try_from(page.compressed_page_size).unwrap_or(0), first);
                        }
                    }
                }
                None => stretches(group, start..start + length, &mut add),
            }
        }
        before = before.saturating_add(covered.total);
    }
    pieces
}

/// A chunk whose pages are not known is needed from its start, at a row that only its share of bytes tells.
fn stretches(group: &RowGroupMetaData, bytes: Range<u64>, add: &mut impl FnMut(Range<u64>, u64)) {
    let rows = u128::try_from(group.num_rows()).unwrap_or(0);
    let length = u128::from(bytes.end - bytes.start).max(1);
    let mut start = bytes.start;
    while start < bytes.end {
        let end = start.saturating_add(STRETCH_BYTES).min(bytes.end);
        let row = u128::from(start - bytes.start) * rows / length;
        add(start..end, u64::try_from(row).unwrap_or(u64::MAX));
        start = end;
    }
}

/// Where the rows to decode lie.
#[derive(Debug)]
pub(super) struct PlacedRows {
    pub pages: Arc<KnownPages>,
    pub blocks: Arc<Blocks>,
    pub chunks: PlacedChunks,
}

/// The decoder's work.
#[derive(Debug)]
struct Decode {
    groups: Vec<Covered>,
    placed: PlacedRows,
    batch_rows: usize,
    coded: bool,
    footer: Footer,
    source: SourceFile,
}

impl Decode {
    fn run(self, sender: &mpsc::Sender<Result<RecordBatch>>) {
        let blocks = self.placed.blocks.clone();
        // The checks before this should leave nothing to panic on; what they miss is the file's fault, not the run's.
        let ended = catch_unwind(AssertUnwindSafe(|| self.decode(sender)));
        let error = match ended {
            Ok(Ok(())) => None,
            Ok(Err(problem)) => Some(self.damaged(&problem)),
            Err(_) => Some(self.damaged(&"the decoder gave up on it")),
        };
        if let Some(error) = error {
            // What the fetcher met comes first: the decoder only missed its bytes.
            let error = blocks.take_failure().unwrap_or(error);
            // Nobody listens where the reader was dropped.
            let _ = sender.blocking_send(Err(error));
        }
        blocks.close();
    }

    fn decode(&self, sender: &mpsc::Sender<Result<RecordBatch>>) -> Result<(), Box<dyn std::error::Error>> {
        let runtime = Handle::current();
        let mut last: Option<Arc<Coding>> = None;
        for covered in &self.groups {
            let Some(group) = self.footer.metadata.row_groups().get(covered.index) else { continue };
            let coding = Arc::new(Coding::of(&self.footer, group, self.coded, last.as_deref())?);
            last = Some(coding.clone());
            let chunks = SliceGroups {
                metadata: self.footer.metadata.clone(),
                groups: vec![covered.index],
                pages: self.placed.pages.clone(),
                blocks: self.placed.blocks.clone(),
                chunks: self.placed.chunks.clone(),
            };
            let mut batches = Batches::open(&chunks, covered, self.batch_rows, &coding)?;
            loop {
                // A batch is decoded once there is room for it: none waits beside those that are ahead.
                let Ok(room) = runtime.block_on(sender.reserve()) else { return Ok(()) };
                let Some(batch) = batches.next(&self.footer.metadata)? else { break };
                room.send(Ok(batch));
            }
        }
        Ok(())
    }

    fn damaged(&self, problem: &dyn std::fmt::Display) -> Error {
        // The layers below each put their name in front.
        let text = problem.to_string();
        let mut rest = text.as_str();
        while let Some(inner) = LAYERS.iter().find_map(|layer| rest.strip_prefix(layer)) {
            rest = inner;
        }
        self.source.error(format!("{rest}: the file is damaged, deliver it again"))
    }
}
