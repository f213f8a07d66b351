//! The narrowest type that holds the values of two.
//!
//! | types | common type | told |
//! |---|---|---|
//! | one logical type however stored, null and anything | that type | |
//! | signed integers, unsigned integers, floats | the wider | |
//! | signed and unsigned integer | the signed one with room for both; `decimal(20, 0)` beyond 64 bits | |
//! | integer of up to 16 bits and `float32`; of up to 32 bits and `float64` | the float | |
//! | other integers and floats | `float64` | whole numbers beyond 2^53 are rounded |
//! | decimals, decimal and integer | room for the digits of both, up to 38 | |
//! | decimal and float, decimals beyond 38 digits | `float64` | decimals are rounded |
//! | bool and integer or float | the number | |
//! | date and timestamp | the timestamp | to nanoseconds: as below |
//! | timestamps, times | the finer unit | to nanoseconds: what lies outside 1677 to 2262 does not fit |
//! | timestamps of two zones; with and without | in UTC; without | times are UTC |
//! | text and anything that has a text | `string` | |

use arrow::datatypes::{DataType, TimeUnit};

use super::types::{self, logical_type};
use crate::dataset::{ColumnType, TimeUnit as DeclaredUnit};

/// A common type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widest {
    /// The type.
    pub data_type: DataType,
    /// What a person should know of it.
    pub note: Option<&'static str>,
}

const ROUNDS_INTEGERS: &str = "whole numbers beyond 2^53 are rounded";
const ROUNDS_DECIMALS: &str = "decimals are rounded";
const NANOSECONDS: &str = "times before 1677-09-21 or after 2262-04-11 do not fit";
const IN_UTC: &str = "times are UTC";

/// The common type of `left` and `right`; `None` where there is none.
pub fn widest(left: &DataType, right: &DataType) -> Option<Widest> {
    use DataType::{Binary, Boolean, Date32, Decimal128, Null, Time32, Time64, Timestamp, Utf8};
    let plain = |data_type: DataType| Some(Widest { data_type, note: None });
    let (a, b) = (logical_type(left), logical_type(right));
    if a == b {
        // A dictionary stays one only where both are.
        let both = matches!((left, right), (DataType::Dictionary(..), DataType::Dictionary(..)));
        return plain(if both && a == Utf8 { types::dictionary_type() } else { a });
    }
    match (&a, &b) {
        (Null, _) => plain(whole_type(right)),
        (_, Null) => plain(whole_type(left)),
        (Boolean, number) | (number, Boolean) if number.is_integer() || number.is_floating() => plain(number.clone()),
        (Date32, Timestamp(unit, None)) | (Timestamp(unit, None), Date32) => {
            let note = (*unit == TimeUnit::Nanosecond).then_some(NANOSECONDS);
            Some(Widest { data_type: Timestamp(*unit, None), note })
        }
        (Timestamp(one, zone), Timestamp(other, other_zone)) => Some(instants(*one, zone, *other, other_zone)),
        (Time32(one) | Time64(one), Time32(other) | Time64(other)) => plain(match finer(*one, *other) {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => Time32(unit),
            unit => Time64(unit),
        }),
        (Decimal128(..), _) | (_, Decimal128(..)) if is_number(&a) && is_number(&b) => Some(decimals(&a, &b)),
        _ if is_number(&a) && is_number(&b) => Some(numbers(&a, &b)),
        (Utf8, other) | (other, Utf8) if other != &Binary && !other.is_nested() => plain(Utf8),
        _ => None,
    }
}

/// Whether every value of `from` is one of `to`, so that the cast can lose nothing.
pub fn is_widening(from: &DataType, to: &DataType) -> bool {
    let found = widest(from, to);
    found.is_some_and(|found| found.note.is_none() && logical_type(&found.data_type) == logical_type(to))
}

/// The type as a dataset's file declares it; `None` for nested types and others that no file can name.
pub fn declared(data_type: &DataType) -> Option<ColumnType> {
    use DataType::*;
    if let Dictionary(_, values) = data_type
        && logical_type(values) == Utf8
    {
        return Some(ColumnType::Dictionary);
    }
    Some(match logical_type(data_type) {
        Null => ColumnType::Null,
        Boolean => ColumnType::Boolean,
        Int8 => ColumnType::Int(8),
        Int16 => ColumnType::Int(16),
        Int32 => ColumnType::Int(32),
        Int64 => ColumnType::Int(64),
        UInt8 => ColumnType::UInt(8),
        UInt16 => ColumnType::UInt(16),
        UInt32 => ColumnType::UInt(32),
        UInt64 => ColumnType::UInt(64),
        Float16 => ColumnType::Float(16),
        Float32 => ColumnType::Float(32),
        Float64 => ColumnType::Float(64),
        Decimal128(precision, scale) if scale >= 0 => ColumnType::Decimal { precision, scale },
        Utf8 => ColumnType::String,
        Binary => ColumnType::Binary,
        Date32 => ColumnType::Date,
        Timestamp(unit, zone) => {
            ColumnType::Timestamp { unit: declared_unit(unit), zone: zone.map(|zone| zone.to_string()) }
        }
        Time32(unit) | Time64(unit) => ColumnType::Time(declared_unit(unit)),
        _ => return None,
    })
}

/// The type of a column that was null or absent elsewhere: strings stay dictionaries.
fn whole_type(found: &DataType) -> DataType {
    match (found, logical_type(found)) {
        (DataType::Dictionary(..), DataType::Utf8) => types::dictionary_type(),
        (_, logical) => logical,
    }
}

fn is_number(found: &DataType) -> bool {
    found.is_integer() || found.is_floating() || matches!(found, DataType::Decimal128(..))
}

fn instants(
    one: TimeUnit,
    zone: &Option<std::sync::Arc<str>>,
    other: TimeUnit,
    other_zone: &Option<std::sync::Arc<str>>,
) -> Widest {
    let unit = finer(one, other);
    let (zone, moved) = match (zone, other_zone) {
        (one, other) if one == other => (one.clone(), None),
        (Some(_), Some(_)) => (Some("UTC".into()), Some(IN_UTC)),
        _ => (None, Some(IN_UTC)),
    };
    let narrowed = (one != other && unit == TimeUnit::Nanosecond).then_some(NANOSECONDS);
    Widest { data_type: DataType::Timestamp(unit, zone), note: narrowed.or(moved) }
}

fn finer(one: TimeUnit, other: TimeUnit) -> TimeUnit {
    one.max(other)
}

/// Integers and floats.
fn numbers(a: &DataType, b: &DataType) -> Widest {
    let (bits_a, bits_b) = (bits(a), bits(b));
    let plain = |data_type| Widest { data_type, note: None };
    match (a.is_floating(), b.is_floating()) {
        (true, true) => plain(float(bits_a.max(bits_b))),
        (false, false) => plain(integers(a, b)),
        (is_float, _) => {
            let (float_bits, integer_bits) = if is_float { (bits_a, bits_b) } else { (bits_b, bits_a) };
            let data_type = float(if integer_bits <= 16 { float_bits.max(32) } else { 64 });
            Widest { data_type, note: (integer_bits > 32).then_some(ROUNDS_INTEGERS) }
        }
    }
}

fn integers(a: &DataType, b: &DataType) -> DataType {
    let (bits_a, bits_b) = (bits(a), bits(b));
    match (a.is_signed_integer(), b.is_signed_integer()) {
        (true, true) => signed(bits_a.max(bits_b)),
        (false, false) => unsigned(bits_a.max(bits_b)),
        (a_signed, _) => {
            let (signed_bits, unsigned_bits) = if a_signed { (bits_a, bits_b) } else { (bits_b, bits_a) };
            signed(signed_bits.max(unsigned_bits * 2))
        }
    }
}

/// At least one of the two is a decimal.
fn decimals(a: &DataType, b: &DataType) -> Widest {
    let rounded = Widest { data_type: DataType::Float64, note: Some(ROUNDS_DECIMALS) };
    let (Some((whole_a, scale_a)), Some((whole_b, scale_b))) = (digits(a), digits(b)) else { return rounded };
    let (whole, scale) = (whole_a.max(whole_b), scale_a.max(scale_b));
    match (u8::try_from(whole + scale), i8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale)) => Widest { data_type: DataType::Decimal128(precision, scale), note: None },
        _ => rounded,
    }
}

/// Digits before and behind the point; `None` for floats.
fn digits(found: &DataType) -> Option<(i16, i16)> {
    match found {
        DataType::Decimal128(precision, scale) => Some((i16::from(*precision) - i16::from(*scale), i16::from(*scale))),
        integer if integer.is_integer() => Some((
            match bits(integer) {
                8 => 3,
                16 => 5,
                32 => 10,
                _ => 20,
            },
            0,
        )),
        _ => None,
    }
}

fn bits(number: &DataType) -> usize {
    number.primitive_width().unwrap_or(8) * 8
}

fn signed(bits: usize) -> DataType {
    match bits {
        8 => DataType::Int8,
        16 => DataType::Int16,
        32 => DataType::Int32,
        64 => DataType::Int64,
        _ => DataType::Decimal128(20, 0),
    }
}

fn unsigned(bits: usize) -> DataType {
    match bits {
        8 => DataType::UInt8,
        16 => DataType::UInt16,
        32 => DataType::UInt32,
        _ => DataType::UInt64,
    }
}

fn float(bits: usize) -> DataType {
    match bits {
        16 => DataType::Float16,
        32 => DataType::Float32,
        _ => DataType::Float64,
    }
}

fn declared_unit(unit: TimeUnit) -> DeclaredUnit {
    match unit {
        TimeUnit::Second => DeclaredUnit::Second,
        TimeUnit::Millisecond => DeclaredUnit::Millisecond,
        TimeUnit::Microsecond => DeclaredUnit::Microsecond,
        TimeUnit::Nanosecond => DeclaredUnit::Nanosecond,
    }
}
