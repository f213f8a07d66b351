//! A part: rows in, a pending upload out, with encoding and uploading overlapped.

use std::collections::BTreeMap;
use std::io::{self, Write};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::basic::Compression;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::encoder::Encoder;
use super::piece::Piece;
use super::{DeferredUpload, EncodedChunk, PendingUpload};
use crate::selected::SelectedRows;
use crate::{Error, Result};

/// Batches that wait for the encoder.
const WAITING: usize = 1;

/// How a part is written.
#[derive(Debug, Clone, PartialEq)]
pub struct PartOptions {
    /// The codec.
    pub compression: Compression,
    /// Key-value metadata of the footer: run id, source, dataset.
    pub metadata: BTreeMap<String, String>,
    /// Threads that encode columns; the bytes do not depend on it.
    pub threads: usize,
}

/// What a finished part holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartStats {
    /// Rows.
    pub rows: u64,
    /// Rows of each row group.
    pub row_groups: Vec<u64>,
    /// Bytes of the file.
    pub bytes: u64,
}

/// A part whose bytes are all uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedPart {
    /// What it holds.
    pub stats: PartStats,
    /// What completes it.
    pub upload: PendingUpload,
}

#[derive(Debug)]
enum Command {
    Write(SelectedRows),
    Copy(mpsc::Receiver<EncodedChunk>),
    EndRowGroup,
    Finish,
}

/// Writes one Parquet file to a deferred upload. Encoding runs on a blocking thread, uploading as a task; a part without
/// rows is a valid file that tells its schema.
///
/// The bytes depend on the rows, the row groups and the options alone (threads apart), unless rows become so much wider
/// behind the first 1,024 of a row group that what is gathered of them exceeds 128 MiB: then on the batches too.
#[derive(Debug)]
pub struct PartWriter {
    commands: Option<mpsc::Sender<Command>>,
    work: Option<Work>,
    /// The upload, once the work on it has ended.
    upload: Option<DeferredUpload>,
}

#[derive(Debug)]
struct Work {
    encoder: JoinHandle<parquet::errors::Result<Option<Vec<u64>>>>,
    uploader: JoinHandle<(DeferredUpload, Result<()>)>,
}

impl PartWriter {
    /// Begins a part with these columns.
    pub fn begin(schema: SchemaRef, options: PartOptions, upload: DeferredUpload) -> Self {
        let (commands, orders) = mpsc::channel(WAITING);
        let (pieces, encoded) = mpsc::channel(1);
        let sink =
            Sink { runtime: Handle::current(), pieces, piece_bytes: upload.part_bytes(), filling: Piece::default() };
        let encoder = tokio::task::spawn_blocking(move || encode(orders, sink, schema, &options));
        let uploader = tokio::spawn(carry(encoded, upload));
        Self { commands: Some(commands), work: Some(Work { encoder, uploader }), upload: None }
    }

    /// Waits until the encoder has room for rows: whoever makes them then holds none while it waits. What went wrong is told
    /// by the next [`write`](Self::write).
    pub async fn ready(&self) {
        if let Some(commands) = &self.commands {
            let _ = commands.reserve().await;
        }
    }

    /// Appends rows to the open row group. After an error only [`abort`](Self::abort) makes sense.
    pub async fn write(&mut self, rows: impl Into<SelectedRows>) -> Result<()> {
        self.order(Command::Write(rows.into())).await
    }

    /// Ends the open row group, and appends one of the chunks that come, one for each column, as they are. They must fit: see
    /// [`super::fits`]. Where they end early the part cannot be finished.
    pub async fn copy_row_group(&mut self, chunks: mpsc::Receiver<EncodedChunk>) -> Result<()> {
        self.order(Command::Copy(chunks)).await
    }

    /// Ends the open row group; nothing happens where it has no rows.
    pub async fn end_row_group(&mut self) -> Result<()> {
        self.order(Command::EndRowGroup).await
    }

    /// Ends the file and waits for its upload. On an error the upload is aborted as far as possible.
    pub async fn finish(mut self) -> Result<FinishedPart> {
        let row_groups = match self.order(Command::Finish).await {
            Ok(()) => self.end().await,
            Err(error) => Err(error),
        };
        let row_groups = match row_groups {
            Ok(row_groups) => row_groups,
            Err(error) => {
                self.abort().await;
                return Err(error);
            }
        };
        let upload = self.upload.ok_or_else(ended)?.finish().await?;
        let stats = PartStats { rows: row_groups.iter().sum(), row_groups, bytes: upload.size };
        Ok(FinishedPart { stats, upload })
    }

    /// Gives the part up and aborts its upload.
    pub async fn abort(mut self) {
        if let Err(error) = self.end().await {
            tracing::debug!(%error, "part given up");
        }
        if let Some(upload) = self.upload {
            upload.abort().await;
        }
    }

    /// An order fails only where the encoder has ended before; then why it did is the error.
    async fn order(&mut self, command: Command) -> Result<()> {
        let taken = match &self.commands {
            Some(commands) => commands.send(command).await.is_ok(),
            None => false,
        };
        match taken {
            true => Ok(()),
            false => Err(self.end().await.err().unwrap_or_else(ended)),
        }
    }

    /// Waits for the encoder and the upload to end; answers the row groups, or what went wrong first.
    async fn end(&mut self) -> Result<Vec<u64>> {
        self.commands = None;
        let Work { encoder, uploader } = self.work.take().ok_or_else(ended)?;
        let encoded = encoder.await;
        let (upload, carried) = uploader.await.map_err(|error| Error::Internal(format!("uploading: {error}")))?;
        let upload = self.upload.insert(upload);
        // An upload that fails ends the encoder too, with less to tell.
        carried?;
        match encoded.map_err(|error| Error::Internal(format!("the encoder ended: {error}")))? {
            Ok(Some(row_groups)) => Ok(row_groups),
            Ok(None) => Err(ended()),
            Err(error) => Err(Error::Internal(format!("encoding {}: {error}", upload.key()))),
        }
    }
}

fn ended() -> Error {
    Error::Internal("the part has ended before".to_owned())
}

/// The encoder's thread. `None` where orders end without [`Command::Finish`].
fn encode(
    mut orders: mpsc::Receiver<Command>,
    sink: Sink,
    schema: SchemaRef,
    options: &PartOptions,
) -> parquet::errors::Result<Option<Vec<u64>>> {
    let mut encoder = Encoder::new(sink, schema, options)?;
    while let Some(command) = orders.blocking_recv() {
        match command {
            Command::Write(rows) => encoder.write(rows)?,
            Command::Copy(mut chunks) => encoder.copy_row_group(|| chunks.blocking_recv())?,
            Command::EndRowGroup => encoder.end_row_group()?,
            Command::Finish => return encoder.finish().map(Some),
        }
    }
    Ok(None)
}

/// The uploading task.
async fn carry(mut encoded: mpsc::Receiver<Bytes>, mut upload: DeferredUpload) -> (DeferredUpload, Result<()>) {
    let carried = async {
        loop {
            upload.ready().await?;
            let Some(bytes) = encoded.recv().await else { return Ok(()) };
            upload.write(bytes).await?;
        }
    };
    let carried = carried.await;
    (upload, carried)
}

/// Hands bytes over to the uploading task, in pieces as the upload sends them. One is begun once the one before it is taken:
/// beside those on their way there is one piece in memory.
struct Sink {
    runtime: Handle,
    pieces: mpsc::Sender<Bytes>,
    piece_bytes: usize,
    filling: Piece,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.filling.len() == 0 {
            // That the upload has ended is told when the piece is handed over.
            let _ = self.runtime.block_on(self.pieces.reserve());
            self.filling = Piece::with_capacity(self.piece_bytes);
        }
        let room = self.piece_bytes.saturating_sub(self.filling.len());
        let taken = bytes.split_at_checked(room).map_or(bytes, |(taken, _)| taken);
        self.filling.extend(taken);
        if self.filling.len() >= self.piece_bytes {
            self.flush()?;
        }
        Ok(taken.len())
    }

    /// Called at the file's end: what is left is handed over.
    fn flush(&mut self) -> io::Result<()> {
        if self.filling.len() == 0 {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.filling).freeze();
        self.pieces.blocking_send(piece).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the upload has ended"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_piece_is_begun_once_the_one_before_it_is_taken() {
        let (pieces, mut taken) = mpsc::channel(1);
        let mut sink = Sink { runtime: Handle::current(), pieces, piece_bytes: 8, filling: Piece::default() };
        let written = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&written);
        let writing = tokio::task::spawn_blocking(move || {
            for _ in 0..6 {
                sink.write_all(&[7; 4]).unwrap();
                counted.fetch_add(4, Ordering::SeqCst);
            }
        });
        for piece in 1..=3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(written.load(Ordering::SeqCst), 8 * piece);
            assert_eq!(taken.recv().await.unwrap(), Bytes::from_static(&[7; 8]));
        }
        writing.await.unwrap();
        assert_eq!(taken.recv().await, None);
    }
}
