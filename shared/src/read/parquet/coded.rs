//! Columns read as codes into their dictionary.
//!
//! Where every data page of a flat column chunk holds dictionary indices, values are not written out: the codes are read
//! ([`CodeReader`](super::codes::CodeReader)) and put together with the dictionary, which the parquet crate's decoder
//! decodes once, as one page of plain values. The other columns are that decoder's.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, PrimitiveArray, new_empty_array};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Schema, SchemaRef, UInt8Type, UInt16Type};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::{Encoding, Type as PhysicalType};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use super::footer::Footer;
use super::packed::Code;

/// Whether a chunk of a column that is read as `data_type` can be read as codes.
fn can_be_coded(chunk: &ColumnChunkMetaData, data_type: &DataType) -> bool {
    use DataType::*;
    let column = chunk.column_descr();
    if column.max_rep_level() > 0 || column.max_def_level() > 1 || column.path().parts().len() > 1 {
        return false;
    }
    // Timestamps rarely repeat: they are written plain, and so are read plain.
    let of_use = matches!(
        data_type,
        Int8 | Int16
            | Int32
            | Int64
            | UInt8
            | UInt16
            | UInt32
            | UInt64
            | Float32
            | Float64
            | Date32
            | Time32(_)
            | Time64(_)
            | Utf8
            | LargeUtf8
            | Binary
            | LargeBinary
    );
    of_use && holds_codes_only(chunk)
}

/// Whether the footer tells that all data pages hold dictionary indices.
fn holds_codes_only(chunk: &ColumnChunkMetaData) -> bool {
    match chunk.page_encoding_stats_mask() {
        Some(pages) => pages.encodings().all(is_code) && pages.encodings().next().is_some(),
        // Writers of old gave the dictionary page itself that encoding, so that PLAIN can only mean data pages.
        None => {
            let encodings = chunk.encodings_mask();
            encodings.is_set(Encoding::PLAIN_DICTIONARY)
                && encodings.encodings().all(|encoding| {
                    matches!(encoding, Encoding::PLAIN_DICTIONARY | Encoding::RLE) || is_levels_only(encoding)
                })
        }
    }
}

#[allow(deprecated, reason = "files of old name it")]
fn is_levels_only(encoding: Encoding) -> bool {
    encoding == Encoding::BIT_PACKED
}

/// Which columns of a row group are read as codes, and how.
pub(super) struct Coding {
    shape: Arc<Shape>,
    /// For each leaf column.
    dictionaries: Vec<Option<Arc<Dictionary>>>,
    /// Of the batches, once the first one tells how wide codes are.
    schema: OnceLock<SchemaRef>,
}

/// What row groups with the same columns coded have in common.
pub(super) struct Shape {
    /// Of the other columns; `None` where there are none.
    levels: Option<FieldLevels>,
    /// The file's, with the values' types.
    schema: SchemaRef,
    /// For each field of the schema its leaf column, where it is coded.
    leaves: Vec<Option<usize>>,
}

impl Coding {
    /// Finds the columns of a row group that are read as codes; none unless `wanted`. `last` is the coding of the row
    /// group before: most have the same columns coded.
    pub fn of(footer: &Footer, group: &RowGroupMetaData, wanted: bool, last: Option<&Self>) -> Result<Self> {
        let descriptor = footer.metadata.file_metadata().schema_descr();
        let mut leaves = vec![None; footer.schema.fields().len()];
        for (leaf, chunk) in group.columns().iter().enumerate() {
            let at = descriptor.get_column_root_idx(leaf);
            let field = footer.schema.fields().get(at).filter(|field| field.name() == chunk.column_descr().name());
            if let (Some(field), Some(slot)) = (field, leaves.get_mut(at))
                && wanted
                && can_be_coded(chunk, field.data_type())
            {
                *slot = Some(leaf);
            }
        }
        let shape = match last {
            Some(last) if last.shape.leaves == leaves => last.shape.clone(),
            _ => Arc::new(Shape::new(footer, leaves)?),
        };
        let mut dictionaries: Vec<_> = group.columns().iter().map(|_| None).collect();
        for (leaf, field) in shape.leaves.iter().zip(footer.schema.fields()) {
            if let Some(leaf) = leaf
                && let Some(slot) = dictionaries.get_mut(*leaf)
                && let Some(column) = descriptor.columns().get(*leaf)
            {
                *slot = Some(Arc::new(Dictionary::new(field.clone(), column.self_type_ptr())));
            }
        }
        Ok(Self { shape, dictionaries, schema: OnceLock::new() })
    }

    /// For the decoder of the columns that are not coded, where there are any.
    pub fn levels(&self) -> Option<&FieldLevels> {
        self.shape.levels.as_ref()
    }

    /// The leaf columns that are read as codes, with their dictionaries.
    pub fn dictionaries(&self) -> impl Iterator<Item = (usize, &Arc<Dictionary>)> {
        let leaves = self.shape.leaves.iter().flatten();
        leaves.filter_map(|leaf| Some((*leaf, self.dictionary(*leaf)?)))
    }

    fn dictionary(&self, leaf: usize) -> Option<&Arc<Dictionary>> {
        self.dictionaries.get(leaf)?.as_ref()
    }

    /// Puts the columns of a batch together: codes, in the order of [`dictionaries`](Self::dictionaries), and the others, in
    /// the order of the schema. All have `rows` rows.
    pub fn assemble(
        &self,
        codes: Vec<ArrayRef>,
        others: &[ArrayRef],
        rows: usize,
        metadata: &ParquetMetaData,
    ) -> Result<RecordBatch> {
        let missing = || ParquetError::General("a column was not decoded".to_owned());
        let (mut codes, mut others) = (codes.into_iter(), others.iter());
        let columns = self.shape.leaves.iter().map(|leaf| {
            let Some(leaf) = leaf else { return others.next().cloned().ok_or_else(missing) };
            let dictionary = self.dictionary(*leaf).ok_or_else(missing)?;
            let codes = codes.next().ok_or_else(missing)?;
            put_together(&codes, dictionary.values(metadata)?)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        // The decoder's schema may carry the file's metadata in its fields' place; the footer's is the one promised.
        let schema = self.schema.get_or_init(|| self.shape.schema_of(&columns)).clone();
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}

fn put_together(codes: &ArrayRef, values: ArrayRef) -> Result<ArrayRef> {
    match codes.data_type() {
        DataType::UInt8 => checked::<u8>(codes.as_primitive::<UInt8Type>(), values),
        DataType::UInt16 => checked::<u16>(codes.as_primitive::<UInt16Type>(), values),
        _ => checked::<i32>(codes.as_primitive::<Int32Type>(), values),
    }
}

/// A dictionary array of codes that are checked here: all of them, null or not, in one pass without a branch, where
/// [`DictionaryArray::try_new`] asks one after the other.
#[allow(unsafe_code, reason = "asking one code after the other takes 3 % of all time")]
fn checked<C: Code>(codes: &PrimitiveArray<C::Key>, values: ArrayRef) -> Result<ArrayRef> {
    let (least, greatest) = codes.values().iter().fold((C::default(), C::default()), |(least, greatest), code| {
        (if *code < least { *code } else { least }, if *code > greatest { *code } else { greatest })
    });
    // Where all are null the dictionary may be empty.
    if least < C::default() || greatest.as_usize() >= values.len() {
        return Ok(Arc::new(DictionaryArray::try_new(codes.clone(), values)?));
    }
    // SAFETY: every code is at least zero and below the dictionary's length.
    Ok(Arc::new(unsafe { DictionaryArray::new_unchecked(codes.clone(), values) }))
}

impl Shape {
    fn new(footer: &Footer, leaves: Vec<Option<usize>>) -> Result<Self> {
        let coded: Vec<usize> = leaves.iter().flatten().copied().collect();
        if coded.is_empty() {
            return Ok(Self { levels: Some(footer.levels.decoder().clone()), schema: footer.schema.clone(), leaves });
        }
        let levels = match leaves.iter().any(Option::is_none) {
            true => {
                let others = (0..footer.columns()).filter(|leaf| !coded.contains(leaf));
                Some(footer.levels.decoder_of(&footer.metadata, others)?)
            }
            false => None,
        };
        Ok(Self { levels, schema: footer.schema.clone(), leaves })
    }

    /// The schema of batches with these columns.
    fn schema_of(&self, columns: &[ArrayRef]) -> SchemaRef {
        if self.leaves.iter().all(Option::is_none) {
            return self.schema.clone();
        }
        let fields = self.schema.fields().iter().zip(columns).map(|(field, column)| match column.data_type() {
            same if same == field.data_type() => field.clone(),
            coded => Arc::new(Field::new(field.name(), coded.clone(), field.is_nullable())),
        });
        Arc::new(Schema::new(fields.collect::<Fields>()))
    }
}

fn descriptor(types: Vec<TypePtr>) -> Result<SchemaDescriptor> {
    Ok(SchemaDescriptor::new(Arc::new(Type::group_type_builder("schema").with_fields(types).build()?)))
}

/// The dictionary of one column chunk.
pub(super) struct Dictionary {
    field: FieldRef,
    leaf: TypePtr,
    state: Mutex<State>,
}

enum State {
    /// No page had one yet.
    Unknown,
    Page(Bytes, u32),
    Values(ArrayRef),
}

impl Dictionary {
    /// Of a column of this type, whose values are read as `field` says.
    pub fn new(field: FieldRef, leaf: TypePtr) -> Self {
        Self { field, leaf, state: Mutex::new(State::Unknown) }
    }

    /// Keeps the dictionary page.
    pub fn keep(&self, bytes: Bytes, values: u32) -> Result<(), String> {
        let least = match self.leaf.get_physical_type() {
            PhysicalType::INT64 | PhysicalType::DOUBLE => 8,
            PhysicalType::INT96 => 12,
            PhysicalType::INT32 | PhysicalType::FLOAT | PhysicalType::BYTE_ARRAY => 4,
            _ => 1,
        };
        // Count before allocating: the number is only a claim.
        let fits = usize::try_from(values).is_ok_and(|count| count.saturating_mul(least) <= bytes.len());
        if !fits || i32::try_from(values).is_err() {
            return Err(format!("a dictionary of {} bytes claims {values} entries", bytes.len()));
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Unknown => *state = State::Page(bytes, values),
            _ => return Err("two dictionaries".to_owned()),
        }
        Ok(())
    }

    /// How many entries it has, as far as a page told.
    pub fn len(&self) -> usize {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Unknown => 0,
            State::Page(_, values) => usize::try_from(*values).unwrap_or(usize::MAX),
            State::Values(values) => values.len(),
        }
    }

    /// The distinct values, the same array every time.
    fn values(&self, metadata: &ParquetMetaData) -> Result<ArrayRef> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let values = match &*state {
            State::Values(values) => return Ok(values.clone()),
            // A chunk of nulls may come without.
            State::Unknown => return Ok(new_empty_array(self.field.data_type())),
            State::Page(bytes, count) => self.decode(bytes, *count, metadata)?,
        };
        *state = State::Values(values.clone());
        Ok(values)
    }

    fn decode(&self, bytes: &Bytes, count: u32, metadata: &ParquetMetaData) -> Result<ArrayRef> {
        if count == 0 {
            return Ok(new_empty_array(self.field.data_type()));
        }
        let descriptor = descriptor(vec![self.leaf.clone()])?;
        let hints: Fields = vec![self.field.clone()].into();
        let levels = parquet_to_arrow_field_levels(&descriptor, ProjectionMask::all(), Some(&hints))?;
        let is_optional = descriptor.columns().iter().any(|column| column.max_def_level() > 0);
        let page = Page::DataPage {
            buf: if is_optional { behind_levels(bytes, count) } else { bytes.clone() },
            num_values: count,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let rows = usize::try_from(count)?;
        let pages = OneColumn { page, rows, metadata };
        let mut reader = ParquetRecordBatchReader::try_new_with_row_groups(&levels, &pages, rows, None)?;
        let batch = reader.next().transpose()?;
        let values = batch.and_then(|batch| batch.columns().first().cloned());
        let short = || ParquetError::General("a dictionary holds fewer entries than it claims".to_owned());
        values.filter(|values| values.len() == rows && values.data_type() == self.field.data_type()).ok_or_else(short)
    }
}

/// Plain values with the levels of as many that are not null before them: their length, and one run of ones.
fn behind_levels(values: &Bytes, count: u32) -> Bytes {
    let mut run = Vec::with_capacity(6);
    let mut header = u64::from(count) << 1;
    while let Ok(low) = u8::try_from(header & 0x7f) {
        header >>= 7;
        run.push(if header == 0 { low } else { low | 0x80 });
        if header == 0 {
            break;
        }
    }
    run.push(1);
    let length = u32::try_from(run.len()).unwrap_or_default();
    [length.to_le_bytes().as_slice(), &run, values].concat().into()
}

/// A column of one page.
struct OneColumn<'a> {
    page: Page,
    rows: usize,
    metadata: &'a ParquetMetaData,
}

impl RowGroups for OneColumn<'_> {
    fn num_rows(&self) -> usize {
        self.rows
    }

    fn column_chunks(&self, _: usize) -> Result<Box<dyn PageIterator>> {
        let pages: Box<dyn PageReader> = Box::new(OnePage(Some(self.page.clone())));
        Ok(Box::new(OneChunk(Some(pages))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::empty())
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata
    }
}

struct OneChunk(Option<Box<dyn PageReader>>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for OneChunk {}

struct OnePage(Option<Page>);

impl Iterator for OnePage {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageReader for OnePage {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        Ok(self.0.take())
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        let levels = |page: &Page| usize::try_from(page.num_values()).ok();
        Ok(self.0.as_ref().map(|page| PageMetadata {
            num_rows: levels(page),
            num_levels: levels(page),
            is_dict: false,
        }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.0 = None;
        Ok(())
    }
}

/// Whether an encoding is of dictionary indices.
pub(super) fn is_code(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY)
}
