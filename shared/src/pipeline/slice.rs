//! One slice: read, clean, write, without making anything visible.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use parquet::basic::{Compression as Codec, ZstdLevel};

use super::Context;
use super::publish::ATTEMPT;
use crate::clean::{Cleaned, Cleaner};
use crate::dataset::{Compression, Dataset};
use crate::ledger::records::PendingPart;
use crate::ledger::{Plan, SliceDone, keys};
use crate::plan::{Slice, windows};
use crate::read::SourceFile;
use crate::read::parquet::{Footer, ReadOptions, SliceReader};
use crate::storage::Stores;
use crate::write::{DeferredUpload, FinishedPart, PartOptions, PartWriter, UploadOptions};
use crate::{Error, Result};

/// Opens the object version that a run ingests.
pub(super) async fn source_file(stores: &dyn Stores, source: &crate::ledger::Source) -> Result<SourceFile> {
    let storage = stores.open(&source.bucket).await?;
    Ok(SourceFile { storage, key: source.key.clone(), version: source.version.clone(), size: source.size })
}

/// Cleans one slice to deferred uploads. Stops a margin before the deadline, wherever it is then: what it began is
/// aborted, and [`Error::Deadline`] says so.
pub(super) async fn clean_slice(ctx: &Context, plan: &Plan, index: u32, attempt: &str) -> Result<SliceDone> {
    let started = Instant::now();
    let begun = Begun::default();
    let cleaning = async {
        let mut work = Work::begin(ctx, plan, index, attempt, &begun).await?;
        work.run().await?;
        work.finish().await
    };
    let cleaned = match ctx.deadline_ms {
        None => cleaning.await,
        Some(deadline_ms) => {
            let left_ms = deadline_ms - ctx.now_ms() - ctx.limits.deadline_margin_ms;
            let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
            let stopped = || Error::Deadline(u64::try_from(ctx.limits.deadline_margin_ms).unwrap_or(0));
            tokio::time::timeout(left, cleaning).await.unwrap_or_else(|_| Err(stopped()))
        }
    };
    match cleaned {
        Ok(mut done) => {
            done.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok(done)
        }
        Err(error) => {
            begun.abort(ctx).await;
            Err(error)
        }
    }
}

/// The uploads that a slice has begun, key and id, known even where the work was dropped in the middle.
#[derive(Default)]
struct Begun(Mutex<Vec<(String, String)>>);

impl Begun {
    async fn upload(&self, ctx: &Context, key: String, attempt: &str) -> Result<DeferredUpload> {
        let metadata = BTreeMap::from([(ATTEMPT.to_owned(), attempt.to_owned())]);
        let sink = Arc::clone(ctx.ledger.sink());
        let upload = DeferredUpload::begin(sink, key, attempt, &metadata, UploadOptions::default()).await?;
        let id = (upload.key().to_owned(), upload.upload_id().to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        Ok(upload)
    }

    /// Takes them all back. What cannot be aborted is left to the storage's expiry.
    async fn abort(self, ctx: &Context) {
        for (key, upload_id) in self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            if let Err(error) = ctx.ledger.sink().abort_upload(&key, &upload_id).await {
                tracing::warn!(key, upload_id, %error, "upload not aborted: left to expiry");
            }
        }
    }
}

/// A slice in the making.
struct Work<'a> {
    ctx: &'a Context,
    plan: &'a Plan,
    slice: &'a Slice,
    attempt: &'a str,
    begun: &'a Begun,
    options: PartOptions,
    cleaner: Cleaner,
    reader: SliceReader,
    part: PartWriter,
    /// Begun with the first row that is set aside: most slices have none.
    quarantine: Option<PartWriter>,
    done: SliceDone,
}

impl<'a> Work<'a> {
    async fn begin(ctx: &'a Context, plan: &'a Plan, index: u32, attempt: &'a str, begun: &'a Begun) -> Result<Self> {
        let slice = plan.slices.iter().find(|slice| slice.index == index);
        let slice = slice.ok_or_else(|| Error::Format {
            what: format!("run {}", plan.run.run_id),
            problem: format!("slice {index} is not in its plan"),
        })?;
        let dataset = ctx.config(&plan.run.config).await?;
        let file = source_file(ctx.stores.as_ref(), &plan.run.source).await?;
        let footer = Footer::read(&file).await?;
        let cleaner = Cleaner::new(&dataset, &footer.schema, &file.uri())?;
        let options = PartOptions {
            compression: codec(&dataset, &footer)?,
            metadata: footer_metadata(plan, slice),
            threads: ctx.limits.threads,
        };
        let reader =
            SliceReader::open(&file, &footer, plan.pages.as_ref(), slice.rows.clone(), &ReadOptions::default()).await?;
        let upload = begun.upload(ctx, keys::part(&plan.parts_folder, index), attempt).await?;
        let part = PartWriter::begin(Arc::clone(cleaner.output_schema()), options.clone(), upload);
        let done =
            SliceDone { drift: cleaner.drift().iter().map(ToString::to_string).collect(), ..SliceDone::default() };
        Ok(Self { ctx, plan, slice, attempt, begun, options, cleaner, reader, part, quarantine: None, done })
    }

    /// Reads every row of the slice, window by window: one output row group is one window of source rows, less those
    /// set aside.
    async fn run(&mut self) -> Result<()> {
        let mut pending: Option<RecordBatch> = None;
        for window in windows(self.slice, self.plan.row_group_rows) {
            let mut row = window.start;
            while row < window.end {
                let batch = match pending.take() {
                    Some(rest) => rest,
                    None => match self.reader.next().await? {
                        Some(batch) => batch,
                        None => return Err(Error::Internal(format!("rows end at {row}, before the slice does"))),
                    },
                };
                let room = usize::try_from(window.end - row).unwrap_or(usize::MAX);
                let here = batch.num_rows().min(room);
                if here < batch.num_rows() {
                    pending = Some(batch.slice(here, batch.num_rows() - here));
                }
                self.batch(&batch.slice(0, here), row).await?;
                row += here as u64;
            }
            self.part.end_row_group().await?;
        }
        // Past the last row the reader tells whether the file really ends there.
        match self.reader.next().await? {
            None => Ok(()),
            Some(_) => Err(Error::Internal("rows go on after the slice's end".to_owned())),
        }
    }

    async fn batch(&mut self, batch: &RecordBatch, first_row: u64) -> Result<()> {
        let Cleaned { kept, quarantined, counts, reasons, warnings } = self.cleaner.clean(batch, first_row)?;
        self.done.rows += counts;
        for (sums, counts) in [(&mut self.done.reasons, reasons), (&mut self.done.warnings, warnings)] {
            for (name, count) in counts {
                *sums.entry(name).or_default() += count;
            }
        }
        if kept.num_rows() > 0 {
            self.part.write(kept).await?;
        }
        if let Some(rows) = quarantined {
            if self.quarantine.is_none() {
                self.quarantine = Some(self.begin_quarantine().await?);
            }
            if let Some(quarantine) = &mut self.quarantine {
                quarantine.write(rows).await?;
            }
        }
        Ok(())
    }

    async fn begin_quarantine(&self) -> Result<PartWriter> {
        let key = keys::part(&self.plan.quarantine_folder, self.slice.index);
        let upload = self.begun.upload(self.ctx, key, self.attempt).await?;
        Ok(PartWriter::begin(Arc::clone(self.cleaner.quarantine_schema()), self.options.clone(), upload))
    }

    async fn finish(mut self) -> Result<SliceDone> {
        self.done.parts.push(pending_part(self.part.finish().await?));
        if let Some(quarantine) = self.quarantine {
            self.done.quarantine.push(pending_part(quarantine.finish().await?));
        }
        Ok(self.done)
    }
}

fn pending_part(part: FinishedPart) -> PendingPart {
    PendingPart { upload: part.upload, rows: part.stats.rows, row_groups: part.stats.row_groups }
}

/// Where a part comes from, in its own footer. The run's id makes the bytes, and so the ETag, of every run its own.
fn footer_metadata(plan: &Plan, slice: &Slice) -> BTreeMap<String, String> {
    let source = &plan.run.source;
    let version = source.version.version_id.as_ref().unwrap_or(&source.version.etag);
    BTreeMap::from([
        ("rowmill.run_id".to_owned(), plan.run.run_id.clone()),
        ("rowmill.dataset".to_owned(), plan.run.dataset.clone()),
        ("rowmill.config".to_owned(), plan.run.config.clone()),
        ("rowmill.source".to_owned(), source.uri()),
        ("rowmill.source_version".to_owned(), version.clone()),
        ("rowmill.source_rows".to_owned(), format!("{}..{}", slice.rows.start, slice.rows.end)),
    ])
}

fn codec(dataset: &Dataset, footer: &Footer) -> Result<Codec> {
    match dataset.spec.output.compression {
        Compression::Snappy => Ok(Codec::SNAPPY),
        Compression::Keep => Ok(footer.compression),
        Compression::Zstd(level) => ZstdLevel::try_new(i32::from(level))
            .map(Codec::ZSTD)
            .map_err(|error| Error::Dataset(format!("output.compression: {error}"))),
    }
}
