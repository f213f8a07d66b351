//! From the codes that values came with to the codes that they are written with.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::BooleanBuffer;
use parquet::errors::{ParquetError, Result};

use super::entries::Value;
use super::selected::each_run;
use super::source::Source;
use super::used::Used;

/// In place of a code that no row has shown yet.
const UNKNOWN: u32 = u32::MAX;
/// How many values there is place for, where they are not more: keys cut to as many bits need not be compared with the places.
const PLACES: [usize; 5] = [0x100, 0x400, 0x1000, 0x4000, 0x1_0000];

/// A dictionary that values came with.
#[derive(Debug)]
pub(super) struct Table {
    values: ArrayRef,
    source: Source,
    /// For each value its code in the output; unknown for places behind the last one.
    codes: Vec<u32>,
}

impl Table {
    pub fn new(values: &ArrayRef) -> Result<Self> {
        let places = PLACES.into_iter().find(|places| values.len() <= *places).unwrap_or(values.len());
        Ok(Self { values: values.clone(), source: Source::new(values)?, codes: vec![UNKNOWN; places] })
    }

    /// Whether it is the table of these very values.
    pub fn is_of(&self, values: &ArrayRef) -> bool {
        std::ptr::addr_eq(std::sync::Arc::as_ptr(&self.values), std::sync::Arc::as_ptr(values))
    }

    /// The value of a code.
    pub fn value(&self, key: i32) -> Result<Value<'_>> {
        let place = place_of(key);
        if place < self.values.len() { Ok(self.source.value(place)) } else { Err(beyond()) }
    }

    /// Appends the output's codes of the keys that are held, of all where `held` is `None`, and marks them as used. `find` is
    /// asked for the code of each value once. `all_used` tells that every code given so far is marked.
    pub fn translate(
        &mut self,
        (keys, held): (&[i32], Option<&BooleanBuffer>),
        codes: &mut Vec<u32>,
        used: &mut Used,
        all_used: bool,
        mut find: impl FnMut(Value<'_>) -> u32,
    ) -> Result<()> {
        let (mut is_beyond, values) = (false, self.values.len());
        codes.reserve(keys.len());
        each_run(keys, held, |run| {
            // Most runs show nothing new, which is asked once for all of it.
            let start = codes.len();
            let greatest_key = run.iter().fold(0, |greatest, key| greatest.max(key.cast_unsigned()));
            let greatest = match usize::try_from(greatest_key).is_ok_and(|key| key < values) {
                true => look_up(&self.codes, run, codes),
                false => UNKNOWN,
            };
            if greatest == UNKNOWN {
                codes.truncate(start);
                codes.extend(run.iter().map(|key| {
                    let place = place_of(*key);
                    let Some(code) = self.codes.get_mut(place).filter(|_| place < values) else {
                        is_beyond = true;
                        return 0;
                    };
                    if *code == UNKNOWN {
                        *code = find(self.source.value(place));
                    }
                    *code
                }));
                used.mark_all(codes.get(start..).unwrap_or_default());
            } else if !all_used {
                used.mark_all(codes.get(start..).unwrap_or_default());
            }
        });
        if is_beyond { Err(beyond()) } else { Ok(()) }
    }
}

/// Appends what is known of each key, and answers the greatest of it. No key lies behind what is known.
fn look_up(known: &[u32], keys: &[i32], codes: &mut Vec<u32>) -> u32 {
    match known.len() {
        0x100 => look_up_in::<0x100>(known, keys, codes),
        0x400 => look_up_in::<0x400>(known, keys, codes),
        0x1000 => look_up_in::<0x1000>(known, keys, codes),
        0x4000 => look_up_in::<0x4000>(known, keys, codes),
        0x1_0000 => look_up_in::<0x1_0000>(known, keys, codes),
        _ => look_up_in::<0x8000_0000>(known, keys, codes),
    }
}

/// The same for `LENGTH` places, a power of two; for any number where there are fewer.
fn look_up_in<const LENGTH: usize>(known: &[u32], keys: &[i32], codes: &mut Vec<u32>) -> u32 {
    let start = codes.len();
    let code = |code: Option<&u32>| code.copied().unwrap_or(UNKNOWN);
    match known.first_chunk::<LENGTH>() {
        // Nothing is left to ask of each.
        Some(known) => codes.extend(keys.iter().map(|key| code(known.get(place_of(*key) & (LENGTH - 1))))),
        None => codes.extend(keys.iter().map(|key| code(known.get(place_of(*key))))),
    }
    codes.get(start..).unwrap_or_default().iter().fold(0, |greatest, code| greatest.max(*code))
}

/// Where a key's code is: beyond every dictionary where it is negative.
fn place_of(key: i32) -> usize {
    usize::try_from(key.cast_unsigned()).unwrap_or(usize::MAX)
}

fn beyond() -> ParquetError {
    ParquetError::General("a code beyond its dictionary".to_owned())
}
