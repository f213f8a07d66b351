//! From the codes that values came with to the codes that they are written with.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use parquet::errors::{ParquetError, Result};

use super::entries::Value;
use super::source::Source;

/// What is known of one value of a dictionary.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Its code in the output; unknown until a row shows it.
    code: u32,
    /// The last page that it is in.
    page: u32,
}

const UNKNOWN: u32 = u32::MAX;

/// A dictionary that values came with.
#[derive(Debug)]
pub(super) struct Table {
    values: ArrayRef,
    source: Source,
    slots: Vec<Slot>,
}

impl Table {
    pub fn new(values: &ArrayRef) -> Result<Self> {
        let slots = vec![Slot { code: UNKNOWN, page: UNKNOWN }; values.len()];
        Ok(Self { values: values.clone(), source: Source::new(values)?, slots })
    }

    /// Whether it is the table of these very values.
    pub fn is_of(&self, values: &ArrayRef) -> bool {
        std::ptr::addr_eq(std::sync::Arc::as_ptr(&self.values), std::sync::Arc::as_ptr(values))
    }

    /// The value of a code.
    pub fn value(&self, key: i32) -> Result<Value<'_>> {
        let place = usize::try_from(key).ok().filter(|place| *place < self.slots.len());
        place.map(|place| self.source.value(place)).ok_or_else(beyond)
    }

    /// Appends the output's codes of the rows that have a value. `first_use` is told the value of each that is new to
    /// the page, with its code if it has one already.
    pub fn translate(
        &mut self,
        keys: &[i32],
        nulls: Option<&NullBuffer>,
        page: u32,
        codes: &mut Vec<u32>,
        mut first_use: impl FnMut(Value<'_>, Option<u32>) -> u32,
    ) -> Result<()> {
        let (slots, source) = (&mut self.slots, &self.source);
        let mut is_beyond = false;
        let mut translate = |key: &i32| {
            let Some(slot) = usize::try_from(*key).ok().and_then(|place| slots.get_mut(place)) else {
                is_beyond = true;
                return 0;
            };
            if slot.page != page {
                slot.page = page;
                let place = usize::try_from(*key).unwrap_or_default();
                slot.code = first_use(source.value(place), (slot.code != UNKNOWN).then_some(slot.code));
            }
            slot.code
        };
        match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => codes.extend(keys.iter().map(translate)),
            Some(nulls) => {
                codes.reserve(keys.len() - nulls.null_count());
                codes.extend(nulls.valid_indices().filter_map(|at| keys.get(at)).map(&mut translate));
            }
        }
        if is_beyond { Err(beyond()) } else { Ok(()) }
    }
}

fn beyond() -> ParquetError {
    ParquetError::General("a code beyond its dictionary".to_owned())
}
