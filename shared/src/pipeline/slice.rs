//! One slice: read, clean, write, without making anything visible.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use parquet::basic::{Compression as Codec, ZstdLevel};

use super::Context;
use super::copy::Copier;
use super::publish::ATTEMPT;
use crate::clean::{Cleaned, Cleaner};
use crate::dataset::{Compression, Dataset};
use crate::ledger::records::PendingPart;
use crate::ledger::{Plan, RowCounts, SliceDone, keys};
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

/// Cleans one slice to deferred uploads. Stops a margin before the deadline: then its uploads are aborted and
/// [`Error::Deadline`] gives the message back.
pub(super) async fn clean_slice(ctx: &Context, plan: &Plan, index: u32, attempt: &str) -> Result<SliceDone> {
    let started = Instant::now();
    let mut work = Work::begin(ctx, plan, index, attempt).await?;
    let cleaned = match ctx.deadline_ms {
        None => work.run().await,
        Some(deadline_ms) => {
            let left_ms = deadline_ms - ctx.now_ms() - ctx.limits.deadline_margin_ms;
            let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
            let stopped = || Error::Deadline(u64::try_from(ctx.limits.deadline_margin_ms).unwrap_or(0));
            tokio::time::timeout(left, work.run()).await.unwrap_or_else(|_| Err(stopped()))
        }
    };
    if let Err(error) = cleaned {
        work.abort().await;
        return Err(error);
    }
    let mut done = work.finish().await?;
    done.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(done)
}

/// A slice in the making.
struct Work<'a> {
    ctx: &'a Context,
    plan: &'a Plan,
    slice: &'a Slice,
    attempt: &'a str,
    options: PartOptions,
    cleaner: Cleaner,
    file: SourceFile,
    footer: Footer,
    /// `None` where no window can be copied.
    copier: Option<Copier>,
    part: PartWriter,
    /// Begun with the first row that is set aside: most slices have none.
    quarantine: Option<PartWriter>,
    done: SliceDone,
}

impl<'a> Work<'a> {
    async fn begin(ctx: &'a Context, plan: &'a Plan, index: u32, attempt: &'a str) -> Result<Self> {
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
        let copier = Copier::find(&file, &footer, &cleaner, &dataset, (slice, plan.row_group_rows), &options)?;
        let upload = begin_upload(ctx, keys::part(&plan.parts_folder, index), attempt).await?;
        let part = PartWriter::begin(Arc::clone(cleaner.output_schema()), options.clone(), upload);
        let done =
            SliceDone { drift: cleaner.drift().iter().map(ToString::to_string).collect(), ..SliceDone::default() };
        Ok(Self { ctx, plan, slice, attempt, options, cleaner, file, footer, copier, part, quarantine: None, done })
    }

    /// Reads every row of the slice, window by window: one output row group is one window of source rows, less those
    /// set aside.
    async fn run(&mut self) -> Result<()> {
        let mut windows = windows(self.slice, self.plan.row_group_rows).peekable();
        while let Some(window) = windows.next() {
            if self.may_copy(&window) {
                self.copy_or_clean(window).await?;
                continue;
            }
            // Windows up to the next one that may be copied are read in one go.
            let mut several = vec![window];
            while let Some(window) = windows.next_if(|window| !self.may_copy(window)) {
                several.push(window);
            }
            let start = several.first().map_or(0, |window| window.start);
            let rows = start..several.last().map_or(start, |window| window.end);
            let (pages, options) = (self.plan.pages.as_ref(), ReadOptions::default());
            let reader = SliceReader::open(&self.file, &self.footer, pages, rows, &options).await?;
            self.clean(reader, several).await?;
        }
        Ok(())
    }

    fn may_copy(&self, window: &Range<u64>) -> bool {
        self.copier.as_ref().is_some_and(|copier| copier.may_copy(window))
    }

    /// A window that is a row group of the source already: copied where every row passes unchanged.
    async fn copy_or_clean(&mut self, window: Range<u64>) -> Result<()> {
        let held = match &self.copier {
            Some(copier) => copier.hold(&window).await?,
            None => None,
        };
        let (Some(copier), Some(held)) = (&self.copier, held) else {
            let (pages, options) = (self.plan.pages.as_ref(), ReadOptions::default());
            let reader = SliceReader::open(&self.file, &self.footer, pages, window.clone(), &options).await?;
            return self.clean(reader, vec![window]).await;
        };
        let unchanged = copier.unchanged(&held, window.start).await?;
        let (Some(warnings), Some(chunks)) = (unchanged, held.encoded_chunks()) else {
            return self.clean(held.rows(None)?, vec![window]).await;
        };
        let rows = window.end - window.start;
        tracing::debug!(first_row = window.start, rows, "row group copied");
        self.done.rows += RowCounts { read: rows, kept: rows, written: rows, ..RowCounts::default() };
        add(&mut self.done.warnings, warnings);
        self.part.copy_row_group(chunks).await
    }

    /// Cleans the rows of these windows, which follow one another.
    async fn clean(&mut self, mut reader: SliceReader, windows: Vec<Range<u64>>) -> Result<()> {
        let mut pending: Option<RecordBatch> = None;
        for window in windows {
            let mut row = window.start;
            while row < window.end {
                let batch = match pending.take() {
                    Some(rest) => rest,
                    None => match reader.next().await? {
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
        match reader.next().await? {
            None => Ok(()),
            Some(_) => Err(Error::Internal("rows go on after the slice's end".to_owned())),
        }
    }

    async fn batch(&mut self, batch: &RecordBatch, first_row: u64) -> Result<()> {
        let Cleaned { kept, quarantined, counts, reasons, warnings } = self.cleaner.clean(batch, first_row)?;
        self.done.rows += counts;
        add(&mut self.done.reasons, reasons);
        add(&mut self.done.warnings, warnings);
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
        let upload = begin_upload(self.ctx, key, self.attempt).await?;
        Ok(PartWriter::begin(Arc::clone(self.cleaner.quarantine_schema()), self.options.clone(), upload))
    }

    async fn finish(mut self) -> Result<SliceDone> {
        let part = match self.part.finish().await {
            Ok(part) => part,
            Err(error) => {
                if let Some(quarantine) = self.quarantine {
                    quarantine.abort().await;
                }
                return Err(error);
            }
        };
        self.done.parts.push(pending_part(part));
        if let Some(quarantine) = self.quarantine {
            match quarantine.finish().await {
                Ok(part) => self.done.quarantine.push(pending_part(part)),
                Err(error) => {
                    super::close::abort_all(self.ctx, self.done.parts.iter()).await?;
                    return Err(error);
                }
            }
        }
        Ok(self.done)
    }

    async fn abort(self) {
        self.part.abort().await;
        if let Some(quarantine) = self.quarantine {
            quarantine.abort().await;
        }
    }
}

/// Adds counts by name.
pub(super) fn add(sums: &mut BTreeMap<String, u64>, counts: BTreeMap<String, u64>) {
    for (name, count) in counts {
        *sums.entry(name).or_default() += count;
    }
}

async fn begin_upload(ctx: &Context, key: String, attempt: &str) -> Result<DeferredUpload> {
    let metadata = BTreeMap::from([(ATTEMPT.to_owned(), attempt.to_owned())]);
    let sink = Arc::clone(ctx.ledger.sink());
    let options = UploadOptions { concurrent_parts: sink.concurrent_parts(), ..UploadOptions::default() };
    DeferredUpload::begin(sink, key, attempt, &metadata, options).await
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
