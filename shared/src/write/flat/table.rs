//! From the codes that values came with to the codes that they are written with.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use parquet::errors::{ParquetError, Result};

use super::entries::Value;
use super::source::{Source, append_valid};
use super::used::Used;

/// In place of a code that no row has shown yet.
const UNKNOWN: u32 = u32::MAX;
/// Keys looked up together.
const RUN: usize = 64;

/// A dictionary that values came with.
#[derive(Debug)]
pub(super) struct Table {
    values: ArrayRef,
    source: Source,
    /// For each value its code in the output.
    codes: Vec<u32>,
}

impl Table {
    pub fn new(values: &ArrayRef) -> Result<Self> {
        Ok(Self { values: values.clone(), source: Source::new(values)?, codes: vec![UNKNOWN; values.len()] })
    }

    /// Whether it is the table of these very values.
    pub fn is_of(&self, values: &ArrayRef) -> bool {
        std::ptr::addr_eq(std::sync::Arc::as_ptr(&self.values), std::sync::Arc::as_ptr(values))
    }

    /// The value of a code.
    pub fn value(&self, key: i32) -> Result<Value<'_>> {
        let place = place_of(key);
        if place < self.codes.len() { Ok(self.source.value(place)) } else { Err(beyond()) }
    }

    /// Appends the output's codes of the rows that have a value, and marks them as used; `keys` come with their nulls, and
    /// `valid` is a buffer kept for its memory. `find` is asked for the code of each value once. `all_used` tells that every
    /// code given so far is marked.
    pub fn translate(
        &mut self,
        keys: (&[i32], Option<&NullBuffer>),
        valid: &mut Vec<i32>,
        codes: &mut Vec<u32>,
        used: &mut Used,
        all_used: bool,
        mut find: impl FnMut(Value<'_>) -> u32,
    ) -> Result<()> {
        let (keys, nulls) = keys;
        let keys = match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => keys,
            Some(nulls) => {
                valid.clear();
                append_valid(keys, nulls, valid, |key| key);
                valid
            }
        };
        let (known, source) = (&mut self.codes, &self.source);
        let mut is_beyond = false;
        codes.reserve(keys.len());
        for run in keys.chunks(RUN) {
            // Most runs show nothing new, which is asked once for all of it.
            let (start, mut greatest) = (codes.len(), 0);
            let mut look_up = |key: &i32| {
                let code = known.get(place_of(*key)).copied().unwrap_or(UNKNOWN);
                greatest = greatest.max(code);
                code
            };
            if all_used {
                codes.extend(run.iter().map(look_up));
            } else {
                codes.extend(run.iter().map(|key| {
                    let code = look_up(key);
                    used.mark(code);
                    code
                }));
            }
            if greatest == UNKNOWN {
                codes.truncate(start);
                codes.extend(run.iter().map(|key| {
                    let place = place_of(*key);
                    let Some(code) = known.get_mut(place) else {
                        is_beyond = true;
                        return 0;
                    };
                    if *code == UNKNOWN {
                        *code = find(source.value(place));
                    }
                    *code
                }));
                used.mark_all(codes.get(start..).unwrap_or_default());
            }
        }
        if is_beyond { Err(beyond()) } else { Ok(()) }
    }
}

/// Where a key's code is: beyond every dictionary where it is negative.
fn place_of(key: i32) -> usize {
    usize::try_from(key.cast_unsigned()).unwrap_or(usize::MAX)
}

fn beyond() -> ParquetError {
    ParquetError::General("a code beyond its dictionary".to_owned())
}
