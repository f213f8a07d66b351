//! Byte ranges of a source on their way from storage to the decoder: planned as blocks, fetched ahead, dropped as soon
//! as every column has moved past them.
//!
//! The decoder runs on a blocking thread and takes blocks as it needs them; the fetcher runs as a task and keeps
//! several reads in flight. Fetched bytes that the decoder still holds stay below a budget; only a block that the
//! decoder is waiting for may be fetched beyond it, so the two never wait for each other.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;

use crate::read::SourceFile;
use crate::{Error, Result};

/// A read is at most this long, and blocks are merged up to it.
const BLOCK_BYTES: u64 = 16 << 20;
/// Ranges this near are read at once: the bytes between cost less than another request.
const GAP_BYTES: u64 = 64 << 10;
/// Of the bytes wanted, one in so many may be read in vain, between such ranges; or so many whatever is wanted.
const GAP_SHARE: u64 = 200;
const FREE_GAP_BYTES: u64 = 16 << 10;
/// Pieces are fetched in windows of rows; the first are small, so that decoding starts early.
const FIRST_WINDOW_BYTES: u64 = 8 << 20;
const LAST_WINDOW_BYTES: u64 = 32 << 20;

/// Bytes that one column needs at once: a page, or a stretch of a chunk whose pages are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Row group index and leaf column.
    pub chunk: (usize, usize),
    /// Where it lies in the file.
    pub bytes: Range<u64>,
    /// The row at which it is first needed, in any ascending count; an estimate is fine.
    pub row: u64,
}

/// A piece and the block that holds it.
pub(super) type Placed = (Range<u64>, usize);

/// What to read, in the order it is needed.
#[derive(Debug, Default)]
pub(super) struct BlockPlan {
    /// The reads.
    pub blocks: Vec<Range<u64>>,
    /// The pieces of each chunk, in file order.
    pub chunks: HashMap<(usize, usize), Vec<Placed>>,
}

/// Merges pieces to blocks: window by window of ascending rows, inside a window by place in the file. While a window is
/// decoded the next is fetched, so that both together have at most about `ahead` bytes.
pub(super) fn plan(mut pieces: Vec<Piece>, ahead: u64) -> BlockPlan {
    pieces.sort_by_key(|piece| (piece.row, piece.bytes.start));
    let mut plan = BlockPlan::default();
    let (mut window_bytes, mut window) = (FIRST_WINDOW_BYTES.min(ahead / 2), Vec::new());
    let mut filled = 0;
    let wanted: u64 = pieces.iter().map(|piece| piece.bytes.end - piece.bytes.start).sum();
    let mut spare = (wanted / GAP_SHARE).max(FREE_GAP_BYTES);
    for piece in pieces {
        filled += piece.bytes.end - piece.bytes.start;
        window.push(piece);
        if filled >= window_bytes {
            merge(&mut plan, std::mem::take(&mut window), &mut spare);
            filled = 0;
            window_bytes = (window_bytes * 2).min(LAST_WINDOW_BYTES).min(ahead / 2);
        }
    }
    merge(&mut plan, window, &mut spare);
    for pieces in plan.chunks.values_mut() {
        pieces.sort_by_key(|(bytes, _)| bytes.start);
    }
    plan
}

/// Merges the pieces of one window; `spare` is how many bytes may still be read in vain.
fn merge(plan: &mut BlockPlan, mut window: Vec<Piece>, spare: &mut u64) {
    window.sort_by_key(|piece| piece.bytes.start);
    let first = plan.blocks.len();
    for piece in window {
        let gap = |block: &Range<u64>| piece.bytes.start.saturating_sub(block.end);
        let joins = |block: &&mut Range<u64>| {
            gap(block) <= GAP_BYTES.min(*spare) && piece.bytes.end.saturating_sub(block.start) <= BLOCK_BYTES
        };
        let open = if plan.blocks.len() > first { plan.blocks.last_mut() } else { None };
        match open.filter(joins) {
            Some(block) => {
                *spare = spare.saturating_sub(gap(block));
                block.end = block.end.max(piece.bytes.end);
            }
            None => plan.blocks.push(piece.bytes.clone()),
        }
        plan.chunks.entry(piece.chunk).or_default().push((piece.bytes, plan.blocks.len().saturating_sub(1)));
    }
}

#[derive(Debug)]
enum Slot {
    Awaited,
    Here(Bytes),
    Released,
}

#[derive(Debug)]
struct State {
    slots: Vec<Slot>,
    /// Pieces of each block that some column has yet to move past.
    pieces: Vec<usize>,
    /// Bytes of blocks begun and not yet released.
    held: u64,
    /// The last block that the decoder has waited for.
    wanted: Option<usize>,
    closed: bool,
    failure: Option<Error>,
}

/// The blocks of one slice, shared by the fetcher and the decoder.
#[derive(Debug)]
pub(super) struct Blocks {
    ranges: Vec<Range<u64>>,
    /// The first so many are fetched; those behind were here before.
    fetched: usize,
    state: Mutex<State>,
    arrived: Condvar,
    moved: Notify,
}

impl Blocks {
    /// The plan's blocks, the last of which are here already: those in `held`, in order.
    pub fn new(plan: &BlockPlan, held: Vec<Bytes>) -> Self {
        let fetched = plan.blocks.len().saturating_sub(held.len());
        let mut pieces = vec![0usize; plan.blocks.len()];
        for (_, block) in plan.chunks.values().flatten() {
            if let Some(count) = pieces.get_mut(*block) {
                *count += 1;
            }
        }
        let state = State {
            slots: (0..fetched).map(|_| Slot::Awaited).chain(held.into_iter().map(Slot::Here)).collect(),
            pieces,
            held: 0,
            wanted: None,
            closed: false,
            failure: None,
        };
        let (arrived, moved) = (Condvar::new(), Notify::new());
        Self { ranges: plan.blocks.clone(), fetched, state: Mutex::new(state), arrived, moved }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that a block takes of the budget.
    fn length(&self, block: usize) -> u64 {
        let range = self.ranges.get(block).filter(|_| block < self.fetched);
        range.map_or(0, |range| range.end - range.start)
    }

    /// Blocks the thread until `block` is here. Answers where it starts in the file and its bytes; `None` where it
    /// will never come: the fetcher failed, or nobody wants the rows any more.
    pub fn wait(&self, block: usize) -> Option<(u64, Bytes)> {
        let start = self.ranges.get(block)?.start;
        let mut state = self.lock();
        loop {
            match state.slots.get(block)? {
                Slot::Here(bytes) => return Some((start, bytes.clone())),
                Slot::Released => return None,
                Slot::Awaited if state.closed => return None,
                Slot::Awaited => {}
            }
            if state.wanted.is_none_or(|wanted| wanted < block) {
                state.wanted = Some(block);
                self.moved.notify_one();
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// One piece of `block` is no longer needed.
    pub fn release(&self, block: usize) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let (Some(count), Some(slot)) = (state.pieces.get_mut(block), state.slots.get_mut(block)) else { return };
        *count = count.saturating_sub(1);
        // One not here yet is counted when it comes.
        if *count == 0 && matches!(slot, Slot::Here(_)) {
            *slot = Slot::Released;
            state.held = state.held.saturating_sub(self.length(block));
            self.moved.notify_one();
        }
    }

    /// No more blocks are wanted, or none will come.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
        self.moved.notify_one();
    }

    /// Why the fetcher gave up, if it did.
    pub fn take_failure(&self) -> Option<Error> {
        self.lock().failure.take()
    }

    fn begin(&self, block: usize, budget: u64) -> bool {
        let mut state = self.lock();
        let wanted = state.wanted.is_some_and(|wanted| block <= wanted);
        let length = self.length(block);
        let begins = !state.closed && (state.held.saturating_add(length) <= budget || wanted || state.held == 0);
        if begins {
            state.held = state.held.saturating_add(length);
        }
        begins
    }

    /// Hands a block over.
    fn put(&self, block: usize, bytes: Bytes) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let unneeded = state.pieces.get(block).is_none_or(|count| *count == 0);
        if let Some(slot) = state.slots.get_mut(block) {
            *slot = if unneeded { Slot::Released } else { Slot::Here(bytes) };
        }
        if unneeded {
            state.held = state.held.saturating_sub(self.length(block));
        }
        drop(guard);
        self.arrived.notify_all();
    }

    fn fail(&self, error: Error) {
        self.lock().failure = Some(error);
        self.close();
    }
}

/// Wakes the decoder when the fetcher ends, however it ends.
struct CloseOnDrop<'a>(&'a Blocks);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Fetches the blocks in order, `reads` at a time, holding at most `budget` bytes.
pub(super) async fn fetch(source: SourceFile, blocks: Arc<Blocks>, reads: usize, budget: u64) {
    // Blocks that are here stay readable.
    let _close = CloseOnDrop(&blocks);
    let mut running = FuturesUnordered::new();
    let mut next = 0;
    loop {
        let mut moved = std::pin::pin!(blocks.moved.notified());
        moved.as_mut().enable();
        while next < blocks.fetched && running.len() < reads.max(1) && blocks.begin(next, budget) {
            if let Some(range) = blocks.ranges.get(next).cloned() {
                let (source, block) = (&source, next);
                running.push(async move { (block, read(source, range).await) });
            }
            next += 1;
        }
        if blocks.lock().closed {
            return;
        }
        if next >= blocks.fetched && running.is_empty() {
            return;
        }
        tokio::select! {
            Some((block, result)) = running.next(), if !running.is_empty() => match result {
                Ok(bytes) => blocks.put(block, bytes),
                Err(error) => return blocks.fail(error),
            },
            () = moved => {}
        }
    }
}

/// Reads a block; one above [`BLOCK_BYTES`] (a single huge page) in several reads.
pub(super) async fn read(source: &SourceFile, range: Range<u64>) -> Result<Bytes> {
    if range.end - range.start <= BLOCK_BYTES {
        return source.read(range).await;
    }
    let mut whole = BytesMut::new();
    let mut start = range.start;
    while start < range.end {
        let end = start.saturating_add(BLOCK_BYTES).min(range.end);
        whole.extend_from_slice(&source.read(start..end).await?);
        start = end;
    }
    Ok(whole.freeze())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::read::testing::OneFile;

    fn piece(column: usize, bytes: Range<u64>, row: u64) -> Piece {
        Piece { chunk: (0, column), bytes, row }
    }

    #[test]
    fn near_pieces_are_read_at_once_and_far_ones_are_not() {
        let plan = plan(vec![piece(1, 300_000..300_100, 0), piece(0, 4..1000, 0), piece(0, 2000..3000, 50)], u64::MAX);
        assert_eq!(plan.blocks, [4..3000, 300_000..300_100]);
        assert_eq!(plan.chunks[&(0, 0)], [(4..1000, 0), (2000..3000, 0)]);
        assert_eq!(plan.chunks[&(0, 1)], [(300_000..300_100, 1)]);
    }

    #[test]
    fn blocks_stay_within_16_mib_and_come_in_the_order_of_rows() {
        const MIB: u64 = 1 << 20;
        let pages = |column: u64| (0..40).map(move |page| (column, page));
        let pieces = pages(0).chain(pages(1)).map(|(column, page)| {
            let start = (column * 40 + page) * MIB;
            piece(usize::try_from(column).unwrap(), start..start + MIB, page * 1000)
        });
        let plan = plan(pieces.collect(), u64::MAX);
        assert!(plan.blocks.iter().all(|block| block.end - block.start <= BLOCK_BYTES));
        assert_eq!(plan.blocks.iter().map(|block| block.end - block.start).sum::<u64>(), 80 * MIB);
        // The first window: four pages of each column.
        assert_eq!(plan.blocks[..2], [0..4 * MIB, 40 * MIB..44 * MIB]);
    }

    fn far_apart(count: u64) -> BlockPlan {
        let pieces = (0..count).map(|block| piece(0, block * 100_000..block * 100_000 + 10, block));
        plan(pieces.collect(), u64::MAX)
    }

    #[test]
    fn windows_are_half_of_what_is_fetched_ahead() {
        const MIB: u64 = 1 << 20;
        let pages = (0..12).flat_map(|page| [0, 100].map(|column| (column, column * MIB + page * MIB, page)));
        let pieces = pages.map(|(column, start, page)| piece(usize::from(column > 0), start..start + MIB, page));
        let plan = plan(pieces.collect(), 8 * MIB);
        let starts: Vec<u64> = plan.blocks.iter().map(|block| block.start / MIB).collect();
        assert_eq!(starts, [0, 100, 2, 102, 4, 104, 6, 106, 8, 108, 10, 110]);
    }

    async fn take(blocks: Arc<Blocks>, order: Vec<usize>) {
        let decoder = tokio::task::spawn_blocking(move || {
            for block in order {
                assert_eq!(blocks.wait(block).unwrap().1.len(), 10);
            }
        });
        tokio::time::timeout(Duration::from_secs(5), decoder).await.expect("a lock-up").unwrap();
    }

    #[tokio::test]
    async fn a_block_beyond_the_budget_comes_where_the_decoder_waits_for_it() {
        let plan = far_apart(4);
        let blocks = Arc::new(Blocks::new(&plan, Vec::new()));
        let (_, source) = OneFile::new(vec![7; 400_000]).source();
        let fetcher = tokio::spawn(fetch(source, blocks.clone(), 1, 1));
        // Nothing is released, and still each comes.
        take(blocks, vec![0, 3, 1, 2]).await;
        fetcher.await.unwrap();
    }

    #[tokio::test]
    async fn no_more_is_fetched_ahead_than_the_budget_allows() {
        let plan = far_apart(10);
        let blocks = Arc::new(Blocks::new(&plan, Vec::new()));
        let (storage, source) = OneFile::new(vec![7; 1_000_000]).source();
        let fetcher = tokio::spawn(fetch(source, blocks.clone(), 8, 35));
        take(blocks.clone(), vec![0]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(storage.take_reads().len(), 3);
        blocks.release(0);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(storage.take_reads().len(), 1);
        blocks.close();
        fetcher.await.unwrap();
    }

    #[tokio::test]
    async fn a_failed_read_wakes_the_decoder_and_is_told() {
        let plan = far_apart(3);
        let blocks = Arc::new(Blocks::new(&plan, Vec::new()));
        let mut storage = OneFile::new(vec![7; 300_000]);
        storage.changes_at_read = Some(0);
        let (_, source) = storage.source();
        tokio::spawn(fetch(source, blocks.clone(), 1, 100));
        let waiting = blocks.clone();
        assert!(tokio::task::spawn_blocking(move || waiting.wait(2)).await.unwrap().is_none());
        assert!(matches!(blocks.take_failure(), Some(Error::SourceChanged { .. })));
    }
}
