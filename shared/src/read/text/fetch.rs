//! A source's bytes in order, read a few requests ahead.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Result;
use crate::read::SourceFile;

/// Bytes of one ranged read.
pub(super) const CHUNK_BYTES: u64 = 2 << 20;
/// Reads under way at once.
const CONCURRENT_READS: usize = 4;
/// Chunks that wait for whoever takes them.
const WAITING: usize = 1;

/// Chunks of a byte range, in order. Dropping it ends the reads.
#[derive(Debug)]
pub(super) struct Chunks {
    receiver: mpsc::Receiver<Result<Bytes>>,
    taken: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Chunks {
    /// Begins to read a range of a source.
    pub fn of(source: SourceFile, range: Range<u64>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let task = tokio::spawn(async move {
            let starts = pieces(range);
            let reads = futures::stream::iter(starts).map(|piece| source.read(piece));
            let mut reads = reads.buffered(CONCURRENT_READS);
            while let Some(chunk) = reads.next().await {
                let failed = chunk.is_err();
                if sender.send(chunk).await.is_err() || failed {
                    return;
                }
            }
        });
        Self { receiver, taken: Arc::default(), task }
    }

    /// The next chunk; `None` behind the last. Not to be called on a thread that works asynchronous tasks.
    pub fn next(&mut self) -> Result<Option<Bytes>> {
        let chunk = self.receiver.blocking_recv().transpose()?;
        if let Some(chunk) = &chunk {
            self.taken.fetch_add(u64::try_from(chunk.len()).unwrap_or(0), Ordering::Relaxed);
        }
        Ok(chunk)
    }

    /// Bytes that [`next`](Self::next) gave, for others to look at meanwhile.
    pub fn taken(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.taken)
    }

    /// [`next`](Self::next) for asynchronous callers.
    pub async fn next_async(&mut self) -> Result<Option<Bytes>> {
        self.receiver.recv().await.transpose()
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let step = usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX);
    let end = range.end;
    range.step_by(step).map(move |start| start..start.saturating_add(CHUNK_BYTES).min(end))
}
