//! Flat columns, encoded here rather than by the parquet crate: a column that arrives as codes into a dictionary is
//! written as codes, and no value is looked at but the distinct ones.
//!
//! The bytes of a column chunk depend on its values alone, not on whether they came as codes or plain, nor on where the
//! arrays were cut:
//!
//! * A page ends with the first run of rows ([`FlatColumn::write`] is given one at a time) that makes it long enough,
//!   earlier where plain values are long.
//! * Distinct values get codes in the order of their first use; a page's codes are as wide as the dictionary was then.
//! * Where the first page shows that codes save nothing, or once the dictionary is large, values are written plain.
//! * The first page of timestamps shows whether they are best written as codes, as differences or plain ([`choice`]).
//! * The first page of codes or differences shows how much of the codec's effort makes them smaller: later ones get no more.
//!
//! Pages are version 1, which every reader knows. The dictionary page comes first.

mod choice;
mod chunk;
mod codec;
mod codes;
mod deltas;
mod entries;
mod header;
mod hybrid;
mod kind;
mod levels;
mod recent;
mod selected;
mod source;
mod statistics;
mod table;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
mod tests;
mod used;

use arrow::array::{AnyDictionaryArray, Array, AsArray, downcast_integer_array};
use arrow::datatypes::{ArrowNativeType, DataType};
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};

use choice::{Choice, plain_words};
pub(super) use chunk::FlatChunk;
use chunk::{PageShape, Pages};
use codec::Press;
use codes::{Codes, Slice};
use entries::{Entries, Value};
use header::Form;
use kind::Kind;
use levels::Levels;
use recent::Recent;
pub(super) use selected::SelectedValues;
use source::Source;
use statistics::Range;
use table::{Page, Table};
use used::Used;

/// No code is given to a value once the dictionary is this large.
const DICTIONARY_BYTES: usize = 2 << 20;
/// A page of plain strings ends behind the value that reaches this.
const PLAIN_PAGE_BYTES: usize = 1 << 20;

/// How values are written from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Coded,
    Plain,
}

/// Encodes one column of one row group.
pub(super) struct FlatColumn {
    kind: Kind,
    is_nullable: bool,
    mode: Mode,
    entries: Entries,
    recent: Recent,
    /// The codes that the open page has.
    used: Used,
    /// The dictionary that the last array came with.
    table: Option<Table>,
    pages: Pages,
    /// The open page: which rows have values, their codes or else their plain bytes and the range of these.
    levels: Levels,
    buffers: Buffers,
    range: Range,
    /// Whether values of eight bytes, where they get no codes, are written as differences; unknown before the first page of
    /// timestamps.
    as_deltas: Option<bool>,
    page_rows: usize,
}

/// Memory that one column after the other uses. It is a column's own only while that has an open page.
#[derive(Default)]
pub(super) struct Buffers {
    /// The open page's codes, plain bytes, and plain values of eight bytes.
    codes: Codes,
    plain: Vec<u8>,
    words: Vec<u64>,
    /// What is used for a moment.
    body: Vec<u8>,
    bits: Vec<u64>,
    press: Press,
}

impl Buffers {
    /// Whether no page is open in them.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty() && self.plain.is_empty() && self.words.is_empty()
    }

    /// What they take, the codec's contexts left out.
    pub fn bytes(&self) -> usize {
        let words = self.words.capacity().saturating_add(self.bits.capacity()).saturating_mul(8);
        let codes = self.codes.capacity_bytes();
        let bytes = self.plain.capacity().saturating_add(self.body.capacity()).saturating_add(self.press.bytes());
        words.saturating_add(codes).saturating_add(bytes)
    }
}

impl FlatColumn {
    /// Whether a column of that Arrow type can be written here.
    pub fn fits(data_type: &DataType, column: &ColumnDescriptor, compression: Compression) -> bool {
        codec::knows(compression) && Kind::of(data_type, column).is_some()
    }

    /// An encoder for one column of one row group.
    ///
    /// A page has at least `page_rows` rows, and fewer than a run more.
    pub fn new(
        data_type: &DataType,
        column: ColumnDescPtr,
        compression: Compression,
        page_rows: usize,
    ) -> Result<Self> {
        let kind = Kind::of(data_type, &column);
        let kind = kind.ok_or_else(|| ParquetError::General(format!("{data_type} is not flat")))?;
        let is_timestamp = matches!(data_type, DataType::Timestamp(..));
        Ok(Self {
            kind,
            is_nullable: column.max_def_level() > 0,
            mode: if is_timestamp { Mode::Plain } else { Mode::Coded },
            entries: Entries::new(kind),
            recent: Recent::new(),
            used: Used::default(),
            table: None,
            pages: Pages::new(kind, column, compression),
            levels: Levels::new(),
            buffers: Buffers::default(),
            range: Range::new(kind),
            as_deltas: if is_timestamp { None } else { Some(false) },
            page_rows,
        })
    }

    /// Writes a run of rows, which arrays hold one after the other. The rows of a run, but not the arrays that hold
    /// them, decide where pages end.
    pub fn write(&mut self, run: &[SelectedValues], spare: &mut Buffers) -> Result<()> {
        self.exchange(spare);
        let written = self.write_run(run);
        self.exchange(spare);
        written
    }

    /// Ends the column chunk.
    pub fn close(mut self, spare: &mut Buffers) -> Result<FlatChunk> {
        self.exchange(spare);
        self.end_page()?;
        let closed = self.pages.close(&self.entries, &mut self.buffers.press);
        std::mem::swap(&mut self.buffers, spare);
        closed
    }

    /// Takes the spare buffers, or gives them back, where no page is open.
    fn exchange(&mut self, spare: &mut Buffers) {
        if self.levels.rows() == 0 {
            std::mem::swap(&mut self.buffers, spare);
        }
    }

    fn write_run(&mut self, run: &[SelectedValues]) -> Result<()> {
        for values in run {
            match (values.array().as_any_dictionary_opt(), values.array().data_type()) {
                (Some(coded), DataType::Dictionary(codes, _))
                    if matches!(**codes, DataType::UInt8 | DataType::UInt16 | DataType::Int32) =>
                {
                    let mut table = match self.table.take() {
                        Some(table) if table.is_of(coded.values()) => table,
                        _ => Table::new(coded.values())?,
                    };
                    self.coded(coded, values, &mut table)?;
                    self.table = Some(table);
                }
                (_, DataType::Dictionary(_, of)) => {
                    let plain = arrow::compute::cast(&values.alone()?, of)?;
                    self.uncoded(&SelectedValues::new(&plain, None))?;
                }
                _ => self.uncoded(values)?,
            }
        }
        if self.levels.rows() >= self.page_rows { self.end_page() } else { Ok(()) }
    }

    /// Rows of a dictionary's codes.
    fn coded(&mut self, coded: &dyn AnyDictionaryArray, values: &SelectedValues, table: &mut Table) -> Result<()> {
        let nulls_of = |coded: &dyn AnyDictionaryArray| match coded.values().null_count() {
            0 => coded.nulls().cloned(),
            _ => coded.logical_nulls(),
        };
        match self.mode {
            Mode::Coded => {
                let rows = values.rows(nulls_of(coded))?;
                let codes = &mut self.buffers.codes;
                let page = Page { codes, used: &mut self.used, recent: &mut self.recent, entries: &mut self.entries };
                table.translate(coded.keys(), rows.held.as_ref(), page)?;
                self.levels.append(&rows);
            }
            Mode::Plain => {
                let alone = values.alone()?;
                let coded = alone.as_any_dictionary();
                let (keys, nulls) = (coded.keys(), nulls_of(coded));
                let keys: Vec<usize> = downcast_integer_array! {
                    keys => keys.values().iter().map(|key| key.as_usize()).collect(),
                    _ => Vec::new()
                };
                for (at, key) in keys.into_iter().enumerate() {
                    let is_valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(at));
                    self.plain_value(if is_valid { Some(table.value(key)?) } else { None })?;
                }
            }
        }
        Ok(())
    }

    /// Rows of plain values.
    fn uncoded(&mut self, values: &SelectedValues) -> Result<()> {
        match (self.mode, self.kind.width()) {
            (Mode::Plain, Some(8)) => return self.plain_words(values),
            (Mode::Coded, Some(_)) => return self.codes_of_bits(values),
            _ => {}
        }
        let array = values.alone()?;
        let rows = SelectedValues::new(&array, None).rows(array.nulls().cloned())?;
        let source = Source::new(&array)?;
        let is_coded = self.mode == Mode::Coded;
        let mut codes = std::mem::take(&mut self.buffers.codes);
        let start = codes.len();
        for at in 0..array.len() {
            let value = rows.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(at)).then(|| source.value(at));
            if !is_coded {
                self.plain_value(value)?;
                continue;
            }
            if let Some(value) = value {
                codes.widened().push(code_of(value, &mut self.recent, &mut self.entries));
            }
        }
        if is_coded {
            self.used.mark_all(codes.widened::<u32>().get(start..).unwrap_or_default());
            self.levels.append(&rows);
        }
        self.buffers.codes = codes;
        Ok(())
    }

    /// Codes of fixed-width values. Most were met shortly before: those are found without the dictionary.
    fn codes_of_bits(&mut self, values: &SelectedValues) -> Result<()> {
        let rows = values.rows(values.array().nulls().cloned())?;
        let mut bits = std::mem::take(&mut self.buffers.bits);
        bits.clear();
        source::append_bits(values.array(), rows.held.as_ref(), &mut bits)?;
        let (recent, entries, codes) = (&mut self.recent, &mut self.entries, self.buffers.codes.widened::<u32>());
        let start = codes.len();
        codes.extend(bits.iter().map(|bits| recent.code(*bits, entries)));
        self.used.mark_all(codes.get(start..).unwrap_or_default());
        self.buffers.bits = bits;
        self.levels.append(&rows);
        Ok(())
    }

    fn plain_value(&mut self, value: Option<Value<'_>>) -> Result<()> {
        self.levels.push(value.is_some());
        if let Some(value) = value {
            self.range.include(value);
            match value {
                Value::Bits(bits) if self.kind.width() == Some(8) => self.buffers.words.push(bits),
                value => entries::push(value, self.kind, &mut self.buffers.plain),
            }
        }
        if self.buffers.plain.len() >= PLAIN_PAGE_BYTES { self.end_page() } else { Ok(()) }
    }

    /// Eight bytes each: nothing to do but to move them.
    fn plain_words(&mut self, values: &SelectedValues) -> Result<()> {
        let rows = values.rows(values.array().nulls().cloned())?;
        let start = self.buffers.words.len();
        source::append_bits(values.array(), rows.held.as_ref(), &mut self.buffers.words)?;
        self.range.include_bits(self.buffers.words.get(start..).unwrap_or_default());
        self.levels.append(&rows);
        Ok(())
    }

    fn end_page(&mut self) -> Result<()> {
        let rows = self.levels.rows();
        if rows == 0 {
            return Ok(());
        }
        self.buffers.body.clear();
        if self.is_nullable {
            self.levels.write(&mut self.buffers.body);
        } else if self.levels.nulls() > 0 {
            return Err(ParquetError::General("a null in a column that allows none".to_owned()));
        }
        let is_coded = self.mode == Mode::Coded && !self.buffers.codes.is_empty();
        if is_coded {
            self.range = self.used.take_range(&self.entries, self.kind);
        }
        if is_coded && self.pages.is_empty() && !self.codes_are_smaller() {
            self.mode = Mode::Plain;
            for code in self.buffers.codes.iter() {
                entries::push(self.entries.value(code), self.kind, &mut self.buffers.plain);
            }
            (self.entries, self.recent) = (Entries::new(self.kind), Recent::new());
            self.table = None;
            return self.end_plain_page(rows);
        }
        if !is_coded {
            return self.end_plain_page(rows);
        }
        self.end_coded_page(rows)
    }

    fn end_plain_page(&mut self, rows: usize) -> Result<()> {
        self.buffers.body.extend_from_slice(&self.buffers.plain);
        if self.buffers.words.is_empty() {
            return self.put_page(rows, Form::Plain);
        }
        let as_deltas = match self.as_deltas {
            Some(known) => known,
            None => {
                let Buffers { words, press, .. } = &mut self.buffers;
                let Choice { as_deltas, codes } = Choice::of(words, self.kind, &self.pages, press)?;
                self.as_deltas = Some(as_deltas);
                if let Some(codes) = codes {
                    self.mode = Mode::Coded;
                    (self.entries, self.recent) = (codes.entries, codes.recent);
                    *self.buffers.codes.widened() = codes.codes;
                    return self.end_coded_page(rows);
                }
                as_deltas
            }
        };
        if as_deltas {
            deltas::encode(&self.buffers.words, &mut self.buffers.bits, &mut self.buffers.body);
            return self.put_page(rows, Form::Deltas);
        }
        plain_words(&self.buffers.words, &mut self.buffers.body);
        self.put_page(rows, Form::Plain)
    }

    fn end_coded_page(&mut self, rows: usize) -> Result<()> {
        let width = code_width(&self.entries);
        self.buffers.body.push(width);
        match self.buffers.codes.as_slice() {
            Slice::Bytes(codes) => hybrid::encode(codes, width, &mut self.buffers.body),
            Slice::Shorts(codes) => hybrid::encode(codes, width, &mut self.buffers.body),
            Slice::Words(codes) => hybrid::encode(codes, width, &mut self.buffers.body),
        }
        self.put_page(rows, Form::Codes)?;
        if self.entries.plain_bytes() > DICTIONARY_BYTES {
            self.mode = Mode::Plain;
        }
        Ok(())
    }

    fn put_page(&mut self, rows: usize, form: Form) -> Result<()> {
        let range = std::mem::replace(&mut self.range, Range::new(self.kind));
        let shape = PageShape { rows, nulls: self.levels.nulls(), form };
        self.pages.put(&self.buffers.body, shape, range, &mut self.buffers.press)?;
        self.levels.clear();
        self.buffers.codes.clear();
        self.buffers.plain.clear();
        self.buffers.words.clear();
        Ok(())
    }

    fn codes_are_smaller(&self) -> bool {
        let packed = self.buffers.codes.len() * usize::from(code_width(&self.entries)) / 8;
        let plain = match self.kind.width() {
            Some(width) => self.buffers.codes.len() * width,
            None => {
                let length = |code: u32| match self.entries.value(code) {
                    Value::Bytes(bytes) => bytes.len() + 4,
                    Value::Bits(_) => 0,
                };
                self.buffers.codes.iter().map(length).sum()
            }
        };
        self.entries.plain_bytes() + packed < plain
    }
}

/// The code of a value. A new one gets the next of `entries`.
fn code_of(value: Value<'_>, recent: &mut Recent, entries: &mut Entries) -> u32 {
    match value {
        Value::Bits(bits) => recent.code(bits, entries),
        Value::Bytes(bytes) => entries.code_of_bytes(bytes),
    }
}

/// Bits of a code now. Not 0: some readers take no width of 0 where there are values.
fn code_width(entries: &Entries) -> u8 {
    let last = entries.len().saturating_sub(1);
    hybrid::bit_width(u32::try_from(last).unwrap_or(u32::MAX)).max(1)
}
