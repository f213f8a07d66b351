//! From the codes that values came with to the codes that they are written with.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{ArrowNativeType, DataType, Int32Type, UInt8Type, UInt16Type};
use parquet::errors::{ParquetError, Result};

use super::code_of;
use super::codes::{Code, Codes, Width};
use super::entries::{Entries, Value};
use super::recent::Recent;
use super::selected::{RUN, append_held, each_run};
use super::source::Source;
use super::used::Used;

/// How many values there is place for, where they are not more: keys cut to as many bits need not be compared with the places.
const PLACES: [usize; 5] = [0x100, 0x400, 0x1000, 0x4000, 0x1_0000];

/// So many codes are marked as used at a time.
const MARKED: usize = 1_024;

/// A dictionary that values came with.
#[derive(Debug)]
pub(super) struct Table {
    values: ArrayRef,
    source: Source,
    /// For each value its code in the output; unknown for places behind the last one.
    codes: Codes,
    /// How many values have no code yet.
    unknown: usize,
}

/// Where codes go, and what gives new ones.
pub(super) struct Page<'a> {
    pub codes: &'a mut Codes,
    pub used: &'a mut Used,
    pub recent: &'a mut Recent,
    pub entries: &'a mut Entries,
}

impl Table {
    pub fn new(values: &ArrayRef) -> Result<Self> {
        let places = PLACES.into_iter().find(|places| values.len() <= *places).unwrap_or(values.len());
        let mut codes = Codes::default();
        codes.widened().resize(places, u8::UNKNOWN);
        Ok(Self { values: values.clone(), source: Source::new(values)?, codes, unknown: values.len() })
    }

    /// Whether it is the table of these very values.
    pub fn is_of(&self, values: &ArrayRef) -> bool {
        std::ptr::addr_eq(std::sync::Arc::as_ptr(&self.values), std::sync::Arc::as_ptr(values))
    }

    /// The value of a key.
    pub fn value(&self, key: usize) -> Result<Value<'_>> {
        if key < self.values.len() { Ok(self.source.value(key)) } else { Err(beyond()) }
    }

    /// Appends the output's codes of the keys that are held, of all where `held` is `None`, and marks them as used.
    pub fn translate(&mut self, keys: &dyn Array, held: Option<&BooleanBuffer>, page: Page<'_>) -> Result<()> {
        // However many of the values are new.
        let needed = Width::of(page.entries.len().saturating_add(self.unknown));
        match needed.max(page.codes.width()).max(self.codes.width()) {
            Width::One => self.translate_to::<u8>(keys, held, page),
            Width::Two => self.translate_to::<u16>(keys, held, page),
            Width::Four => self.translate_to::<u32>(keys, held, page),
        }
    }

    fn translate_to<C: Code>(&mut self, keys: &dyn Array, held: Option<&BooleanBuffer>, page: Page<'_>) -> Result<()> {
        match keys.data_type() {
            DataType::UInt8 => self.translate_keys::<u8, C>(keys.as_primitive::<UInt8Type>().values(), held, page),
            DataType::UInt16 => self.translate_keys::<u16, C>(keys.as_primitive::<UInt16Type>().values(), held, page),
            DataType::Int32 => self.translate_keys::<i32, C>(keys.as_primitive::<Int32Type>().values(), held, page),
            other => Err(ParquetError::General(format!("codes of {other}"))),
        }
    }

    fn translate_keys<K: ArrowNativeType + Ord, C: Code>(
        &mut self,
        keys: &[K],
        held: Option<&BooleanBuffer>,
        page: Page<'_>,
    ) -> Result<()> {
        let Page { codes, used, recent, entries } = page;
        let (codes, known, values) = (codes.widened::<C>(), self.codes.widened::<C>(), self.values.len());
        let (mut is_beyond, mut marked, mut all_used) = (false, codes.len(), used.has_all(entries.len()));
        codes.reserve(keys.len());
        each_run(keys, held, |run, bits| {
            // What is not held is looked up too: that takes less than to pass over it.
            let start = codes.len();
            let mut found = [C::UNKNOWN; RUN];
            let mut greatest = C::UNKNOWN;
            if are_within(run, values) {
                look_up(known, run, &mut found);
                append_held(&found, run.len(), bits, codes);
                let held = codes.get(start..).unwrap_or_default();
                greatest = held.iter().fold(C::default(), |greatest, code| greatest.max(*code));
            }
            // Most runs show nothing new, which is asked once for all of it.
            if greatest == C::UNKNOWN {
                codes.truncate(start);
                all_used = false;
                let held = run.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
                codes.extend(held.map(|(_, key)| {
                    let place = key.as_usize();
                    let Some(code) = known.get_mut(place).filter(|_| place < values) else {
                        is_beyond = true;
                        return C::default();
                    };
                    if *code == C::UNKNOWN {
                        *code = C::of(code_of(self.source.value(place), recent, entries));
                        self.unknown = self.unknown.saturating_sub(1);
                    }
                    *code
                }));
            }
            if codes.len() >= marked + MARKED {
                marked = mark(used, codes, marked, &mut all_used, entries);
            }
        });
        mark(used, codes, marked, &mut all_used, entries);
        if is_beyond { Err(beyond()) } else { Ok(()) }
    }
}

/// Marks the codes from `first` on, unless each that was given is marked; answers where they end.
fn mark<C: Code>(used: &mut Used, codes: &[C], first: usize, all_used: &mut bool, entries: &Entries) -> usize {
    if !*all_used {
        used.mark_all(codes.get(first..).unwrap_or_default());
        *all_used = used.has_all(entries.len());
    }
    codes.len()
}

/// Whether each key is below `values`.
fn are_within<K: ArrowNativeType + Ord>(keys: &[K], values: usize) -> bool {
    let ends = |(least, greatest): (K, K), key: &K| (least.min(*key), greatest.max(*key));
    let (least, greatest) = keys.iter().fold((K::default(), K::default()), ends);
    least >= K::default() && greatest.as_usize() < values
}

/// Looks up what is known of each key. No key lies behind what is known.
fn look_up<K: ArrowNativeType, C: Code>(known: &[C], keys: &[K], found: &mut [C; RUN]) {
    match known.len() {
        0x100 => look_up_in::<0x100, K, C>(known, keys, found),
        0x400 => look_up_in::<0x400, K, C>(known, keys, found),
        0x1000 => look_up_in::<0x1000, K, C>(known, keys, found),
        0x4000 => look_up_in::<0x4000, K, C>(known, keys, found),
        0x1_0000 => look_up_in::<0x1_0000, K, C>(known, keys, found),
        _ => look_up_in::<0x8000_0000, K, C>(known, keys, found),
    }
}

/// The same for `LENGTH` places, a power of two; for any number where there are fewer.
fn look_up_in<const LENGTH: usize, K: ArrowNativeType, C: Code>(known: &[C], keys: &[K], found: &mut [C; RUN]) {
    let code = |code: Option<&C>| code.copied().unwrap_or(C::UNKNOWN);
    let slots = found.iter_mut().zip(keys);
    match known.first_chunk::<LENGTH>() {
        // Nothing is left to ask of each.
        Some(known) => slots.for_each(|(slot, key)| *slot = code(known.get(key.as_usize() & (LENGTH - 1)))),
        None => slots.for_each(|(slot, key)| *slot = code(known.get(key.as_usize()))),
    }
}

fn beyond() -> ParquetError {
    ParquetError::General("a code beyond its dictionary".to_owned())
}
