//! Encoding Parquet: the same bytes for the same rows, whatever the batches and the threads.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowLeafColumn, ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions,
    compute_leaves,
};
use parquet::basic::Compression;
use parquet::basic::{Encoding, LogicalType, Type as PhysicalType};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};

use super::flat::{Buffers, FlatChunk, FlatColumn, SelectedValues};
use super::{EncodedChunk, PartOptions, copy};
use crate::coded;
use crate::selected::SelectedRows;

/// The column writers decide where a page ends after each run of rows they are given, so they are always given as many:
/// enough that a column's dictionary, once it is in a core's cache, is used for a while before another column's takes its
/// place. A page of a flat column holds as many: 1 MiB of plain timestamps, less of anything that repeats. Its statistics are
/// made of the values that it has, once, so that large pages are cheaper.
const RUN_ROWS: usize = 131_072;
/// Runs of wide rows are shorter: a row group's first rows tell how wide they are.
const RUN_BYTES: usize = 32 << 20;
const FIRST_ROWS: usize = 1_024;
/// Where rows become far wider behind those, they are encoded before more than this is gathered.
const GATHERED_BYTES: usize = 128 << 20;
/// A page of another column holds at most so many rows.
const PAGE_ROWS: usize = 16_384;

/// The writer of one leaf column of the open row group.
enum Leaf {
    Flat(Box<FlatColumn>),
    /// What is nested, or of a type or codec that flat columns do not know.
    Other(Box<ArrowColumnWriter>),
}

impl Leaf {
    fn write(&mut self, rows: Rows, buffers: &mut Buffers) -> Result<()> {
        match (self, rows) {
            (Self::Flat(column), Rows::Flat(run)) => column.write(&run, buffers),
            (Self::Other(column), Rows::Other(rows)) => column.write(&rows),
            _ => Err(ParquetError::General("rows for another column".to_owned())),
        }
    }

    fn close(self, buffers: &mut Buffers) -> Result<Chunk> {
        match self {
            Self::Flat(column) => column.close(buffers).map(Chunk::Flat),
            Self::Other(column) => column.close().map(Chunk::Other),
        }
    }
}

/// Rows of a leaf column on their way to its writer.
enum Rows {
    Flat(Vec<SelectedValues>),
    Other(ArrowLeafColumn),
}

/// A leaf column of a row group that has ended.
enum Chunk {
    Flat(FlatChunk),
    Other(ArrowColumnChunk),
}

/// Buffers for flat columns, as many as threads of this process have used at once.
static SPARES: Mutex<Vec<Buffers>> = Mutex::new(Vec::new());
/// Larger ones are not kept.
const SPARE_BYTES: usize = 32 << 20;

/// Lends buffers to a job. Those of a job that fails may hold rows, and are nobody's any more.
fn with_buffers<R>(job: impl FnOnce(&mut Buffers) -> Result<R>) -> Result<R> {
    let spares = || SPARES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut buffers = spares().pop().unwrap_or_default();
    let done = job(&mut buffers)?;
    if buffers.is_empty() && buffers.bytes() <= SPARE_BYTES {
        spares().push(buffers);
    }
    Ok(done)
}

/// Writes row groups, exactly those it is told to.
pub(super) struct Encoder<W: Write + Send> {
    file: SerializedFileWriter<W>,
    /// Makes the writers of the columns that are not flat, where there are any.
    others: Option<ArrowRowGroupWriterFactory>,
    schema: SchemaRef,
    compression: Compression,
    threads: usize,
    /// The writers of the open row group's leaf columns; empty between row groups.
    columns: Vec<Mutex<Leaf>>,
    /// Rows of each run of the open row group, once its first rows have told.
    run_rows: Option<usize>,
    /// Rows not yet encoded, fewer than a run.
    gathered: Vec<SelectedRows>,
    gathered_rows: usize,
    gathered_bytes: usize,
    group_rows: u64,
    row_groups: Vec<u64>,
}

impl<W: Write + Send> Encoder<W> {
    /// An encoder that writes to `sink`.
    pub fn new(sink: W, schema: SchemaRef, options: &PartOptions) -> Result<Self> {
        // Metadata of the source's schema is not the part's.
        let schema = SchemaRef::new(Schema::new(schema.fields().clone()));
        let properties = properties(&schema, options)?;
        let options_arrow = ArrowWriterOptions::new().with_properties(properties);
        let writer = ArrowWriter::try_new_with_options(sink, schema.clone(), options_arrow.clone())?;
        let (file, _) = writer.into_serialized_writer()?;
        let columns = file.schema_descr().columns();
        // A factory makes writers for all columns it knows at once, each with megabytes of buffers.
        let others = others(&schema, columns, options.compression);
        let others = match others.fields().is_empty() {
            true => None,
            false => {
                let writer = ArrowWriter::try_new_with_options(std::io::sink(), SchemaRef::new(others), options_arrow)?;
                Some(writer.into_serialized_writer()?.1)
            }
        };
        Ok(Self {
            file,
            others,
            schema,
            compression: options.compression,
            threads: options.threads.max(1),
            columns: Vec::new(),
            run_rows: None,
            gathered: Vec::new(),
            gathered_rows: 0,
            gathered_bytes: 0,
            group_rows: 0,
            row_groups: Vec::new(),
        })
    }

    /// Takes rows of the open row group. Columns may come as codes into a dictionary.
    pub fn write(&mut self, rows: SelectedRows) -> Result<()> {
        let same = |(own, given): (&DataType, &DataType)| coded::represents(given, own);
        let own = self.schema.fields().iter().map(|field| field.data_type());
        let given = rows.schema().fields().iter().map(|field| field.data_type());
        if own.len() != given.len() || !own.zip(given).all(same) {
            return Err(ParquetError::General("a batch has other columns than the part".to_owned()));
        }
        let mut rest = rows;
        while rest.num_rows() > 0 {
            let run_rows = self.run_rows.unwrap_or(FIRST_ROWS);
            let room = run_rows - self.gathered_rows;
            // A slice is new arrays, of many small allocations each.
            let (mut rows, behind) = match rest.num_rows() <= room {
                true => (rest, None),
                false => {
                    let (rows, behind) = rest.split_at(room);
                    (rows, Some(behind))
                }
            };
            // Where most are left out, they would be gathered with the few. The first ones are looked at before they are written.
            let is_sparse = rows.selection().is_some_and(|all| rows.num_rows() < all.len() / 2);
            if is_sparse || self.run_rows.is_none() {
                rows = rows.into_batch()?.into();
            }
            self.gathered_bytes = self.gathered_bytes.saturating_add(bytes_of(&rows)?);
            self.gathered_rows += rows.num_rows();
            self.gathered.push(rows);
            if self.run_rows.is_none() && self.gathered_rows >= FIRST_ROWS {
                self.run_rows = Some(run_rows_of(&self.gathered)?);
            }
            let is_run = self.run_rows.is_some_and(|run_rows| self.gathered_rows >= run_rows);
            if is_run || self.gathered_bytes > GATHERED_BYTES {
                self.encode()?;
            }
            let Some(behind) = behind else { break };
            rest = behind;
        }
        Ok(())
    }

    /// Ends the open row group; one without rows leaves nothing behind.
    pub fn end_row_group(&mut self) -> Result<()> {
        let rows = self.take_gathered()?;
        self.run_rows = None;
        if self.group_rows == 0 {
            return Ok(());
        }
        let mut rows = rows.into_iter();
        let work: Vec<(Mutex<Leaf>, Option<Rows>)> =
            std::mem::take(&mut self.columns).into_iter().map(|column| (column, rows.next())).collect();
        // A column's last rows make no page before it ends: both at once, or each would keep buffers of its own meanwhile.
        let chunks = parallel(self.threads, work, |(leaf, rows)| {
            let mut leaf = leaf.into_inner().unwrap_or_else(PoisonError::into_inner);
            with_buffers(|buffers| {
                rows.map_or(Ok(()), |rows| leaf.write(rows, buffers))?;
                leaf.close(buffers)
            })
        })?;
        let mut group = self.file.next_row_group()?;
        for chunk in chunks {
            match chunk {
                Chunk::Flat(FlatChunk { pages, close }) => group.append_column(&pages, close)?,
                Chunk::Other(chunk) => chunk.append_to_row_group(&mut group)?,
            }
        }
        group.close()?;
        self.row_groups.push(std::mem::take(&mut self.group_rows));
        Ok(())
    }

    /// Ends the open row group, and appends one of the encoded chunks that `next` gives, one for each column.
    pub fn copy_row_group(&mut self, next: impl FnMut() -> Option<EncodedChunk>) -> Result<()> {
        self.end_row_group()?;
        self.row_groups.push(copy::append(&mut self.file, next)?);
        Ok(())
    }

    /// Ends the file; answers the rows of each row group.
    pub fn finish(mut self) -> Result<Vec<u64>> {
        self.end_row_group()?;
        self.file.finish()?;
        Ok(self.row_groups)
    }

    /// Encodes what is gathered.
    fn encode(&mut self) -> Result<()> {
        let rows = self.take_gathered()?;
        let work: Vec<(&Mutex<Leaf>, Rows)> = self.columns.iter().zip(rows).collect();
        parallel(self.threads, work, |(leaf, rows)| {
            with_buffers(|buffers| leaf.lock().unwrap_or_else(PoisonError::into_inner).write(rows, buffers))
        })?;
        Ok(())
    }

    /// What is gathered, for each of the columns; nothing where there is none.
    fn take_gathered(&mut self) -> Result<Vec<Rows>> {
        let gathered = std::mem::take(&mut self.gathered);
        let rows = std::mem::take(&mut self.gathered_rows);
        self.gathered_bytes = 0;
        if rows == 0 {
            return Ok(Vec::new());
        }
        if self.columns.is_empty() {
            self.columns = self.begin_columns()?;
        }
        self.group_rows += u64::try_from(rows).unwrap_or(u64::MAX);
        let mut leaves = Vec::with_capacity(self.columns.len());
        for (at, field) in self.schema.fields().iter().enumerate() {
            let run =
                gathered.iter().filter_map(|rows| Some(SelectedValues::new(rows.columns().get(at)?, rows.selection())));
            match self.columns.get(leaves.len()).map(|leaf| leaf.lock().unwrap_or_else(PoisonError::into_inner)) {
                Some(leaf) if matches!(*leaf, Leaf::Flat(_)) => leaves.push(Rows::Flat(run.collect())),
                _ => {
                    let plain = run.map(|values| coded::unpack(&values.alone()?, field.data_type()));
                    let plain: Vec<ArrayRef> = plain.collect::<std::result::Result<_, _>>()?;
                    let refs: Vec<&dyn Array> = plain.iter().map(AsRef::as_ref).collect();
                    leaves.extend(compute_leaves(field, &concat(&refs)?)?.into_iter().map(Rows::Other));
                }
            }
        }
        Ok(leaves)
    }

    /// Writers for the leaf columns of a row group. A field of a flat type is one leaf.
    fn begin_columns(&self) -> Result<Vec<Mutex<Leaf>>> {
        let mut others = match &self.others {
            Some(factory) => factory.create_column_writers(self.row_groups.len())?,
            None => Vec::new(),
        }
        .into_iter();
        let leaves = self.file.schema_descr().columns().iter().map(|column| {
            Ok(Mutex::new(match flat_type(&self.schema, column, self.compression) {
                Some(of) => {
                    let page_rows = self.run_rows.unwrap_or(RUN_ROWS);
                    Leaf::Flat(Box::new(FlatColumn::new(of, column.clone(), self.compression, page_rows)?))
                }
                None => Leaf::Other(Box::new(others.next().ok_or_else(without_writer)?)),
            }))
        });
        leaves.collect()
    }
}

/// The type of a column that is flat; `None` for others.
fn flat_type<'a>(schema: &'a Schema, column: &ColumnDescriptor, compression: Compression) -> Option<&'a DataType> {
    let [name] = column.path().parts() else { return None };
    let of = schema.field_with_name(name).ok()?.data_type();
    FlatColumn::fits(of, column, compression).then_some(of)
}

/// The fields that are not flat.
fn others(schema: &Schema, columns: &[ColumnDescPtr], compression: Compression) -> Schema {
    let root = |column: &ColumnDescPtr| column.path().parts().first().cloned();
    let flat: HashSet<String> =
        columns.iter().filter(|column| flat_type(schema, column, compression).is_some()).filter_map(root).collect();
    Schema::new(schema.fields().iter().filter(|field| !flat.contains(field.name())).cloned().collect::<Fields>())
}

fn without_writer() -> ParquetError {
    ParquetError::General("a column without a writer".to_owned())
}

/// Bytes that the rows themselves take, not the buffers that they are slices of, nor the dictionaries of their codes.
fn bytes_of(rows: &SelectedRows) -> Result<usize> {
    let sizes = rows.columns().iter().map(|column| match column.data_type() {
        DataType::Dictionary(..) => Ok(column.len() * size_of::<i32>()),
        _ => column.to_data().get_slice_memory_size(),
    });
    Ok(sizes.sum::<std::result::Result<usize, _>>()?)
}

/// Rows of a run, where these are a row group's first ones. It depends on the rows, and not on the batches that they came in.
fn run_rows_of(first: &[SelectedRows]) -> Result<usize> {
    let rows: usize = first.iter().map(SelectedRows::num_rows).sum();
    let mut bytes = 0usize;
    for at in 0..first.first().map_or(0, |rows| rows.columns().len()) {
        let column = first.iter().filter_map(|rows| rows.columns().get(at));
        let mut columns: Vec<&dyn Array> = column.map(AsRef::as_ref).collect();
        // One array would be answered as it is, a slice of lists with the values of all lists; two are put together.
        let none = columns.first().map(|column| column.slice(0, 0));
        columns.extend(none.as_deref());
        bytes = bytes.saturating_add(match columns.first().map(|column| column.data_type()) {
            Some(DataType::Dictionary(..)) => rows * size_of::<i32>(),
            // Whether a column without nulls has a bitmap depends on what it was made of.
            _ => concat(&columns)?.to_data().into_builder().nulls(None).build()?.get_slice_memory_size()?,
        });
    }
    let fitting = RUN_BYTES.saturating_mul(rows) / bytes.max(1);
    Ok(fitting.checked_ilog2().map_or(0, |log| 1 << log).clamp(FIRST_ROWS, RUN_ROWS))
}

/// Does `work` on up to `threads` threads, this one among them; the results come in the order of the work.
fn parallel<T: Send, R: Send>(threads: usize, work: Vec<T>, job: impl Fn(T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let threads = threads.min(work.len());
    if threads <= 1 {
        return work.into_iter().map(job).collect();
    }
    let todo: Vec<Mutex<Option<T>>> = work.into_iter().map(|item| Mutex::new(Some(item))).collect();
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = todo.get(index) else { return done };
            let item = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            done.extend(item.map(|item| (index, job(item))));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(_) => return Err(ParquetError::General("an encoding thread ended abnormally".to_owned())),
            }
        }
        Ok(done)
    })?;
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn properties(schema: &Schema, options: &PartOptions) -> Result<WriterProperties> {
    let metadata: Vec<KeyValue> =
        options.metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    let mut builder = WriterProperties::builder()
        .set_compression(options.compression)
        .set_created_by(format!("rowmill {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata((!metadata.is_empty()).then_some(metadata))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(None)
        // The column writers look for a page's end after so many rows where a column may hold nulls, and after so many
        // where it happens to hold none, which concatenation can change: the same number, or the bytes would differ.
        .set_write_batch_size(PAGE_ROWS)
        .set_data_page_row_count_limit(PAGE_ROWS);
    let parquet = ArrowSchemaConverter::new().convert(schema)?;
    for column in parquet.columns() {
        builder = encode_column(builder, column);
    }
    Ok(builder.build())
}

/// Timestamps rarely repeat: their differences are smaller than a dictionary, and faster to write. Everything else
/// tries a dictionary first.
fn encode_column(builder: WriterPropertiesBuilder, column: &ColumnDescriptor) -> WriterPropertiesBuilder {
    let is_timestamp = matches!(column.logical_type_ref(), Some(LogicalType::Timestamp { .. }));
    if !is_timestamp || column.physical_type() != PhysicalType::INT64 {
        return builder;
    }
    builder
        .set_column_dictionary_enabled(column.path().clone(), false)
        .set_column_encoding(column.path().clone(), Encoding::DELTA_BINARY_PACKED)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, Int32Array, RecordBatch, StringArray};
    use arrow::buffer::BooleanBuffer;

    use super::*;

    fn texts(bytes: usize) -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..FIRST_ROWS).map(|_| "x".repeat(bytes))))
    }

    fn run_rows(columns: Vec<ArrayRef>) -> usize {
        let named = columns.into_iter().enumerate().map(|(at, column)| (at.to_string(), column));
        let batch = RecordBatch::try_from_iter(named).unwrap();
        let whole = run_rows_of(&[batch.clone().into()]).unwrap();
        let pieces = [batch.slice(0, 7), batch.slice(7, 500), batch.slice(507, FIRST_ROWS - 507)];
        assert_eq!(run_rows_of(&pieces.map(SelectedRows::from)).unwrap(), whole, "whatever the batches");
        whole
    }

    #[test]
    fn runs_of_wide_rows_are_shorter() {
        assert_eq!(run_rows(vec![texts(10)]), RUN_ROWS);
        assert_eq!(run_rows(vec![texts(1_000)]), 32_768);
        assert_eq!(run_rows(vec![texts(2_000), texts(2_500)]), 4_096);
        assert_eq!(run_rows(vec![texts(100_000)]), FIRST_ROWS);
    }

    #[test]
    fn what_a_dictionary_holds_does_not_make_rows_wide() {
        let codes = Int32Array::from_iter_values((0..FIRST_ROWS).map(|row| i32::try_from(row % 3).unwrap()));
        let wide = DictionaryArray::new(codes, Arc::new(StringArray::from(vec!["x".repeat(100_000); 3])));
        assert_eq!(run_rows(vec![Arc::new(wide)]), RUN_ROWS);
    }

    #[test]
    fn rows_that_are_left_out_are_gathered_with_the_others_unless_they_are_most() {
        let rows = 8 * FIRST_ROWS;
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..i32::try_from(rows).unwrap()));
        let batch = RecordBatch::try_from_iter([("number", numbers)]).unwrap();
        let options = PartOptions { compression: Compression::SNAPPY, metadata: BTreeMap::new(), threads: 1 };
        let mut encoder = Encoder::new(Vec::new(), batch.schema(), &options).unwrap();
        encoder.write(batch.clone().into()).unwrap();
        for (every, gathered) in [(2, rows), (3, rows / 3 + 1), (100, rows / 100 + 1)] {
            let selection = BooleanBuffer::collect_bool(rows, |row| row % every == 0);
            let kept = selection.count_set_bits();
            let before = encoder.gathered_rows;
            let columns = batch.columns().to_vec();
            encoder.write(SelectedRows::try_new(batch.schema(), columns, rows, Some(selection)).unwrap()).unwrap();
            assert_eq!(encoder.gathered_rows - before, kept);
            assert_eq!(encoder.gathered.last().unwrap().columns()[0].len(), gathered, "one row in {every}");
        }
    }
}
