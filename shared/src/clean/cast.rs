//! Checked casts: a value that does not fit its new type is found, never wrapped, cut or lost.
//!
//! A [`Cast`] is a list of steps, and each step gives null for a value it cannot represent. A row whose value was there
//! before and is null after did not fit; where the number of nulls is unchanged nothing more is looked at.
//!
//! What fits:
//!
//! | from | to | fits |
//! |---|---|---|
//! | integer | integer | in range |
//! | float | integer | integral and in range; NaN and infinities do not |
//! | float | narrower float | rounds to nearest; a finite value that would become infinite does not |
//! | integer, decimal | float | rounds to nearest |
//! | integer | decimal | what has room for its digits |
//! | float, string, decimal | decimal | what loses no digit; with `round`, rounds half away from zero to the scale |
//! | decimal | integer | integral and in range |
//! | bool ↔ number | | 0 and 1 |
//! | timestamp, time | a coarser unit | only what is exact; a finer unit: in range |
//! | timestamp, date in milliseconds | date | only midnight (UTC) |
//! | timestamp without zone | with zone | read as local time in that zone; times the zone skips or repeats do not |
//! | timestamp with zone | without zone, another zone | the same instant, as UTC without a zone |
//! | integer ↔ timestamp, date | | the number of units since 1970-01-01 |
//! | string | number, bool, time, timestamp, date | what parses, in full; white space around it is ignored; `[csv]` may say how it is written |
//! | binary | string | UTF-8 |
//!
//! A float becomes the decimal that prints it: `10.01` fits `decimal(8, 2)`, though no float is exactly 10.01. A timestamp as
//! text may lack its seconds.
//!
//! Other pairs, and nested types, are refused when the cast is planned.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, StringArray, StringBuilder, new_empty_array, new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{CastOptions, cast_with_options, concat, nullif};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

use super::{decimal, numeric, types, values};
use crate::dataset::{Notation, Rule};

/// How to bring a column from one type to another.
#[derive(Debug, Clone)]
pub(super) struct Cast {
    to: DataType,
    steps: Vec<Step>,
}

/// Gives null for what it cannot represent.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// Text in the notation that the casts read.
    Respell(Rule),
    /// Arrow's cast, where its own rules are the ones wanted.
    Arrow(DataType),
    /// Arrow's cast, kept where casting back gives the same value.
    RoundTrip(DataType),
    IntToInt(DataType),
    FloatToInt(DataType),
    NarrowFloat(DataType),
    TextToFloat(DataType),
    /// White space around text goes.
    Trim,
    TextToDecimal(decimal::Target),
    FloatToDecimal(decimal::Target),
    /// From text to a time or timestamp, unless the text has more digits behind the point than the unit.
    TextToTime(DataType, TimeUnit),
    /// A time or timestamp in another unit, of the given type.
    Rescale(TimeUnit, TimeUnit, DataType),
    /// Seconds since the epoch to days.
    SecondsToDate,
}

impl Cast {
    /// Plans a cast, or says why values of `from` cannot become `to`.
    pub(super) fn plan(from: &DataType, to: &DataType) -> Result<Self, String> {
        Self::plan_written(from, to, false, &Notation::default())
    }

    /// The same, for texts in a notation; `round` lets decimals be rounded, half away from zero, to the digits that `to`
    /// has behind the point.
    pub(super) fn plan_written(
        from: &DataType,
        to: &DataType,
        round: bool,
        notation: &Notation,
    ) -> Result<Self, String> {
        let refusal = || format!("{} cannot become {}", types::describe(from), types::describe(to));
        let mut steps = plan_steps(from, to).ok_or_else(refusal)?;
        if round {
            steps.iter_mut().for_each(Step::allow_rounding);
        }
        if from == &DataType::Utf8
            && let Some(rule) = types::written(to).and_then(|what| notation.rule(what))
        {
            let behind_trim = steps.iter().position(|step| *step == Step::Trim).map_or(0, |trim| trim + 1);
            steps.insert(behind_trim, Step::Respell(rule));
        }
        let plan = Self { to: to.clone(), steps };
        // An empty column tells what no plan knows, such as a time zone without an entry in the zone database.
        plan.apply(&new_empty_array(from)).map_err(|error| format!("{}: {error}", refusal()))?;
        Ok(plan)
    }

    /// Casts a column. The result has null for what does not fit; the mask says which rows that are, `None` if all fit.
    pub(super) fn apply(&self, array: &ArrayRef) -> Result<(ArrayRef, Option<BooleanBuffer>), ArrowError> {
        if self.steps.is_empty() {
            return Ok((array.clone(), None));
        }
        if array.data_type() == &DataType::Null {
            return Ok((new_null_array(&self.to, array.len()), None));
        }
        let mut current = array.clone();
        for step in &self.steps {
            current = step.apply(&current)?;
        }
        let lost = became_null(array.as_ref(), current.as_ref());
        Ok((current, lost))
    }
}

/// The rows with a value before and none after.
pub(super) fn became_null(before: &dyn Array, after: &dyn Array) -> Option<BooleanBuffer> {
    let nulls_after = after.logical_nulls()?;
    let nulls_before = before.logical_nulls();
    let count_before = nulls_before.as_ref().map_or(0, |nulls| nulls.null_count());
    if nulls_after.null_count() == count_before {
        return None;
    }
    let null_after = !nulls_after.inner();
    Some(match nulls_before {
        Some(valid_before) => valid_before.inner() & &null_after,
        None => null_after,
    })
}

fn plan_steps(from: &DataType, to: &DataType) -> Option<Vec<Step>> {
    use DataType::*;
    if from == to {
        return Some(Vec::new());
    }
    let plain = match from {
        Null => return Some(vec![Step::Arrow(to.clone())]),
        Dictionary(_, values) => Some(values.as_ref().clone()),
        RunEndEncoded(_, values) => Some(values.data_type().clone()),
        LargeUtf8 | Utf8View => Some(Utf8),
        LargeBinary | BinaryView | FixedSizeBinary(_) => Some(Binary),
        _ => None,
    };
    if let Some(plain) = plain {
        let mut steps = vec![Step::Arrow(plain.clone())];
        steps.extend(plan_steps(&plain, to)?);
        return Some(steps);
    }
    let arrow = || Some(vec![Step::Arrow(to.clone())]);
    let through = |via: DataType| {
        let mut steps = vec![Step::Arrow(via.clone())];
        steps.extend(plan_steps(&via, to)?);
        Some(steps)
    };
    let trimmed = |step: Step| Some(vec![Step::Trim, step]);
    match (from, to) {
        (Utf8, Float16 | Float32 | Float64) => trimmed(Step::TextToFloat(to.clone())),
        (Utf8, Timestamp(unit, _) | Time32(unit) | Time64(unit)) => trimmed(Step::TextToTime(to.clone(), *unit)),
        (Utf8, Date32) => {
            let seconds = Timestamp(TimeUnit::Second, None);
            Some(vec![Step::Trim, Step::TextToTime(seconds, TimeUnit::Second), Step::SecondsToDate])
        }
        (Utf8, Decimal128(precision, scale)) => trimmed(Step::TextToDecimal(decimal::Target::new(*precision, *scale))),
        (Utf8, Binary) => arrow(),
        (Utf8, to) if to == &Boolean || to.is_integer() => trimmed(Step::Arrow(to.clone())),
        (Binary, Utf8) => arrow(),

        (from, to) if from.is_integer() && to.is_integer() => Some(vec![Step::IntToInt(to.clone())]),
        (from, Float32 | Float64) if from.is_integer() => arrow(),
        (from, Float16) if from.is_integer() => through(Float64),
        (from, Decimal128(..) | Utf8) if from.is_integer() => arrow(),
        (from, Boolean) if from.is_integer() || from.is_floating() => Some(vec![Step::RoundTrip(Boolean)]),
        (Int64, Timestamp(..)) | (Int32, Date32) => arrow(),
        (from, Timestamp(..)) if from.is_integer() => Some(vec![Step::IntToInt(Int64), Step::Arrow(to.clone())]),
        (from, Date32) if from.is_integer() => Some(vec![Step::IntToInt(Int32), Step::Arrow(Date32)]),

        (Float64, Float16 | Float32) | (Float32, Float16) => Some(vec![Step::NarrowFloat(to.clone())]),
        (from, to) if from.is_floating() && to.is_floating() => arrow(),
        (Float16, to) if to.is_integer() => Some(vec![Step::Arrow(Float32), Step::FloatToInt(to.clone())]),
        (from, to) if from.is_floating() && to.is_integer() => Some(vec![Step::FloatToInt(to.clone())]),
        (Float16, Decimal128(..)) => through(Float32),
        (from, Decimal128(precision, scale)) if from.is_floating() => {
            Some(vec![Step::FloatToDecimal(decimal::Target::new(*precision, *scale))])
        }
        (from, Utf8) if from.is_floating() => arrow(),

        (
            Decimal32(_, from_scale) | Decimal64(_, from_scale) | Decimal128(_, from_scale) | Decimal256(_, from_scale),
            Decimal128(_, scale),
        ) if from_scale > scale => Some(vec![Step::RoundTrip(to.clone())]),
        (from, Decimal128(..) | Float64 | Utf8) if from.is_decimal() => arrow(),
        (from, Float16 | Float32) if from.is_decimal() => through(Float64),
        (from, to) if from.is_decimal() && to.is_integer() => Some(vec![Step::RoundTrip(to.clone())]),

        (Boolean, Utf8) => arrow(),
        (Boolean, to) if to.is_integer() || to.is_floating() => arrow(),

        (Date32, Int32 | Utf8) => arrow(),
        (Date32, to) if to.is_integer() => through(Int32),
        (Date32, Timestamp(..)) => through(Timestamp(TimeUnit::Second, None)),
        (Date64, Utf8) => arrow(),
        (Date64, Date32 | Timestamp(..)) => through(Timestamp(TimeUnit::Millisecond, None)),
        (Date64, to) if to.is_integer() => through(Int64),

        (Timestamp(..), Int64 | Utf8) => arrow(),
        (Timestamp(..), to) if to.is_integer() => through(Int64),
        (Timestamp(from_unit, zone), Timestamp(to_unit, to_zone)) => {
            let rescaled = Timestamp(*to_unit, zone.clone());
            let mut steps = Vec::new();
            if from_unit != to_unit {
                steps.push(Step::Rescale(*from_unit, *to_unit, rescaled));
            }
            if zone != to_zone {
                steps.push(Step::Arrow(to.clone()));
            }
            Some(steps)
        }
        (Timestamp(unit, zone), Date32) => {
            let seconds = Timestamp(TimeUnit::Second, zone.clone());
            Some(vec![Step::Rescale(*unit, TimeUnit::Second, seconds), Step::SecondsToDate])
        }

        (Time32(_) | Time64(_), Utf8) => arrow(),
        (Time32(from_unit) | Time64(from_unit), Time32(to_unit) | Time64(to_unit)) => {
            Some(vec![Step::Rescale(*from_unit, *to_unit, to.clone())])
        }
        _ => None,
    }
}

impl Step {
    /// Makes a step to a decimal round.
    fn allow_rounding(&mut self) {
        match self {
            Self::TextToDecimal(target) | Self::FloatToDecimal(target) => target.round = true,
            // Arrow's own cast from one decimal to another rounds half away from zero.
            Self::RoundTrip(to) if matches!(to, DataType::Decimal128(..)) => *self = Self::Arrow(to.clone()),
            _ => {}
        }
    }

    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Respell(rule) => {
                let mut spelt = String::new();
                let mut texts = StringBuilder::with_capacity(array.len(), 0);
                for text in array.as_string::<i32>() {
                    texts.append_option(text.and_then(|text| rule.respell(text, &mut spelt)));
                }
                Ok(Arc::new(texts.finish()))
            }
            Self::Arrow(to) => arrow_cast(array, to),
            Self::RoundTrip(to) => {
                let there = arrow_cast(array, to)?;
                let back = arrow_cast(&there, array.data_type())?;
                // What has no way back is null there, and as distinct as another value.
                nullif(there.as_ref(), &distinct(&back, array)?)
            }
            Self::IntToInt(to) => numeric::int_to_int(array, to),
            Self::FloatToInt(to) => numeric::float_to_int(array, to),
            Self::NarrowFloat(DataType::Float32) => numeric::float64_to_float32(array),
            Self::NarrowFloat(to) => {
                let narrow = arrow_cast(array, to)?;
                let infinite = numeric::newly_infinite(array, &narrow)?;
                nullif(narrow.as_ref(), &infinite)
            }
            Self::TextToFloat(to) => {
                let parsed = arrow_cast(array, to)?;
                let infinite = numeric::infinite(&parsed)?;
                if infinite.true_count() == 0 {
                    return Ok(parsed);
                }
                // "1e400" parses as infinity: it has digits, the word for infinity has none.
                let digits = array
                    .as_string::<i32>()
                    .iter()
                    .map(|text| text.is_some_and(|text| text.bytes().any(|byte| byte.is_ascii_digit())));
                let overflow = infinite.values() & &BooleanBuffer::from_iter(digits);
                nullif(parsed.as_ref(), &BooleanArray::new(overflow, None))
            }
            Self::Trim => values::trim(array),
            Self::TextToDecimal(target) => target.of_texts(array),
            Self::FloatToDecimal(target) => target.of_floats(array),
            Self::TextToTime(to, unit) => {
                let array = &with_seconds(array);
                let parsed = arrow_cast(array, to)?;
                let digits = match unit {
                    TimeUnit::Second => 0,
                    TimeUnit::Millisecond => 3,
                    TimeUnit::Microsecond => 6,
                    TimeUnit::Nanosecond => 9,
                };
                let mut inexact = false;
                let cut = BooleanBuffer::from_iter(array.as_string::<i32>().iter().map(|text| {
                    let is_cut = text.is_some_and(|text| has_finer_fraction(text, digits));
                    inexact |= is_cut;
                    is_cut
                }));
                if inexact { nullif(parsed.as_ref(), &BooleanArray::new(cut, None)) } else { Ok(parsed) }
            }
            Self::Rescale(from, to, result) => numeric::rescale(array, *from, *to, result),
            Self::SecondsToDate => numeric::seconds_to_date(array),
        }
    }
}

/// Timestamps as text, `:00` put into those that have no seconds: Arrow wants them.
fn with_seconds(array: &ArrayRef) -> ArrayRef {
    let texts = array.as_string::<i32>();
    if !texts.iter().flatten().any(lacks_seconds) {
        return array.clone();
    }
    let completed = |text: &str| match text.split_at_checked(TO_THE_MINUTE).filter(|_| lacks_seconds(text)) {
        Some((minute, zone)) => format!("{minute}:00{zone}"),
        None => text.to_owned(),
    };
    Arc::new(texts.iter().map(|text| text.map(completed)).collect::<StringArray>())
}

/// Bytes of `2020-01-01T10:00`.
const TO_THE_MINUTE: usize = 16;

/// Whether a text is a date and a time to the minute, with or without a zone.
fn lacks_seconds(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.get(10), Some(b'T' | b't' | b' '))
        && bytes.get(13) == Some(&b':')
        && matches!(bytes.get(TO_THE_MINUTE), None | Some(b'Z' | b'z' | b'+' | b'-' | b' '))
}

/// Whether a time as text has a digit other than zero beyond `digits` places behind the point.
fn has_finer_fraction(text: &str, digits: usize) -> bool {
    let Some((_, fraction)) = text.split_once('.') else { return false };
    fraction.bytes().take_while(u8::is_ascii_digit).skip(digits).any(|digit| digit != b'0')
}

/// Arrow's cast with null for what does not fit. Some kernels fail a whole column for one value (a timestamp that has
/// no calendar date, as text): then halves are tried, down to the row, which becomes null.
fn arrow_cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    match cast_with_options(array, to, &options) {
        Ok(cast) => Ok(cast),
        Err(error) => match array.len() {
            0 => Err(error),
            1 => Ok(new_null_array(to, 1)),
            rows => {
                let half = rows / 2;
                let head = arrow_cast(&array.slice(0, half), to)?;
                let tail = arrow_cast(&array.slice(half, rows - half), to)?;
                concat(&[head.as_ref(), tail.as_ref()])
            }
        },
    }
}
