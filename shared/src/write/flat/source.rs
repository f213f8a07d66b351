//! The values of an Arrow array, as a flat column takes them.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use parquet::errors::{ParquetError, Result};

use super::entries::Value;

/// The values of an array that is no dictionary; what lies under a null may be anything.
#[derive(Debug)]
pub(super) enum Source {
    Bits(Vec<u64>),
    Bytes(ArrayRef),
}

impl Source {
    /// Looks into an array.
    pub fn new(array: &ArrayRef) -> Result<Self> {
        if matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary)
        {
            return Ok(Self::Bytes(array.clone()));
        }
        let mut bits = Vec::new();
        append_bits(array, None, &mut bits)?;
        Ok(Self::Bits(bits))
    }

    /// The value at a place.
    pub fn value(&self, at: usize) -> Value<'_> {
        match self {
            Self::Bits(bits) => Value::Bits(bits.get(at).copied().unwrap_or_default()),
            Self::Bytes(array) => Value::Bytes(bytes(array, at)),
        }
    }
}

fn bytes(array: &ArrayRef, at: usize) -> &[u8] {
    if at >= array.len() {
        return &[];
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(at).as_bytes(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(at).as_bytes(),
        DataType::Binary => array.as_binary::<i32>().value(at),
        DataType::LargeBinary => array.as_binary::<i64>().value(at),
        _ => &[],
    }
}

/// Appends the bits of every value, or of those that are not null: as many as Parquet keeps of it, narrow integers widened.
pub(super) fn append_bits(array: &ArrayRef, nulls: Option<&NullBuffer>, bits: &mut Vec<u64>) -> Result<()> {
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    fn each_of<T: ArrowPrimitiveType>(
        array: &PrimitiveArray<T>,
        nulls: Option<&NullBuffer>,
        bits: &mut Vec<u64>,
        convert: impl Fn(T::Native) -> u64,
    ) {
        let values = array.values();
        match nulls {
            None => bits.extend(values.iter().map(|value| convert(*value))),
            Some(nulls) => append_valid(values, nulls, bits, convert),
        }
    }
    let signed = |value: i32| u64::from(value.cast_unsigned());
    match array.data_type() {
        DataType::Int8 => each_of(array.as_primitive::<Int8Type>(), nulls, bits, |value| signed(i32::from(value))),
        DataType::Int16 => each_of(array.as_primitive::<Int16Type>(), nulls, bits, |value| signed(i32::from(value))),
        DataType::Int32 => each_of(array.as_primitive::<Int32Type>(), nulls, bits, signed),
        DataType::Date32 => each_of(array.as_primitive::<Date32Type>(), nulls, bits, signed),
        DataType::Time32(TimeUnit::Second) => each_of(array.as_primitive::<Time32SecondType>(), nulls, bits, signed),
        DataType::Time32(_) => each_of(array.as_primitive::<Time32MillisecondType>(), nulls, bits, signed),
        DataType::UInt8 => each_of(array.as_primitive::<UInt8Type>(), nulls, bits, u64::from),
        DataType::UInt16 => each_of(array.as_primitive::<UInt16Type>(), nulls, bits, u64::from),
        DataType::UInt32 => each_of(array.as_primitive::<UInt32Type>(), nulls, bits, u64::from),
        DataType::UInt64 => each_of(array.as_primitive::<UInt64Type>(), nulls, bits, u64::from),
        DataType::Int64 => each_of(array.as_primitive::<Int64Type>(), nulls, bits, i64::cast_unsigned),
        DataType::Time64(TimeUnit::Microsecond) => {
            each_of(array.as_primitive::<Time64MicrosecondType>(), nulls, bits, i64::cast_unsigned);
        }
        DataType::Time64(_) => each_of(array.as_primitive::<Time64NanosecondType>(), nulls, bits, i64::cast_unsigned),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            each_of(array.as_primitive::<TimestampMillisecondType>(), nulls, bits, i64::cast_unsigned);
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            each_of(array.as_primitive::<TimestampMicrosecondType>(), nulls, bits, i64::cast_unsigned);
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            each_of(array.as_primitive::<TimestampNanosecondType>(), nulls, bits, i64::cast_unsigned);
        }
        DataType::Float32 => {
            each_of(array.as_primitive::<Float32Type>(), nulls, bits, |value| u64::from(value.to_bits()))
        }
        DataType::Float64 => each_of(array.as_primitive::<Float64Type>(), nulls, bits, f64::to_bits),
        other => return Err(ParquetError::General(format!("a flat column was given {other}"))),
    }
    Ok(())
}

/// Appends what `convert` makes of the values that are not null.
pub(super) fn append_valid<T: Copy, U: Copy + Default>(
    values: &[T],
    nulls: &NullBuffer,
    out: &mut Vec<U>,
    convert: impl Fn(T) -> U,
) {
    out.reserve(values.len().saturating_sub(nulls.null_count()));
    let chunks = nulls.inner().bit_chunks();
    for (values, word) in values.chunks(64).zip(chunks.iter_padded()) {
        if word == u64::MAX {
            out.extend(values.iter().map(|value| convert(*value)));
            continue;
        }
        // Each value is put behind the last valid one, where the next valid one overwrites it: no branch asks.
        let (mut valid, mut count) = ([U::default(); 64], 0usize);
        for (at, value) in values.iter().enumerate() {
            if let Some(slot) = valid.get_mut(count) {
                *slot = convert(*value);
            }
            count += usize::from(word >> at & 1 == 1);
        }
        out.extend_from_slice(valid.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_null_is_left_out(rows in prop::collection::vec((any::<u32>(), any::<bool>()), 0..400), skipped in 0usize..70) {
            let skipped = skipped.min(rows.len());
            let (values, valid): (Vec<u32>, Vec<bool>) = rows.iter().copied().unzip();
            // Sliced, so that bits do not begin with a byte.
            let nulls = NullBuffer::from(valid).slice(skipped, rows.len() - skipped);
            let (_, values) = values.split_at(skipped);
            let mut found = vec![7u64];
            append_valid(values, &nulls, &mut found, u64::from);
            let wanted = rows.iter().skip(skipped).filter(|(_, valid)| *valid).map(|(value, _)| u64::from(*value));
            prop_assert_eq!(found, std::iter::once(7).chain(wanted).collect::<Vec<_>>());
        }
    }
}
