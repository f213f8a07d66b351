//! One slice: read, clean, write, without making anything visible.

mod copy;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use parquet::basic::{Compression as Codec, ZstdLevel};
use tokio::sync::OwnedSemaphorePermit;

use self::copy::Copier;
use super::begun::Begun;
use super::meter::Metered;
use super::partitions::Output;
use super::prepared::{Prepared, PreparedSources};
use super::{Context, text};
use crate::clean::{Cleaned, Cleaner};
use crate::dataset::{Compression, Dataset};
use crate::ledger::records::PendingPart;
use crate::ledger::{Plan, Run, SliceDone, keys};
use crate::plan::{Slice, windows};
use crate::read::SourceFile;
use crate::read::parquet::{ReadOptions, SliceReader};
use crate::read::text::TextReader;
use crate::reports::Collector;
use crate::selected::SelectedRows;
use crate::write::{FinishedPart, PartOptions, PartWriter, UploadOptions};
use crate::{Error, Result};

/// Opens the object version that a run ingests.
pub(super) async fn source_file(ctx: &Context, run: &Run) -> Result<SourceFile> {
    let (storage, source) = (ctx.open_source_of(run).await?, &run.source);
    Ok(SourceFile { storage, key: source.key.clone(), version: source.version.clone(), size: source.size })
}

/// Cleans one slice to deferred uploads. Stops a margin before the deadline, wherever it is then: what it began is
/// aborted, and [`Error::Deadline`] says so.
pub(super) async fn clean_slice(
    ctx: &Context,
    sources: &PreparedSources,
    plan: &Plan,
    index: u32,
    attempt: &str,
) -> Result<SliceDone> {
    let started = Instant::now();
    let begun = Begun::default();
    let cleaning = async {
        let mut work = Work::begin(ctx, sources, plan, index, attempt, &begun, u64::MAX).await?;
        if let Ran::InVain { first_row } = work.run().await? {
            drop(work);
            begun.abort(ctx).await;
            // What was copied before is copied again.
            work = Work::begin(ctx, sources, plan, index, attempt, &begun, first_row).await?;
            if let Ran::InVain { first_row } = work.run().await? {
                return Err(Error::Internal(format!("row {first_row} was copied once, and cannot be copied again")));
            }
        }
        work.finish().await
    };
    match ctx.before_deadline(cleaning).await {
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

/// How far a slice came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ran {
    /// Every row was read.
    Through,
    /// The row group that begins here was begun to be copied, and must not be: the part is worthless.
    InVain { first_row: u64 },
}

/// A slice's rows.
enum Rows {
    Parquet(Box<ParquetRows>),
    Text(TextReader),
}

/// A Parquet source about to be read.
struct ParquetRows {
    file: SourceFile,
    prepared: Arc<Prepared>,
    /// `None` where no window can be copied.
    copier: Option<Copier>,
}

impl ParquetRows {
    fn may_copy(&self, window: &Range<u64>) -> bool {
        self.copier.as_ref().is_some_and(|copier| copier.may_copy(window))
    }
}

/// A slice in the making.
pub(super) struct Work<'a> {
    ctx: &'a Context,
    plan: &'a Plan,
    slice: &'a Slice,
    attempt: &'a str,
    begun: &'a Begun,
    options: PartOptions,
    pub(super) cleaner: Arc<Cleaner>,
    /// Gone once it is read.
    rows: Option<Rows>,
    /// Held from the first window that is decoded to the last.
    turn: Option<OwnedSemaphorePermit>,
    output: Output<'a>,
    /// Begun with the first row that is set aside: most slices have none.
    quarantine: Option<PartWriter>,
    /// The dataset's reports; none in a trial.
    reports: Option<Collector>,
    metered: Metered,
    pub(super) done: SliceDone,
}

impl<'a> Work<'a> {
    /// A slice about to be read. Row groups are copied that begin before row `copy_before` of the source.
    async fn begin(
        ctx: &'a Context,
        sources: &PreparedSources,
        plan: &'a Plan,
        index: u32,
        attempt: &'a str,
        begun: &'a Begun,
        copy_before: u64,
    ) -> Result<Self> {
        let slice = plan.slices.iter().find(|slice| slice.index == index);
        let slice = slice.ok_or_else(|| Error::Format {
            what: format!("run {}", plan.run.run_id),
            problem: format!("slice {index} is not in its plan"),
        })?;
        let dataset = ctx.config(&plan.run.config).await?;
        let file = source_file(ctx, &plan.run).await?;
        let collector =
            |cleaner: &Cleaner| plan.run.purpose.publishes().then(|| Collector::new(&dataset, cleaner)).flatten();
        let text = plan.text.as_ref().map(|text| text::open(plan, text, index, &dataset, &file)).transpose()?;
        let (cleaner, rows, options, reports) = match text {
            Some(text::Reading { cleaner, reader }) => {
                // Text has no codec to keep: what is compressed is so as a whole.
                let options = part_options(ctx, plan, slice, codec(&dataset, Codec::ZSTD(ZstdLevel::default()))?);
                let reports = collector(&cleaner);
                (Arc::new(cleaner.of_run(&plan.run.run_id)), Rows::Text(reader), options, reports)
            }
            None => {
                let prepared = sources.of(&plan.run, &dataset, &file).await?;
                let options = part_options(ctx, plan, slice, codec(&dataset, prepared.footer.compression)?);
                let reports = collector(&prepared.cleaner);
                let reported = reports.as_ref().map(Collector::columns).unwrap_or_default();
                let windows = (slice, plan.row_group_rows);
                let copier = Copier::find(&file, &prepared, &dataset, windows, &options, reported, copy_before)?;
                let cleaner = Arc::clone(&prepared.cleaner);
                (cleaner, Rows::Parquet(Box::new(ParquetRows { file, prepared, copier })), options, reports)
            }
        };
        let output = Output::begin(ctx, plan, slice, &dataset, &cleaner, &options, (begun, attempt)).await?;
        let done = SliceDone {
            drift: cleaner.drift().iter().map(ToString::to_string).collect(),
            coerced: cleaner.coercions().to_vec(),
            ..SliceDone::default()
        };
        Ok(Self {
            ctx,
            plan,
            slice,
            attempt,
            begun,
            options,
            cleaner,
            rows: Some(rows),
            turn: None,
            output,
            quarantine: None,
            reports,
            metered: Metered::on(&ctx.meter),
            done,
        })
    }

    /// Reads every row of the slice.
    async fn run(&mut self) -> Result<Ran> {
        match self.rows.take() {
            Some(Rows::Parquet(source)) => {
                let ran = self.run_parquet(&source).await;
                self.turn = None;
                ran
            }
            Some(Rows::Text(mut reader)) => self.run_text(&mut reader).await.map(|()| Ran::Through),
            None => Err(Error::Internal("the slice was read before".to_owned())),
        }
    }

    /// Reads window by window: one output row group is one window of source rows, less those set aside.
    async fn run_parquet(&mut self, source: &ParquetRows) -> Result<Ran> {
        let mut windows = windows(self.slice, self.plan.row_group_rows).peekable();
        while let Some(window) = windows.next() {
            if let Some(copier) = source.copier.as_ref().filter(|copier| copier.may_copy(&window)) {
                let ran = self.copy_or_clean(source, copier, window).await?;
                if ran != Ran::Through {
                    return Ok(ran);
                }
                continue;
            }
            // Windows up to the next one that may be copied are read in one go.
            let mut several = vec![window];
            while let Some(window) = windows.next_if(|window| !source.may_copy(window)) {
                several.push(window);
            }
            let start = several.first().map_or(0, |window| window.start);
            let rows = start..several.last().map_or(start, |window| window.end);
            let reader = self.open(source, rows).await?;
            self.clean(reader, several).await?;
        }
        Ok(Ran::Through)
    }

    async fn open(&self, source: &ParquetRows, rows: Range<u64>) -> Result<SliceReader> {
        // Partitions gather rows of several batches, whose codes may mean different values.
        let options = ReadOptions { coded: self.cleaner.partitions().is_empty(), ..ReadOptions::default() };
        SliceReader::open(&source.file, &source.prepared.footer, self.plan.pages.as_ref(), rows, &options).await
    }

    /// Cleans the rows of these windows, which follow one another.
    async fn clean(&mut self, mut reader: SliceReader, windows: Vec<Range<u64>>) -> Result<()> {
        // What the reader fetches comes meanwhile.
        if self.turn.is_none() {
            self.turn = Some(self.ctx.encoding_turn().await?);
        }
        let mut pending: Option<RecordBatch> = None;
        for window in windows {
            let mut row = window.start;
            while row < window.end {
                let batch = match pending.take() {
                    Some(rest) => rest,
                    None => {
                        self.output.ready().await;
                        let batch = reader.next().await?;
                        let ended = || Error::Internal(format!("rows end at {row}, before the slice does"));
                        batch.ok_or_else(ended)?
                    }
                };
                let room = usize::try_from(window.end - row).unwrap_or(usize::MAX);
                let here = batch.num_rows().min(room);
                let batch = if here < batch.num_rows() {
                    pending = Some(batch.slice(here, batch.num_rows() - here));
                    batch.slice(0, here)
                } else {
                    batch
                };
                self.batch(&batch, row).await?;
                row += here as u64;
            }
            self.end_row_group().await?;
        }
        // Past the last row the reader tells whether the file really ends there.
        match reader.next().await? {
            None => Ok(()),
            Some(_) => Err(Error::Internal("rows go on after the slice's end".to_owned())),
        }
    }

    async fn batch(&mut self, batch: &RecordBatch, first_row: u64) -> Result<()> {
        let cleaned = self.cleaner.select(batch, first_row)?;
        self.take(cleaned).await
    }

    /// Writes cleaned rows, and counts them.
    pub(super) async fn take(&mut self, cleaned: Cleaned<SelectedRows>) -> Result<()> {
        let Cleaned { mut kept, quarantined, counts, reasons, dropped, warnings, partitions, coerced } = cleaned;
        self.done.rows += counts;
        self.meter_rows(counts.read);
        add(&mut self.done.reasons, reasons);
        add(&mut self.done.dropped, dropped);
        add(&mut self.done.warnings, warnings);
        for (sum, rows) in self.done.coerced.iter_mut().zip(coerced) {
            sum.rows += rows.rows;
            sum.unfit += rows.unfit;
        }
        if kept.num_rows() > 0 {
            if let Some(reports) = &mut self.reports {
                let rows = kept.into_batch().map_err(internal)?;
                reports.take_kept(&self.cleaner, &rows, &partitions);
                kept = rows.into();
            }
            self.output.write(kept, &partitions).await?;
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

    /// Notes that rows were read: of Parquet, their share of the file's bytes. A text's bytes are noted as they come.
    pub(super) fn meter_rows(&mut self, rows: u64) {
        self.metered.add_rows(rows);
        if self.plan.text.is_none() {
            let share = u128::from(self.plan.run.source.size) * u128::from(self.metered.rows());
            let bytes = share.checked_div(u128::from(self.plan.rows)).unwrap_or(0);
            self.metered.reach(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }

    /// Notes that so many bytes of the slice were read.
    pub(super) fn meter_bytes(&mut self, bytes: u64) {
        self.metered.reach(bytes);
    }

    /// Ends the part's row group.
    pub(super) async fn end_row_group(&mut self) -> Result<()> {
        self.output.end_row_group().await
    }

    async fn begin_quarantine(&self) -> Result<PartWriter> {
        let key = keys::part(&self.plan.quarantine_folder, self.slice.index);
        let upload = self.begun.upload(self.ctx, key, self.attempt, UploadOptions::default()).await?;
        Ok(PartWriter::begin(Arc::clone(self.cleaner.quarantine_schema()), self.options.clone(), upload))
    }

    async fn finish(mut self) -> Result<SliceDone> {
        let parts = self.output.finish().await?;
        self.done.parts.extend(parts.into_iter().map(pending_part));
        if let Some(quarantine) = self.quarantine {
            self.done.quarantine.push(pending_part(quarantine.finish().await?));
        }
        if let Some(reports) = self.reports {
            let (figures, errors) = reports.figures();
            let (dataset, run_id) = (&self.plan.run.dataset, &self.plan.run.run_id);
            // Before the record that tells of them. The same for every attempt, so that each may replace another's.
            self.ctx.ledger.put(&keys::slice_figures(dataset, run_id, self.slice.index), &figures).await?;
            self.done.reports = figures.reports.into_keys().collect();
            self.done.report_errors = errors;
        }
        self.metered.keep();
        Ok(self.done)
    }
}

fn internal(error: ArrowError) -> Error {
    Error::Internal(format!("the rows that are kept: {error}"))
}

/// Adds counts by name.
pub(super) fn add(sums: &mut BTreeMap<String, u64>, counts: BTreeMap<String, u64>) {
    for (name, count) in counts {
        *sums.entry(name).or_default() += count;
    }
}

fn part_options(ctx: &Context, plan: &Plan, slice: &Slice, compression: Codec) -> PartOptions {
    PartOptions { compression, metadata: footer_metadata(plan, slice), threads: ctx.limits.threads }
}

fn pending_part(part: FinishedPart) -> PendingPart {
    PendingPart { upload: part.upload, rows: part.stats.rows, row_groups: part.stats.row_groups }
}

/// Where a part comes from, in its own footer. The run's id makes the bytes, and so the ETag, of every run its own.
fn footer_metadata(plan: &Plan, slice: &Slice) -> BTreeMap<String, String> {
    let source = &plan.run.source;
    let version = source.version.version_id.as_ref().unwrap_or(&source.version.etag);
    let (unit, range) = match plan.text.as_ref().and_then(|text| text.slices.get(usize::try_from(slice.index).ok()?)) {
        Some(place) => ("rowmill.source_bytes", &place.bytes),
        None => ("rowmill.source_rows", &slice.rows),
    };
    BTreeMap::from([
        ("rowmill.run_id".to_owned(), plan.run.run_id.clone()),
        ("rowmill.dataset".to_owned(), plan.run.dataset.clone()),
        ("rowmill.config".to_owned(), plan.run.config.clone()),
        ("rowmill.source".to_owned(), source.uri()),
        ("rowmill.source_version".to_owned(), version.clone()),
        (unit.to_owned(), format!("{}..{}", range.start, range.end)),
    ])
}

fn codec(dataset: &Dataset, kept: Codec) -> Result<Codec> {
    match dataset.spec.output.compression {
        Compression::Snappy => Ok(Codec::SNAPPY),
        Compression::Keep => Ok(kept),
        Compression::Zstd(level) => ZstdLevel::try_new(i32::from(level))
            .map(Codec::ZSTD)
            .map_err(|error| Error::Dataset(format!("output.compression: {error}"))),
    }
}
