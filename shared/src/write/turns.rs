//! A part that is written in turns: between them it holds no thread, and no rows.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use super::encoder::Encoder;
use super::{DeferredUpload, FinishedPart, PartOptions, PartStats};
use crate::{Error, Result};

/// Writes one Parquet file to a deferred upload, a row group at a time: for outputs that have many files open. The bytes
/// are those of a [`PartWriter`](super::PartWriter) that is given the same rows and row groups.
#[derive(Debug)]
pub struct TurnWriter {
    schema: SchemaRef,
    options: PartOptions,
    encoder: Turn,
    encoded: Encoded,
    upload: DeferredUpload,
}

/// Where the encoder is.
enum Turn {
    /// Nothing was written yet.
    Before,
    Between(Box<Encoder<Encoded>>),
    /// A turn has begun and not ended: it failed, or whoever waited for it went away.
    Lost,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Before => "Before",
            Self::Between(_) => "Between",
            Self::Lost => "Lost",
        })
    }
}

impl TurnWriter {
    /// Begins a part with these columns.
    pub fn begin(schema: SchemaRef, options: PartOptions, upload: DeferredUpload) -> Self {
        Self { schema, options, encoder: Turn::Before, encoded: Encoded::default(), upload }
    }

    /// Writes one row group of these rows; nothing where there are none. After an error only [`abort`](Self::abort)
    /// makes sense.
    pub async fn row_group(&mut self, batches: Vec<RecordBatch>) -> Result<()> {
        let encoder = self.turn(move |mut encoder| {
            for batch in batches {
                encoder.write(batch.into())?;
            }
            encoder.end_row_group()?;
            Ok(encoder)
        });
        self.encoder = Turn::Between(Box::new(encoder.await?));
        self.upload.write(self.encoded.take()).await
    }

    /// Ends the file and waits for its upload. On an error the upload is aborted as far as possible.
    pub async fn finish(mut self) -> Result<FinishedPart> {
        let ended = match self.turn(Encoder::finish).await {
            Ok(row_groups) => {
                let footer = self.encoded.take();
                self.upload.write(footer).await.map(|()| row_groups)
            }
            Err(error) => Err(error),
        };
        let row_groups = match ended {
            Ok(row_groups) => row_groups,
            Err(error) => {
                self.abort().await;
                return Err(error);
            }
        };
        let upload = self.upload.finish().await?;
        let stats = PartStats { rows: row_groups.iter().sum(), row_groups, bytes: upload.size };
        Ok(FinishedPart { stats, upload })
    }

    /// Gives the part up and aborts its upload.
    pub async fn abort(self) {
        self.upload.abort().await;
    }

    /// Has the encoder work on a thread of its own.
    async fn turn<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(Encoder<Encoded>) -> parquet::errors::Result<T> + Send + 'static,
    ) -> Result<T> {
        let encoder = std::mem::replace(&mut self.encoder, Turn::Lost);
        let (schema, options, sink) = (Arc::clone(&self.schema), self.options.clone(), self.encoded.clone());
        let done = tokio::task::spawn_blocking(move || match encoder {
            Turn::Between(encoder) => work(*encoder),
            Turn::Before => work(Encoder::new(sink, schema, &options)?),
            Turn::Lost => Err(parquet::errors::ParquetError::General("the part has ended before".to_owned())),
        });
        let done = done.await.map_err(|error| Error::Internal(format!("the encoder ended: {error}")))?;
        done.map_err(|error| Error::Internal(format!("encoding {}: {error}", self.upload.key())))
    }
}

/// Bytes on their way from the encoder to the upload.
#[derive(Debug, Clone, Default)]
struct Encoded(Arc<Mutex<Vec<u8>>>);

impl Encoded {
    fn take(&self) -> Bytes {
        Bytes::from(std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Write for Encoded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
