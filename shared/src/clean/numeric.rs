//! The number kernels behind checked casts: null for what does not fit, and one pass where everything does.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, downcast_integer_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;

/// Converts every value, `convert` telling whether it fits. Slots under a null may hold anything: what does not fit
/// there only costs the second pass.
fn convert<S, T>(array: &PrimitiveArray<S>, convert: impl Fn(S::Native) -> (T::Native, bool)) -> ArrayRef
where
    S: ArrowPrimitiveType,
    T: ArrowPrimitiveType,
{
    let mut all_fit = true;
    let converted = array.values().iter().map(|value| {
        let (converted, fits) = convert(*value);
        all_fit &= fits;
        converted
    });
    let values: Vec<T::Native> = converted.collect();
    if all_fit {
        return Arc::new(PrimitiveArray::<T>::new(values.into(), array.nulls().cloned()));
    }
    Arc::new(array.unary_opt::<_, T>(|value| {
        let (converted, fits) = convert(value);
        fits.then_some(converted)
    }))
}

fn ints<S, T>(array: &PrimitiveArray<S>) -> ArrayRef
where
    S: ArrowPrimitiveType,
    T: ArrowPrimitiveType,
    T::Native: TryFrom<S::Native> + Default,
{
    convert::<S, T>(array, |value| match T::Native::try_from(value) {
        Ok(fits) => (fits, true),
        Err(_) => (T::Native::default(), false),
    })
}

pub(super) fn int_to_int(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let array = array.as_ref();
    downcast_integer_array!(
        array => match to {
            DataType::Int8 => Ok(ints::<_, Int8Type>(array)),
            DataType::Int16 => Ok(ints::<_, Int16Type>(array)),
            DataType::Int32 => Ok(ints::<_, Int32Type>(array)),
            DataType::Int64 => Ok(ints::<_, Int64Type>(array)),
            DataType::UInt8 => Ok(ints::<_, UInt8Type>(array)),
            DataType::UInt16 => Ok(ints::<_, UInt16Type>(array)),
            DataType::UInt32 => Ok(ints::<_, UInt32Type>(array)),
            DataType::UInt64 => Ok(ints::<_, UInt64Type>(array)),
            other => Err(unexpected(other)),
        },
        other => Err(unexpected(other))
    )
}

/// 2^63 and 2^64: the first values above `i64` and `u64`, exact as `f64`.
const I64_END: f64 = 9_223_372_036_854_775_808.0;
const U64_END: f64 = 18_446_744_073_709_551_616.0;

pub(super) fn float_to_int(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let wide =
        if matches!(array.data_type(), DataType::Float64) { array.clone() } else { cast(array, &DataType::Float64)? };
    let floats = wide.as_primitive_opt::<Float64Type>().ok_or_else(|| unexpected(array.data_type()))?;
    match to {
        DataType::UInt64 => Ok(convert::<_, UInt64Type>(floats, |value| {
            // NaN fails every comparison.
            let fits = (0.0..U64_END).contains(&value) && value.trunc() == value;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "only used where it fits")]
            let whole = value as u64;
            (whole, fits)
        })),
        DataType::Int32 => Ok(convert::<_, Int32Type>(floats, |value| {
            #[allow(clippy::cast_possible_truncation, reason = "compared with the value it came from")]
            let whole = value as i32;
            (whole, f64::from(whole) == value)
        })),
        to => {
            let whole = convert::<_, Int64Type>(floats, |value| {
                let fits = (-I64_END..I64_END).contains(&value) && value.trunc() == value;
                #[allow(clippy::cast_possible_truncation, reason = "only used where it fits")]
                let whole = value as i64;
                (whole, fits)
            });
            int_to_int(&whole, to)
        }
    }
}

pub(super) fn float64_to_float32(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let floats = array.as_primitive_opt::<Float64Type>().ok_or_else(|| unexpected(array.data_type()))?;
    Ok(convert::<_, Float32Type>(floats, |value| {
        #[allow(clippy::cast_possible_truncation, reason = "rounding to nearest is what is wanted")]
        let narrow = value as f32;
        (narrow, narrow.is_finite() || !value.is_finite())
    }))
}

/// Which values are infinite.
pub(super) fn infinite(array: &ArrayRef) -> Result<BooleanArray, ArrowError> {
    let wide = cast(array, &DataType::Float64)?;
    let floats = wide.as_primitive_opt::<Float64Type>().ok_or_else(|| unexpected(array.data_type()))?;
    Ok(BooleanArray::from_unary(floats, f64::is_infinite))
}

/// Which values are infinite after and were finite before.
pub(super) fn newly_infinite(before: &ArrayRef, after: &ArrayRef) -> Result<BooleanArray, ArrowError> {
    let (before, after) = (infinite(before)?, infinite(after)?);
    let newly = after.values() & &!before.values();
    Ok(BooleanArray::new(newly, after.nulls().cloned()))
}

/// A time of day or timestamp in another unit: exact, or null.
pub(super) fn rescale(
    array: &ArrayRef,
    from: TimeUnit,
    to: TimeUnit,
    result: &DataType,
) -> Result<ArrayRef, ArrowError> {
    let ticks = match array.data_type() {
        DataType::Time32(_) => cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(array, &DataType::Int64)?,
    };
    let ticks = ticks.as_primitive::<Int64Type>();
    let (from, to) = (per_second(from), per_second(to));
    let rescaled = if to >= from {
        let factor = to / from;
        convert::<_, Int64Type>(ticks, |tick| {
            let (product, overflow) = tick.overflowing_mul(factor);
            (product, !overflow)
        })
    } else {
        let divisor = from / to;
        convert::<_, Int64Type>(ticks, |tick| (tick / divisor, tick % divisor == 0))
    };
    match result {
        DataType::Time32(_) => cast(&int_to_int(&rescaled, &DataType::Int32)?, result),
        result => cast(&rescaled, result),
    }
}

/// Seconds since the epoch to days since the epoch: exact, or null.
pub(super) fn seconds_to_date(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    const SECONDS_A_DAY: i64 = 86_400;
    let seconds = cast(array, &DataType::Int64)?;
    let days = convert::<_, Date32Type>(seconds.as_primitive::<Int64Type>(), |second| {
        match i32::try_from(second / SECONDS_A_DAY) {
            Ok(day) => (day, second % SECONDS_A_DAY == 0),
            Err(_) => (0, false),
        }
    });
    Ok(days)
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn unexpected(found: &DataType) -> ArrowError {
    ArrowError::CastError(format!("a checked cast was planned for another type than {found}"))
}
