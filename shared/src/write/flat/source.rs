//! The values of an Arrow array, as a flat column takes them.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::*;
use parquet::errors::{ParquetError, Result};

use super::entries::Value;
use super::selected::each_held_run;

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

/// Appends the bits of every value, or of those that are held: as many as Parquet keeps of it, narrow integers widened.
pub(super) fn append_bits(array: &ArrayRef, held: Option<&BooleanBuffer>, bits: &mut Vec<u64>) -> Result<()> {
    fn each_of<T: ArrowPrimitiveType>(
        array: &PrimitiveArray<T>,
        held: Option<&BooleanBuffer>,
        bits: &mut Vec<u64>,
        convert: impl Fn(T::Native) -> u64,
    ) {
        bits.reserve(array.len());
        each_held_run(array.values(), held, |run| bits.extend(run.iter().map(|value| convert(*value))));
    }
    let signed = |value: i32| u64::from(value.cast_unsigned());
    match array.data_type() {
        DataType::Int8 => each_of(array.as_primitive::<Int8Type>(), held, bits, |value| signed(i32::from(value))),
        DataType::Int16 => each_of(array.as_primitive::<Int16Type>(), held, bits, |value| signed(i32::from(value))),
        DataType::Int32 => each_of(array.as_primitive::<Int32Type>(), held, bits, signed),
        DataType::Date32 => each_of(array.as_primitive::<Date32Type>(), held, bits, signed),
        DataType::Time32(TimeUnit::Second) => each_of(array.as_primitive::<Time32SecondType>(), held, bits, signed),
        DataType::Time32(_) => each_of(array.as_primitive::<Time32MillisecondType>(), held, bits, signed),
        DataType::UInt8 => each_of(array.as_primitive::<UInt8Type>(), held, bits, u64::from),
        DataType::UInt16 => each_of(array.as_primitive::<UInt16Type>(), held, bits, u64::from),
        DataType::UInt32 => each_of(array.as_primitive::<UInt32Type>(), held, bits, u64::from),
        DataType::UInt64 => each_of(array.as_primitive::<UInt64Type>(), held, bits, u64::from),
        DataType::Int64 => each_of(array.as_primitive::<Int64Type>(), held, bits, i64::cast_unsigned),
        DataType::Time64(TimeUnit::Microsecond) => {
            each_of(array.as_primitive::<Time64MicrosecondType>(), held, bits, i64::cast_unsigned);
        }
        DataType::Time64(_) => each_of(array.as_primitive::<Time64NanosecondType>(), held, bits, i64::cast_unsigned),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            each_of(array.as_primitive::<TimestampMillisecondType>(), held, bits, i64::cast_unsigned);
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            each_of(array.as_primitive::<TimestampMicrosecondType>(), held, bits, i64::cast_unsigned);
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            each_of(array.as_primitive::<TimestampNanosecondType>(), held, bits, i64::cast_unsigned);
        }
        DataType::Float32 => {
            each_of(array.as_primitive::<Float32Type>(), held, bits, |value| u64::from(value.to_bits()))
        }
        DataType::Float64 => each_of(array.as_primitive::<Float64Type>(), held, bits, f64::to_bits),
        other => return Err(ParquetError::General(format!("a flat column was given {other}"))),
    }
    Ok(())
}
