//! Where a slice's kept rows go: to one part, or to a part for each partition.
//!
//! With partitions the rows of a window are gathered, each with its partition's, and written when the window ends: one
//! partition after the other, in the order of their folders. So only one encoder holds rows at a time, and what stays
//! between windows is an upload's last few bytes. Memory is bounded by a window of rows, or [`GATHERED_BYTES`] of them
//! (then row groups end early), and [`UPLOAD_BYTES`] for each partition.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use super::Context;
use super::begun::Begun;
use crate::clean::{Cleaner, PartitionColumn};
use crate::dataset::Dataset;
use crate::ledger::{Plan, keys};
use crate::plan::Slice;
use crate::selected::SelectedRows;
use crate::write::{EncodedChunk, FinishedPart, PartOptions, PartWriter, TurnWriter, UploadOptions, hive};
use crate::{Error, Result};

/// Rows gathered before they are written, window or not.
const GATHERED_BYTES: usize = 256 << 20;
/// What an upload may hold back: S3's least part.
const UPLOAD_BYTES: usize = 5 << 20;
/// Uploads begun or ended at once.
const UPLOADS_AT_ONCE: usize = 16;
/// The longest path of a partition's folders, in bytes: keys have 1,024, of which the prefix, the source's name and a test
/// run's folder may take the rest.
const MAX_FOLDER_BYTES: usize = 190;
/// Partitions named by an error.
const SHOWN: usize = 3;

/// A slice's output in the making.
pub(super) enum Output<'a> {
    /// One part.
    Whole(Box<PartWriter>),
    /// A part for each partition.
    Partitioned(Box<Partitions<'a>>),
}

impl<'a> Output<'a> {
    /// Begins what the dataset asks for. Parts of partitions begin with their first row.
    pub(super) async fn begin(
        ctx: &'a Context,
        plan: &'a Plan,
        slice: &'a Slice,
        dataset: &Dataset,
        cleaner: &Cleaner,
        options: &PartOptions,
        (begun, attempt): (&'a Begun, &'a str),
    ) -> Result<Self> {
        let schema = Arc::clone(cleaner.output_schema());
        if !cleaner.partitions().is_empty() {
            let source = &plan.run.source;
            return Ok(Self::Partitioned(Box::new(Partitions {
                target: Target {
                    ctx,
                    plan,
                    slice,
                    attempt,
                    begun,
                    name: dataset.source_name(&source.bucket, &source.key),
                },
                schema,
                options: options.clone(),
                levels: cleaner.partitions().to_vec(),
                max_partitions: usize::try_from(dataset.spec.output.max_partitions).unwrap_or(usize::MAX),
                converter: None,
                known: HashMap::new(),
                folders: HashSet::new(),
                partitions: BTreeMap::new(),
                gathered_bytes: 0,
            })));
        }
        let key = keys::part(&plan.parts_folder, slice.index);
        let upload = begun.upload(ctx, key, attempt, UploadOptions::default()).await?;
        Ok(Self::Whole(Box::new(PartWriter::begin(schema, options.clone(), upload))))
    }

    /// Waits until rows are taken without waiting.
    pub(super) async fn ready(&self) {
        match self {
            Self::Whole(part) => part.ready().await,
            Self::Partitioned(_) => {}
        }
    }

    /// Takes kept rows and their partitions' values, level by level.
    pub(super) async fn write(&mut self, rows: SelectedRows, values: &[ArrayRef]) -> Result<()> {
        match self {
            Self::Whole(part) => part.write(rows).await,
            Self::Partitioned(partitions) => partitions.write(rows.into_batch().map_err(internal)?, values).await,
        }
    }

    /// Takes a row group of the source as it is encoded there, chunk by chunk. Rows that go to partitions cannot be copied.
    pub(super) async fn copy_row_group(&mut self, chunks: mpsc::Receiver<EncodedChunk>) -> Result<()> {
        match self {
            Self::Whole(part) => part.copy_row_group(chunks).await,
            Self::Partitioned(_) => {
                Err(Error::Internal("a row group was copied where rows go to partitions".to_owned()))
            }
        }
    }

    /// Ends the window's row groups.
    pub(super) async fn end_row_group(&mut self) -> Result<()> {
        match self {
            Self::Whole(part) => part.end_row_group().await,
            Self::Partitioned(partitions) => partitions.flush().await,
        }
    }

    /// Ends every part and waits for the uploads.
    pub(super) async fn finish(self) -> Result<Vec<FinishedPart>> {
        match self {
            Self::Whole(part) => Ok(vec![part.finish().await?]),
            Self::Partitioned(partitions) => partitions.finish().await,
        }
    }
}

/// Where parts go.
#[derive(Clone)]
struct Target<'a> {
    ctx: &'a Context,
    plan: &'a Plan,
    slice: &'a Slice,
    attempt: &'a str,
    begun: &'a Begun,
    /// The source, in parts' names.
    name: String,
}

/// A slice's rows by partition.
pub(super) struct Partitions<'a> {
    target: Target<'a>,
    schema: SchemaRef,
    options: PartOptions,
    levels: Vec<PartitionColumn>,
    max_partitions: usize,
    /// Values as bytes that are equal where the values are. Made for the first rows' types.
    converter: Option<RowConverter>,
    /// The folder of values seen, by their bytes.
    known: HashMap<Box<[u8]>, Arc<str>>,
    /// Every folder once: rows of one partition share its address.
    folders: HashSet<Arc<str>>,
    /// By folder: the order in which parts are written and recorded.
    partitions: BTreeMap<Arc<str>, Partition>,
    gathered_bytes: usize,
}

#[derive(Default)]
struct Partition {
    /// Rows of the window.
    gathered: Vec<RecordBatch>,
    /// Rows in all.
    rows: u64,
    writer: Option<TurnWriter>,
}

impl Partitions<'_> {
    async fn write(&mut self, rows: RecordBatch, values: &[ArrayRef]) -> Result<()> {
        let folders = self.folders_of(values)?;
        self.gathered_bytes = self.gathered_bytes.saturating_add(bytes_of(&rows).map_err(internal)?);
        for (folder, rows) in split(&rows, &folders).map_err(internal)? {
            let partition = self.partitions.entry(folder).or_default();
            partition.rows += u64::try_from(rows.num_rows()).unwrap_or(u64::MAX);
            partition.gathered.push(rows);
        }
        if self.partitions.len() > self.max_partitions {
            return Err(self.too_many());
        }
        if self.gathered_bytes > GATHERED_BYTES { self.flush().await } else { Ok(()) }
    }

    /// The folder of every row.
    fn folders_of(&mut self, values: &[ArrayRef]) -> Result<Vec<Arc<str>>> {
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => {
                let fields = values.iter().map(|array| SortField::new(array.data_type().clone())).collect();
                none.insert(RowConverter::new(fields).map_err(internal)?)
            }
        };
        let keys = converter.convert_columns(values).map_err(internal)?;
        let mut folders: Vec<Arc<str>> = Vec::with_capacity(keys.num_rows());
        // Rows of one partition often follow each other.
        let mut last: Option<&[u8]> = None;
        for row in 0..keys.num_rows() {
            let key = keys.row(row).data();
            let before = folders.last().filter(|_| last == Some(key)).cloned();
            last = Some(key);
            let folder = match before.or_else(|| self.known.get(key).cloned()) {
                Some(folder) => folder,
                None => {
                    let folder = self.folder(values, row)?;
                    self.known.insert(key.into(), Arc::clone(&folder));
                    folder
                }
            };
            folders.push(folder);
        }
        Ok(folders)
    }

    /// The folder of one row's values.
    fn folder(&mut self, values: &[ArrayRef], row: usize) -> Result<Arc<str>> {
        let texts = values.iter().map(|array| hive::value(array, row));
        let texts: Vec<Option<String>> = texts.collect::<Result<_, _>>().map_err(|error| {
            Error::source(self.target.plan.run.source.uri(), format!("a partition's value has no text: {error}"))
        })?;
        let folder = hive::folder(self.levels.iter().map(|level| level.name.as_str()).zip(texts));
        if folder.len() > MAX_FOLDER_BYTES {
            let cut = folder.floor_char_boundary(80);
            return Err(Error::Limit {
                what: format!("the length of partition {}… in bytes", folder.get(..cut).unwrap_or_default()),
                value: u64::try_from(folder.len()).unwrap_or(u64::MAX),
                limit: u64::try_from(MAX_FOLDER_BYTES).unwrap_or(u64::MAX),
                remedy: "partition by something shorter".to_owned(),
            });
        }
        // Values that differ may be named alike: a null and an empty text.
        if let Some(known) = self.folders.get(folder.as_str()) {
            return Ok(Arc::clone(known));
        }
        let folder: Arc<str> = folder.into();
        self.folders.insert(Arc::clone(&folder));
        Ok(folder)
    }

    fn too_many(&self) -> Error {
        let Target { plan, slice, .. } = &self.target;
        let mut rarest: Vec<(u64, &str)> =
            self.partitions.iter().map(|(folder, partition)| (partition.rows, &**folder)).collect();
        rarest.sort_unstable();
        let shown =
            rarest.iter().take(SHOWN).map(|(rows, folder)| format!("{} ({rows})", folder.trim_end_matches('/')));
        let shown: Vec<String> = shown.collect();
        let exprs: Vec<String> = self.levels.iter().map(|level| format!("`{}`", level.expr)).collect();
        Error::Limit {
            what: format!("the number of partitions of rows {:?} of {}", slice.rows, plan.run.source.uri()),
            value: u64::try_from(self.partitions.len()).unwrap_or(u64::MAX),
            limit: u64::try_from(self.max_partitions).unwrap_or(u64::MAX),
            remedy: format!(
                "keep stray values out with an expectation on {} (the rarest so far, with their rows: {}), or raise \
                 output.max_partitions",
                exprs.join(" and "),
                shown.join(", ")
            ),
        }
    }

    /// Writes what is gathered: a row group for each partition that has rows.
    async fn flush(&mut self) -> Result<()> {
        self.gathered_bytes = 0;
        self.begin_parts().await?;
        for partition in self.partitions.values_mut() {
            let gathered = std::mem::take(&mut partition.gathered);
            if let (Some(writer), false) = (&mut partition.writer, gathered.is_empty()) {
                writer.row_group(gathered).await?;
            }
        }
        Ok(())
    }

    /// Begins the uploads of partitions that have none yet.
    async fn begin_parts(&mut self) -> Result<()> {
        let new = self.partitions.iter().filter(|(_, partition)| partition.writer.is_none());
        let begun = new.map(|(folder, _)| begin_part(self.target.clone(), Arc::clone(folder)).boxed());
        let begun: Vec<_> = begun.collect();
        let mut begun = stream::iter(begun).buffer_unordered(UPLOADS_AT_ONCE);
        let mut failed = None;
        let mut uploads = Vec::new();
        while let Some(result) = begun.next().await {
            match result {
                Ok(upload) => uploads.push(upload),
                Err(error) => failed = Some(error),
            }
        }
        drop(begun);
        // Also after an error: whoever aborts finds the uploads here.
        for (folder, upload) in uploads {
            if let Some(partition) = self.partitions.get_mut(&folder) {
                let (schema, options) = (Arc::clone(&self.schema), self.options.clone());
                partition.writer = Some(TurnWriter::begin(schema, options, upload));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn finish(mut self) -> Result<Vec<FinishedPart>> {
        self.flush().await?;
        let writers = self.partitions.into_values().filter_map(|partition| partition.writer);
        let finishing: Vec<_> = writers.map(|writer| writer.finish().boxed()).collect();
        stream::iter(finishing).buffered(UPLOADS_AT_ONCE).try_collect().await
    }
}

async fn begin_part(target: Target<'_>, folder: Arc<str>) -> Result<(Arc<str>, crate::write::DeferredUpload)> {
    let Target { ctx, plan, slice, attempt, begun, name } = target;
    let key = keys::partition_part(&plan.parts_folder, &folder, &name, slice.index);
    let options = UploadOptions { part_bytes: UPLOAD_BYTES, concurrent_parts: 2 };
    Ok((folder, begun.upload(ctx, key, attempt, options).await?))
}

/// Cuts rows by their folders, in the order in which folders appear; rows of one folder keep theirs.
fn split(rows: &RecordBatch, folders: &[Arc<str>]) -> Result<Vec<(Arc<str>, RecordBatch)>, arrow::error::ArrowError> {
    let mut groups: Vec<(Arc<str>, Vec<u32>)> = Vec::new();
    let mut places: HashMap<*const u8, usize> = HashMap::new();
    for (row, folder) in (0u32..).zip(folders) {
        // Equal folders are one allocation, so the address tells them apart.
        let place = *places.entry(folder.as_ptr()).or_insert_with(|| {
            groups.push((Arc::clone(folder), Vec::new()));
            groups.len() - 1
        });
        if let Some((_, group)) = groups.get_mut(place) {
            group.push(row);
        }
    }
    if let [(folder, _)] = groups.as_slice() {
        return Ok(vec![(Arc::clone(folder), rows.clone())]);
    }
    let order: UInt32Array = groups.iter().flat_map(|(_, group)| group.iter().copied()).collect();
    let ordered = take_record_batch(rows, &order)?;
    let mut start = 0;
    let cut = groups.into_iter().map(|(folder, group)| {
        let piece = ordered.slice(start, group.len());
        start += group.len();
        (folder, piece)
    });
    Ok(cut.collect())
}

/// Bytes that the rows themselves take, not the buffers that they are slices of.
fn bytes_of(rows: &RecordBatch) -> Result<usize, arrow::error::ArrowError> {
    rows.columns().iter().map(|column| column.to_data().get_slice_memory_size()).sum()
}

fn internal(error: arrow::error::ArrowError) -> Error {
    Error::Internal(format!("partitions: {error}"))
}
