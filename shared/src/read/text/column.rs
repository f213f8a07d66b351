//! Columns in the making: values go from text straight into their type, and those that are written otherwise than most
//! wait for the casts of `clean`, many at once.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, Date32Array, Float32Array, Float64Array, Int64Array, NullArray,
    PrimitiveArray, StringArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int64Type, TimeUnit};
use arrow::error::ArrowError;

use super::number;
use crate::clean::{TextCast, types};
use crate::dataset::{Notation, Rule};

/// A finished column.
#[derive(Debug)]
pub(super) struct Finished {
    pub array: ArrayRef,
    /// Rows whose text does not fit the type; they hold null.
    pub unfit: Option<BooleanBuffer>,
}

#[derive(Debug)]
enum Values {
    /// Nobody reads it.
    Skipped(usize),
    Integers {
        values: Vec<i64>,
        least: i64,
        most: i64,
    },
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Ticks {
        values: Vec<i64>,
        digits: u32,
    },
    Days(Vec<i32>),
    Text {
        bytes: Vec<u8>,
        ends: Vec<i32>,
    },
}

/// A column of a batch in the making.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    data_type: DataType,
    values: Values,
    valid: BooleanBufferBuilder,
    nulls: usize,
    /// Texts that wait for `cast`, and their rows.
    waiting: Vec<(usize, Vec<u8>)>,
    cast: Option<TextCast>,
    /// How texts are brought into the notation that is read here, where they are not in it.
    rule: Option<Rule>,
    spelt: String,
}

/// What is no UTF-8, and so fits no type.
pub(super) const UNFIT: &[u8] = b"\xff";

/// Whether text can become values of this type while it is read. Others are read as strings, and cast later.
pub(super) fn reads(data_type: &DataType) -> bool {
    values(data_type).is_some()
}

fn values(data_type: &DataType) -> Option<Values> {
    let integers = |least: i64, most: i64| Some(Values::Integers { values: Vec::new(), least, most });
    match data_type {
        DataType::Null => Some(Values::Skipped(0)),
        DataType::Int8 => integers(i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => integers(i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => integers(i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => integers(i64::MIN, i64::MAX),
        DataType::UInt8 => integers(0, u8::MAX.into()),
        DataType::UInt16 => integers(0, u16::MAX.into()),
        DataType::UInt32 => integers(0, u32::MAX.into()),
        DataType::Float32 => Some(Values::Float32(Vec::new())),
        DataType::Float64 => Some(Values::Float64(Vec::new())),
        DataType::Date32 => Some(Values::Days(Vec::new())),
        DataType::Utf8 => Some(Values::Text { bytes: Vec::new(), ends: vec![0] }),
        DataType::Timestamp(unit, zone) if zone.as_deref().is_none_or(|zone| zone == "UTC" || zone == "+00:00") => {
            let digits = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            Some(Values::Ticks { values: Vec::new(), digits })
        }
        _ => None,
    }
}

impl ColumnBuilder {
    /// A column of a type that [`reads`] takes.
    pub fn new(data_type: &DataType) -> Result<Self, String> {
        let values = values(data_type).ok_or_else(|| format!("text is not read as {data_type}"))?;
        let cast = match data_type {
            DataType::Null | DataType::Utf8 => None,
            to => Some(TextCast::plan(to)?),
        };
        Ok(Self {
            data_type: data_type.clone(),
            values,
            valid: BooleanBufferBuilder::new(0),
            nulls: 0,
            waiting: Vec::new(),
            cast,
            rule: None,
            spelt: String::new(),
        })
    }

    /// The same for texts in another notation.
    pub fn written(data_type: &DataType, notation: &Notation) -> Result<Self, String> {
        let rule = types::written(data_type).and_then(|what| notation.rule(what));
        Ok(Self { rule, ..Self::new(data_type)? })
    }

    /// Whether values make no difference.
    pub fn is_skipped(&self) -> bool {
        matches!(self.values, Values::Skipped(_))
    }

    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Skipped(rows) => *rows += 1,
            Values::Integers { values, .. } | Values::Ticks { values, .. } => values.push(0),
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Days(values) => values.push(0),
            Values::Text { bytes, ends } => ends.push(end(bytes)),
        }
        self.valid.append(false);
        self.nulls += 1;
    }

    /// Appends the value that a text stands for.
    pub fn push(&mut self, text: &[u8]) {
        let text = if matches!(self.values, Values::Text { .. }) { text } else { trimmed(text) };
        if self.rule.is_some() {
            self.push_respelled(text);
        } else {
            self.push_usual(text);
        }
    }

    /// Appends a value that fits no type.
    pub fn push_unfit(&mut self) {
        self.push_usual(UNFIT);
    }

    fn push_respelled(&mut self, text: &[u8]) {
        let mut spelt = std::mem::take(&mut self.spelt);
        self.push_usual(usual(self.rule.as_ref(), text, &mut spelt).unwrap_or(UNFIT));
        self.spelt = spelt;
    }

    fn push_usual(&mut self, text: &[u8]) {
        let read = match &mut self.values {
            Values::Skipped(rows) => {
                *rows += 1;
                true
            }
            Values::Integers { values, least, most } => {
                let value = number::integer(text).filter(|value| (*least..=*most).contains(value));
                put(values, value)
            }
            Values::Float32(values) => put(values, number::float32(text)),
            Values::Float64(values) => put(values, number::float64(text)),
            Values::Ticks { values, digits } => put(values, number::timestamp(text, *digits)),
            Values::Days(values) => put(values, number::date(text)),
            Values::Text { bytes, ends } => {
                bytes.extend_from_slice(text);
                ends.push(end(bytes));
                true
            }
        };
        if !read {
            self.waiting.push((self.valid.len(), text.to_vec()));
        }
        self.valid.append(true);
    }

    /// Texts that [`finish`](Self::finish) casts.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Ends the batch's column; the builder is empty again.
    pub fn finish(&mut self) -> Result<Finished, ArrowError> {
        let rows = self.valid.len();
        let mut valid = std::mem::replace(&mut self.valid, BooleanBufferBuilder::new(rows));
        let mut nulls = std::mem::take(&mut self.nulls);
        let mut unfit = self.cast_waiting(&mut valid)?;
        if let Values::Text { bytes, ends } = &mut self.values
            && !is_utf8(bytes, ends)
        {
            unfit = Some(only_utf8(bytes, ends, &mut valid));
        }
        nulls += unfit.as_ref().map_or(0, BooleanBuffer::count_set_bits);
        let nulls = (nulls > 0).then(|| NullBuffer::new(valid.finish()));
        let array: ArrayRef = match &mut self.values {
            Values::Skipped(rows) => Arc::new(NullArray::new(std::mem::take(rows))),
            Values::Integers { values, .. } => cast(&Int64Array::new(taken(values).into(), nulls), &self.data_type)?,
            Values::Ticks { values, .. } => cast(&Int64Array::new(taken(values).into(), nulls), &self.data_type)?,
            Values::Float32(values) => Arc::new(Float32Array::new(taken(values).into(), nulls)),
            Values::Float64(values) => Arc::new(Float64Array::new(taken(values).into(), nulls)),
            Values::Days(values) => Arc::new(Date32Array::new(taken(values).into(), nulls)),
            Values::Text { bytes, ends } => {
                let ends = std::mem::replace(ends, vec![0]);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
                Arc::new(StringArray::try_new(offsets, taken(bytes).into(), nulls)?)
            }
        };
        Ok(Finished { array, unfit })
    }

    /// Casts what waits, puts the values in their places, and tells which rows have none.
    fn cast_waiting(&mut self, valid: &mut BooleanBufferBuilder) -> Result<Option<BooleanBuffer>, ArrowError> {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(to) = self.cast.as_ref().filter(|_| !waiting.is_empty()) else { return Ok(None) };
        let texts: StringArray = waiting.iter().map(|(_, text)| std::str::from_utf8(text).ok()).collect();
        let found = to.apply(&(Arc::new(texts) as ArrayRef))?;
        match &mut self.values {
            Values::Integers { values, .. } | Values::Ticks { values, .. } => {
                place::<Int64Type>(values, &cast(&found, &DataType::Int64)?, &waiting);
            }
            Values::Float32(values) => place::<Float32Type>(values, &found, &waiting),
            Values::Float64(values) => place::<Float64Type>(values, &found, &waiting),
            Values::Days(values) => place::<Date32Type>(values, &found, &waiting),
            Values::Skipped(_) | Values::Text { .. } => {}
        }
        let mut unfit = None;
        for ((row, _), at) in waiting.iter().zip(0..) {
            if found.is_null(at) {
                let mask = unfit.get_or_insert_with(|| {
                    let mut mask = BooleanBufferBuilder::new(valid.len());
                    mask.append_n(valid.len(), false);
                    mask
                });
                mask.set_bit(*row, true);
                valid.set_bit(*row, false);
            }
        }
        Ok(unfit.map(|mut mask| mask.finish()))
    }
}

/// A text without the white space around it.
pub(super) fn trimmed(text: &[u8]) -> &[u8] {
    let is_plain = |byte: &u8| (b'!'..=b'~').contains(byte);
    if text.first().is_none_or(is_plain) && text.last().is_none_or(is_plain) {
        return text;
    }
    std::str::from_utf8(text).map_or_else(|_| text.trim_ascii(), |text| text.trim().as_bytes())
}

/// A text in the usual notation, perhaps written into `spelt`; `None` where it is not written as the rule says.
pub(super) fn usual<'t>(rule: Option<&Rule>, text: &'t [u8], spelt: &'t mut String) -> Option<&'t [u8]> {
    let Some(rule) = rule else { return Some(text) };
    rule.respell(std::str::from_utf8(text).ok()?, spelt).map(str::as_bytes)
}

/// Appends a value, or holds its place; whether there was one.
fn put<T: Default>(values: &mut Vec<T>, value: Option<T>) -> bool {
    let read = value.is_some();
    values.push(value.unwrap_or_default());
    read
}

fn place<T: ArrowPrimitiveType>(values: &mut [T::Native], found: &ArrayRef, waiting: &[(usize, Vec<u8>)]) {
    let Some(found) = found.as_primitive_opt::<T>() else { return };
    let found: &PrimitiveArray<T> = found;
    for ((row, _), value) in waiting.iter().zip(found.iter()) {
        if let (Some(place), Some(value)) = (values.get_mut(*row), value) {
            *place = value;
        }
    }
}

fn taken<T>(values: &mut Vec<T>) -> Vec<T> {
    let capacity = values.len();
    std::mem::replace(values, Vec::with_capacity(capacity))
}

/// Batches are bounded far below 2 GiB.
fn end(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).unwrap_or(i32::MAX)
}

/// Whether each text is UTF-8: halves of a character that meet are not.
fn is_utf8(bytes: &[u8], ends: &[i32]) -> bool {
    let at_boundary = |text: &str, end: &i32| usize::try_from(*end).is_ok_and(|end| text.is_char_boundary(end));
    std::str::from_utf8(bytes).is_ok_and(|text| ends.iter().all(|end| at_boundary(text, end)))
}

/// Empties the texts that are not UTF-8; the mask tells which.
fn only_utf8(bytes: &mut Vec<u8>, ends: &mut Vec<i32>, valid: &mut BooleanBufferBuilder) -> BooleanBuffer {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut new_ends = Vec::with_capacity(ends.len());
    new_ends.push(0);
    let mut mask = BooleanBufferBuilder::new(valid.len());
    let mut start = 0;
    for (row, next) in ends.iter().skip(1).enumerate() {
        let next = usize::try_from(*next).unwrap_or(0);
        let text = bytes.get(start..next).unwrap_or_default();
        let fits = std::str::from_utf8(text).is_ok();
        if fits {
            kept.extend_from_slice(text);
        } else {
            valid.set_bit(row, false);
        }
        mask.append(!fits);
        new_ends.push(end(&kept));
        start = next;
    }
    *bytes = kept;
    *ends = new_ends;
    mask.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn types() -> Vec<DataType> {
        let mut types = vec![DataType::Int8, DataType::Int32, DataType::Int64, DataType::UInt8, DataType::UInt32];
        types.extend([DataType::Float32, DataType::Float64, DataType::Date32]);
        for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
            types.push(DataType::Timestamp(unit, None));
            types.push(DataType::Timestamp(unit, Some("UTC".into())));
        }
        types
    }

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            "[+-]?[0-9]{0,20}",
            "[+-]?[0-9]{0,12}\\.[0-9]{0,12}",
            "[+-]?[0-9]{1,3}(\\.[0-9]{1,3})?e[+-]?[0-9]{1,3}",
            "[0-9]{4}-(0[0-9]|1[0-3])-[0-3][0-9]",
            "(1[5-9]|2[0-3])[0-9]{2}-(0[1-9]|1[0-2])-[0-3][0-9][ T][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\\.[0-9]{1,10})?)?(Z|\\+02:00)?",
            "[ \t\u{a0}]?-?[0-9]{1,5} ?",
            " ?2020-0[0-9]-[0-3][0-9]([ T]1[0-9]:[0-6][0-9])? ?",
            "[a-zN. -]{0,6}",
            // So near to halfway between two `f32` that an `f64` cannot tell them apart.
            Just("4.32818341255188".to_owned()),
            Just("7.01042628288269".to_owned()),
            Just("1.00000017881393421514957253748434595763683319091796875".to_owned()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn a_text_becomes_what_the_cast_makes_of_it(text in texts(), other in texts()) {
            for data_type in types() {
                let mut builder = ColumnBuilder::new(&data_type).unwrap();
                builder.push(other.as_bytes());
                builder.push_null();
                builder.push(text.as_bytes());
                let finished = builder.finish().unwrap();
                let strings: ArrayRef = Arc::new(StringArray::from(vec![Some(other.as_str()), None, Some(text.as_str())]));
                let wanted = TextCast::plan(&data_type).unwrap().apply(&strings).unwrap();
                prop_assert_eq!(&finished.array, &wanted, "{} as {}", text, data_type);
                let unfit = finished.unfit.is_some_and(|mask| mask.value(2));
                prop_assert_eq!(unfit, wanted.is_null(2));
            }
        }
    }

    #[test]
    fn text_that_is_not_utf8_does_not_fit_a_string() {
        let mut builder = ColumnBuilder::new(&DataType::Utf8).unwrap();
        for text in [&b"a"[..], b"\xff\xfe", b"\xc3\xa4", b"\xc3", b"\xa4"] {
            builder.push(text);
        }
        let finished = builder.finish().unwrap();
        let wanted: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("ä"), None, None]));
        assert_eq!(&finished.array, &wanted);
        assert_eq!(finished.unfit.unwrap(), BooleanBuffer::from(vec![false, true, false, true, true]));
    }
}
