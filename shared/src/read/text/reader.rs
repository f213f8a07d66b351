//! A slice's batches, made on a thread of their own.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::csv_reader::CsvReader;
use super::fetch::Chunks;
use super::inflate::{Inflow, Limits, Packing};
use super::json_reader::JsonReader;
use super::shape::TextShape;
use super::window::Window;
use super::{TextBatch, TextSlice};
use crate::dataset::Format;
use crate::read::SourceFile;
use crate::{Error, Result};

/// Batches that wait for whoever takes them.
const WAITING: usize = 1;

/// Reads one slice. Dropping it ends the reads.
#[derive(Debug)]
pub struct TextReader {
    batches: mpsc::Receiver<Result<Given>>,
    covered: Option<Range<u64>>,
    taken: Arc<AtomicU64>,
    uri: String,
}

#[derive(Debug)]
enum Given {
    Batch(Box<TextBatch>),
    /// The slice is read to its end, which is a record's end.
    End {
        covered: Range<u64>,
    },
}

/// Makes batches out of a window.
pub(super) trait Parse: Send {
    /// Reads the records that are whole, up to `most` of them; the window moves past them. `None` where there was none.
    fn batch(&mut self, window: &mut Window, most: u64) -> Result<Option<TextBatch>>;

    /// The line of the next record.
    fn line(&self) -> u64;

    /// Whether a line end closed the last record.
    fn closed(&self) -> bool;
}

impl TextReader {
    /// Opens a slice of a source.
    pub fn open(source: &SourceFile, shape: &TextShape, slice: TextSlice) -> Result<Self> {
        let chunks = Chunks::of(source.clone(), slice.bytes.clone());
        let taken = chunks.taken();
        let (uri, packing) = (source.uri(), Packing::of(&source.key));
        let limits = Limits { uri: uri.clone(), expansion: shape.expansion };
        let inflow = Inflow::new(chunks, packing, limits)?;
        let window = Window::new(inflow, shape.record_bytes, uri.clone());
        let wrong = |problem: String| Error::Internal(format!("{uri}: {problem}"));
        let parse: Box<dyn Parse> = match shape.format {
            Format::Csv => Box::new(CsvReader::new(shape, &slice).map_err(wrong)?),
            Format::Ndjson => Box::new(JsonReader::new(shape, &slice).map_err(wrong)?),
            Format::Parquet => return Err(Error::Internal(format!("{uri}: parquet is no text"))),
        };
        let (sender, batches) = mpsc::channel(WAITING);
        let job = Job { window, parse, slice, uri: uri.clone(), is_plain: packing == Packing::Plain };
        tokio::task::spawn_blocking(move || job.run(&sender));
        Ok(Self { batches, covered: None, taken, uri })
    }

    /// The next batch; `None` at the slice's end. Not to be called again after an error.
    pub async fn next(&mut self) -> Result<Option<TextBatch>> {
        match self.batches.recv().await {
            Some(Ok(Given::Batch(batch))) => Ok(Some(*batch)),
            Some(Ok(Given::End { covered })) => {
                self.covered = Some(covered);
                Ok(None)
            }
            Some(Err(error)) => Err(error),
            None if self.covered.is_some() => Ok(None),
            None => Err(Error::Internal(format!("{}: the reader ended before the slice", self.uri))),
        }
    }

    /// How many bytes of the object have gone into the decoder: a little more than what the batches so far were made of.
    pub fn bytes_taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// The bytes of the object that were read, once all were: they end where a record does.
    pub fn covered(&self) -> Option<&Range<u64>> {
        self.covered.as_ref()
    }
}

struct Job {
    window: Window,
    parse: Box<dyn Parse>,
    slice: TextSlice,
    uri: String,
    is_plain: bool,
}

impl Job {
    fn run(mut self, sender: &mpsc::Sender<Result<Given>>) {
        // Decoders may have panics left in them that some bytes find: the file's fault, not the run's.
        let ended = catch_unwind(AssertUnwindSafe(|| self.read(sender)));
        let last = match ended {
            Ok(Ok(true)) => Ok(Given::End { covered: self.slice.bytes.clone() }),
            // Nobody listens any more.
            Ok(Ok(false)) => return,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::source(&self.uri, "the decoder gave up on it: the file is damaged, deliver it again")),
        };
        let _ = sender.blocking_send(last);
    }

    /// Whether all was read; false where nobody takes it.
    fn read(&mut self, sender: &mpsc::Sender<Result<Given>>) -> Result<bool> {
        let group = self.slice.row_group_rows.max(1);
        let mut left = group;
        loop {
            self.window.advance(self.parse.line())?;
            while let Some(mut batch) = self.parse.batch(&mut self.window, left)? {
                left = left.saturating_sub(batch.read());
                if left == 0 {
                    batch.ends_row_group = true;
                    left = group;
                }
                if sender.blocking_send(Ok(Given::Batch(Box::new(batch)))).is_err() {
                    return Ok(false);
                }
            }
            if self.window.is_done() {
                break;
            }
            if self.window.ended {
                return Err(Error::Internal(format!("{}: bytes are left that are no record", self.uri)));
            }
        }
        // Only the file's last record may lack its line end: elsewhere a boundary would cut one.
        if self.is_plain && !self.slice.at_end && !self.parse.closed() {
            return Err(Error::Internal(format!(
                "{}: the slice that ends at byte {} does not end where a record does",
                self.uri, self.slice.bytes.end
            )));
        }
        Ok(true)
    }
}
