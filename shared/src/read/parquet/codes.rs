//! The codes of one column chunk whose data pages all hold dictionary indices.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, PrimitiveArray};
use arrow::buffer::NullBuffer;
use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::errors::{ParquetError, Result};

use super::coded::{Dictionary, is_code};
use super::packed::Code;
use super::runs::Runs;

/// Reads the codes of a chunk's rows, in order. Codes are not compared with the dictionary here.
pub(super) struct CodeReader {
    pages: Box<dyn PageReader>,
    dictionary: Arc<Dictionary>,
    /// For errors: row group and column.
    place: String,
    /// Whether rows may be null: then each has a level.
    is_optional: bool,
    page: Option<OpenPage>,
}

const SHORT: &str = "a page holds fewer values than it claims";
const BEYOND: &str = "a page holds a code beyond its dictionary";

/// A data page, and how far it was read.
struct OpenPage {
    rows_left: usize,
    levels: Option<Runs>,
    /// Of the rows that are not null.
    codes: Runs,
}

impl CodeReader {
    /// Reads what `pages` give. The dictionary page goes to `dictionary`.
    pub fn new(pages: Box<dyn PageReader>, dictionary: Arc<Dictionary>, place: String, is_optional: bool) -> Self {
        Self { pages, dictionary, place, is_optional, page: None }
    }

    /// Passes over rows; pages without any other are not read.
    pub fn skip(&mut self, rows: usize) -> Result<()> {
        let mut left = rows;
        while left > 0 {
            if let Some(page) = self.page.as_mut().filter(|page| page.rows_left > 0) {
                let here = left.min(page.rows_left);
                page.skip(here).ok_or_else(|| self.short())?;
                left -= here;
                continue;
            }
            let Some(next) = self.pages.peek_next_page()? else { return Ok(()) };
            match next.num_rows.or(next.num_levels) {
                // A level is a row: the column does not nest.
                Some(rows) if !next.is_dict && rows <= left => {
                    self.pages.skip_next_page()?;
                    left -= rows;
                }
                _ => drop(self.take_page()?),
            }
        }
        Ok(())
    }

    /// The codes of the next `rows` rows, or of as many as there are: integers as narrow as the dictionary's length allows.
    /// What lies under a null is a code of another row, or zero.
    pub fn read(&mut self, rows: usize) -> Result<ArrayRef> {
        // The dictionary comes before the first page of rows. Where none are wanted, there may be no bytes either.
        while rows > 0 && self.page.as_ref().is_none_or(|page| page.rows_left == 0) && self.take_page()? {}
        match self.dictionary.len() {
            0..=0x100 => self.read_as::<u8>(rows),
            0x101..=0x1_0000 => self.read_as::<u16>(rows),
            _ => self.read_as::<i32>(rows),
        }
    }

    fn read_as<C: Code>(&mut self, rows: usize) -> Result<ArrayRef> {
        let mut codes: Vec<C> = Vec::with_capacity(rows);
        let mut valid = BooleanBufferBuilder::new(if self.is_optional { rows } else { 0 });
        while codes.len() < rows {
            let Some(page) = self.page.as_mut().filter(|page| page.rows_left > 0) else {
                match self.take_page()? {
                    true => continue,
                    false => break,
                }
            };
            let here = (rows - codes.len()).min(page.rows_left);
            page.read(here, &mut codes, &mut valid).map_err(|problem| self.problem(problem))?;
        }
        let nulls = self.is_optional.then(|| NullBuffer::new(valid.finish()));
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        Ok(Arc::new(PrimitiveArray::<C::Key>::try_new(codes.into(), nulls)?))
    }

    /// Takes the next page, which need not be one of rows; false where there is none.
    fn take_page(&mut self) -> Result<bool> {
        // Its memory is for the next one.
        self.page = None;
        match self.pages.get_next_page()? {
            None => return Ok(false),
            Some(Page::DictionaryPage { buf, num_values, encoding, .. }) => match encoding {
                Encoding::PLAIN | Encoding::PLAIN_DICTIONARY => {
                    self.dictionary.keep(buf, num_values).map_err(|problem| self.problem(&problem))?;
                }
                other => return Err(self.problem(&format!("a dictionary is encoded as {other}"))),
            },
            // Empty pages may be encoded as they like.
            Some(page) if page.num_values() == 0 => {}
            Some(page) if is_code(page.encoding()) => {
                let open = OpenPage::new(page, self.is_optional);
                self.page = Some(open.map_err(|problem| self.problem(problem))?);
            }
            Some(page) => {
                let held = page.encoding();
                return Err(self.problem(&format!("the footer tells of dictionary indices only, a page holds {held}")));
            }
        }
        Ok(true)
    }

    fn problem(&self, problem: &str) -> ParquetError {
        ParquetError::General(format!("{}: {problem}", self.place))
    }

    fn short(&self) -> ParquetError {
        self.problem(SHORT)
    }
}

impl OpenPage {
    fn new(page: Page, is_optional: bool) -> Result<Self, &'static str> {
        const CUT_SHORT: &str = "a page ends within its levels";
        let (rows, levels, values) = match page {
            Page::DataPage { mut buf, num_values, def_level_encoding, .. } => {
                let levels = match is_optional {
                    true => Some(levels(&mut buf, num_values, def_level_encoding).ok_or(CUT_SHORT)?),
                    false => None,
                };
                (num_values, levels, buf)
            }
            Page::DataPageV2 { mut buf, num_values, def_levels_byte_len, rep_levels_byte_len, .. } => {
                // A column that does not nest has no repetition levels to look at.
                take(&mut buf, rep_levels_byte_len).ok_or(CUT_SHORT)?;
                let levels = take(&mut buf, def_levels_byte_len).ok_or(CUT_SHORT)?;
                let levels = if is_optional { Runs::new(levels, 1) } else { None };
                (num_values, levels, buf)
            }
            Page::DictionaryPage { .. } => return Err("a dictionary stands in the place of a page"),
        };
        // A page of nulls may have no codes, and so no width either.
        let (width, codes) = match values.split_first() {
            Some((width, _)) => (*width, values.slice(1..)),
            None => (0, Bytes::new()),
        };
        let codes = Runs::new(codes, width).ok_or("a page's dictionary indices are wider than 32 bits")?;
        let rows = usize::try_from(rows).map_err(|_| "a page claims more rows than memory holds")?;
        Ok(Self { rows_left: rows, levels, codes })
    }

    /// Reads rows, of which there are as many; answers what is wrong with them.
    fn read<C: Code>(
        &mut self,
        rows: usize,
        codes: &mut Vec<C>,
        valid: &mut BooleanBufferBuilder,
    ) -> Result<(), &'static str> {
        self.rows_left -= rows;
        let Some(levels) = &mut self.levels else {
            return self.read_codes(rows, codes);
        };
        let (first, first_bit) = (codes.len(), valid.len());
        if levels.read_bits(rows, valid) < rows {
            return Err(SHORT);
        }
        let held = set_bits(valid.as_slice(), first_bit, rows);
        self.read_codes(held, codes)?;
        if held < rows {
            codes.resize(first + rows, C::default());
            let values = codes.get_mut(first..).unwrap_or_default();
            spread(values, held, |at| bit(valid.as_slice(), first_bit + at));
        }
        Ok(())
    }

    fn read_codes<C: Code>(&mut self, count: usize, codes: &mut Vec<C>) -> Result<(), &'static str> {
        let read = match self.codes.width() <= C::BITS {
            true => self.codes.read(count, codes),
            // Wider than the dictionary asks for.
            false => {
                let mut wide: Vec<i32> = Vec::with_capacity(count);
                let read = self.codes.read(count, &mut wide);
                for code in wide {
                    codes.push(C::from_usize(usize::try_from(code).map_err(|_| BEYOND)?).ok_or(BEYOND)?);
                }
                read
            }
        };
        if read == count { Ok(()) } else { Err(SHORT) }
    }

    fn skip(&mut self, rows: usize) -> Option<()> {
        self.rows_left -= rows;
        let held = match &mut self.levels {
            None => rows,
            Some(levels) => {
                let mut valid = BooleanBufferBuilder::new(rows);
                if levels.read_bits(rows, &mut valid) < rows {
                    return None;
                }
                set_bits(valid.as_slice(), 0, rows)
            }
        };
        (self.codes.skip(held) == held).then_some(())
    }
}

/// The levels before a first version's page.
fn levels(page: &mut Bytes, rows: u32, encoding: Encoding) -> Option<Runs> {
    if encoding == Encoding::RLE {
        let length = take(page, 4)?.first_chunk().map(|length| u32::from_le_bytes(*length))?;
        return Runs::new(take(page, length)?, 1);
    }
    // The deprecated BIT_PACKED: single bits, the highest of each byte first.
    let bits = take(page, rows.div_ceil(8))?;
    Some(Runs::of_bits(bits.iter().map(|byte| byte.reverse_bits()).collect()))
}

fn take(bytes: &mut Bytes, count: u32) -> Option<Bytes> {
    let count = usize::try_from(count).ok()?;
    (count <= bytes.len()).then(|| bytes.split_to(count))
}

fn bit(bits: &[u8], at: usize) -> bool {
    bits.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

fn set_bits(bits: &[u8], first: usize, count: usize) -> usize {
    arrow::util::bit_chunk_iterator::UnalignedBitChunk::new(bits, first, count).count_ones()
}

/// Moves the first `held` values to the rows that are not null, in order.
fn spread<C: Code>(values: &mut [C], held: usize, is_valid: impl Fn(usize) -> bool) {
    let mut next = held;
    // From behind: what is moved never lies behind where it goes to.
    for at in (0..values.len()).rev() {
        if next > at {
            // No nulls before this row.
            return;
        }
        // A null gets what lies before, so that no branch asks which rows are.
        let value = values.get(next.saturating_sub(1)).copied().unwrap_or_default();
        if let Some(slot) = values.get_mut(at) {
            *slot = value;
        }
        next = next.saturating_sub(usize::from(is_valid(at)));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::unreachable)]
mod tests {
    use std::collections::VecDeque;

    use arrow::array::{Array, AsArray};
    use arrow::compute::cast;
    use arrow::datatypes::{DataType, Field, Int32Type};
    use parquet::basic::Type as PhysicalType;
    use parquet::column::page::PageMetadata;
    use parquet::schema::types::Type;

    use super::*;

    /// Pages of a chunk; those that are skipped are never read.
    struct Pages(VecDeque<Page>);

    impl Iterator for Pages {
        type Item = Result<Page>;

        fn next(&mut self) -> Option<Self::Item> {
            self.get_next_page().transpose()
        }
    }

    impl PageReader for Pages {
        fn get_next_page(&mut self) -> Result<Option<Page>> {
            Ok(self.0.pop_front())
        }

        fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
            Ok(self.0.front().map(|page| PageMetadata {
                num_rows: None,
                num_levels: usize::try_from(page.num_values()).ok(),
                is_dict: matches!(page, Page::DictionaryPage { .. }),
            }))
        }

        fn skip_next_page(&mut self) -> Result<()> {
            self.0.pop_front();
            Ok(())
        }
    }

    fn page(bytes: &[u8], rows: u32, levels: Encoding) -> Page {
        Page::DataPage {
            buf: Bytes::copy_from_slice(bytes),
            num_values: rows,
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: levels,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }
    }

    fn dictionary(entries: u32) -> Page {
        let buf = Bytes::from(vec![0; usize::try_from(entries).unwrap() * 4]);
        Page::DictionaryPage { buf, num_values: entries, encoding: Encoding::PLAIN, is_sorted: false }
    }

    fn reader(pages: impl IntoIterator<Item = Page>, is_optional: bool) -> CodeReader {
        let leaf = Type::primitive_type_builder("zone", PhysicalType::INT32).build().unwrap();
        let field = Arc::new(Field::new("zone", DataType::Int32, is_optional));
        let dictionary = Arc::new(Dictionary::new(field, leaf.into()));
        CodeReader::new(Box::new(Pages(pages.into_iter().collect())), dictionary, "column zone".to_owned(), is_optional)
    }

    /// Codes of 8 bits: so many of the same.
    fn run(count: u8, code: u8) -> [u8; 3] {
        [8, count << 1, code]
    }

    fn read(reader: &mut CodeReader, rows: usize) -> Vec<Option<i32>> {
        let codes = cast(&reader.read(rows).unwrap(), &DataType::Int32).unwrap();
        codes.as_primitive::<Int32Type>().iter().collect()
    }

    #[test]
    fn rows_that_are_null_have_levels_and_no_codes() {
        // Three bytes of levels after their length: packed bits, the lowest first.
        let levels = [&[2, 0, 0, 0, 0b11, 0b0001_0110][..], &run(3, 7)].concat();
        let mut rows = reader([dictionary(8), page(&levels, 6, Encoding::RLE)], true);
        assert_eq!(read(&mut rows, 2), [None, Some(7)]);
        assert_eq!(read(&mut rows, 9), [Some(7), None, Some(7), None]);
        assert!(rows.read(1).unwrap().is_empty());
    }

    #[test]
    #[allow(deprecated, reason = "files of old have it")]
    fn levels_of_old_are_bits_with_the_highest_first() {
        let bytes = [&[0b0110_1000, 0b0100_0000][..], &run(4, 7)].concat();
        let mut rows = reader([page(&bytes, 10, Encoding::BIT_PACKED)], true);
        let (none, some) = (None, Some(7));
        assert_eq!(read(&mut rows, 10), [none, some, some, none, some, none, none, none, none, some]);
    }

    #[test]
    fn a_page_of_nulls_may_end_with_its_levels() {
        let mut rows = reader([page(&[2, 0, 0, 0, 5 << 1, 0], 5, Encoding::RLE)], true);
        assert_eq!(read(&mut rows, 5), [None; 5]);
    }

    #[test]
    fn codes_are_as_narrow_as_their_dictionary_allows_however_wide_its_pages() {
        for (entries, narrowest) in [(256, DataType::UInt8), (257, DataType::UInt16), (70_000, DataType::Int32)] {
            // The same code in 8, in 9 and in 17 bits.
            let pages = [
                page(&run(3, 255), 3, Encoding::RLE),
                page(&[9, 3 << 1, 255, 0], 3, Encoding::RLE),
                page(&[17, 1 << 1 | 1, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1, Encoding::RLE),
            ];
            let mut rows = reader([dictionary(entries)].into_iter().chain(pages), false);
            assert_eq!(rows.read(2).unwrap().data_type(), &narrowest);
            assert_eq!(read(&mut rows, 9), [Some(255); 5]);
        }
    }

    #[test]
    fn whole_pages_are_skipped_unread_and_the_rest_row_by_row() {
        // What is skipped would be refused.
        let broken = page(&[99], 100, Encoding::RLE);
        let pages = [dictionary(8), broken.clone(), page(&run(10, 1), 10, Encoding::RLE), broken];
        let mut rows = reader(pages, false);
        rows.skip(103).unwrap();
        assert_eq!(read(&mut rows, 7), [Some(1); 7]);
    }

    #[test]
    fn what_a_page_claims_and_does_not_hold_is_told() {
        let short = page(&run(9, 1), 10, Encoding::RLE);
        let told = |mut rows: CodeReader| rows.read(10).unwrap_err().to_string();
        let fewer = "column zone: a page holds fewer values than it claims";
        assert!(told(reader([short.clone()], false)).contains(fewer));
        let levels = [&[2, 0, 0, 0, 9 << 1, 1][..], &run(10, 1)].concat();
        assert!(told(reader([page(&levels, 10, Encoding::RLE)], true)).contains(fewer));
        let cut_short = page(&[200, 0, 0, 0, 1], 10, Encoding::RLE);
        assert!(told(reader([cut_short], true)).contains("a page ends within its levels"));
        assert!(told(reader([dictionary(1), dictionary(1)], false)).contains("two dictionaries"));
        let beyond = [dictionary(8), page(&[9, 10 << 1, 0, 1], 10, Encoding::RLE)];
        assert!(told(reader(beyond, false)).contains("column zone: a page holds a code beyond its dictionary"));
        let wide = page(&[33, 2 << 1, 0, 0, 0, 0, 0], 10, Encoding::RLE);
        assert!(told(reader([wide], false)).contains("wider than 32 bits"));
        let mut skipping = reader([short], false);
        // All ten rows would be a page to skip unread.
        skipping.read(5).unwrap();
        assert!(skipping.skip(5).unwrap_err().to_string().contains(fewer));
    }
}
