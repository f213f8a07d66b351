//! A dataset file's types and Arrow's.

use arrow::datatypes::{DataType, TimeUnit as ArrowUnit};

use crate::dataset::{ColumnType, TimeUnit, Written};

/// The Arrow type that a column declared as `declared` has in the output; `None` where there is none (`decimal` beyond
/// 38 digits, odd widths), which the dataset file's parser refuses before.
pub(super) fn arrow_type(declared: &ColumnType) -> Option<DataType> {
    Some(match declared {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Int(8) => DataType::Int8,
        ColumnType::Int(16) => DataType::Int16,
        ColumnType::Int(32) => DataType::Int32,
        ColumnType::Int(64) => DataType::Int64,
        ColumnType::UInt(8) => DataType::UInt8,
        ColumnType::UInt(16) => DataType::UInt16,
        ColumnType::UInt(32) => DataType::UInt32,
        ColumnType::UInt(64) => DataType::UInt64,
        ColumnType::Float(16) => DataType::Float16,
        ColumnType::Float(32) => DataType::Float32,
        ColumnType::Float(64) => DataType::Float64,
        ColumnType::Int(_) | ColumnType::UInt(_) | ColumnType::Float(_) => return None,
        ColumnType::Decimal { precision, scale } => {
            let scale_fits = u8::try_from(*scale).is_ok_and(|scale| scale <= *precision);
            if *precision == 0 || *precision > 38 || !scale_fits {
                return None;
            }
            DataType::Decimal128(*precision, *scale)
        }
        ColumnType::String => DataType::Utf8,
        ColumnType::Binary => DataType::Binary,
        ColumnType::Dictionary => dictionary_type(),
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp { unit, zone } => DataType::Timestamp(arrow_unit(*unit), zone.as_deref().map(Into::into)),
        ColumnType::Time(unit @ (TimeUnit::Second | TimeUnit::Millisecond)) => DataType::Time32(arrow_unit(*unit)),
        ColumnType::Time(unit) => DataType::Time64(arrow_unit(*unit)),
        ColumnType::Null => DataType::Null,
    })
}

/// What texts of this type stand for, where a dataset may say how they are written.
pub(crate) fn written(data_type: &DataType) -> Option<Written> {
    match data_type {
        DataType::Date32 => Some(Written::Date),
        DataType::Timestamp(..) => Some(Written::Timestamp),
        number if number.is_floating() || number.is_decimal() => Some(Written::Number),
        _ => None,
    }
}

/// Whether a source column of type `found` is what a cast rule's `from` names. Encodings of one logical type are the
/// same: strings however stored, binary however stored, decimals of any width, dates in days or milliseconds.
pub(super) fn matches(from: &ColumnType, found: &DataType) -> bool {
    let logical = logical_type(found);
    match from {
        ColumnType::String => logical == DataType::Utf8,
        ColumnType::Dictionary => matches!(found, DataType::Dictionary(..)) && logical == DataType::Utf8,
        declared => arrow_type(declared).is_some_and(|declared| declared == logical),
    }
}

/// The type without its encoding: dictionaries unpacked, large, view and fixed-size variants as the plain one.
pub(crate) fn logical_type(found: &DataType) -> DataType {
    match found {
        DataType::Dictionary(_, values) => logical_type(values),
        DataType::RunEndEncoded(_, values) => logical_type(values.data_type()),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(precision, scale) if *precision <= 38 => DataType::Decimal128(*precision, *scale),
        DataType::Date64 => DataType::Date32,
        other => other.clone(),
    }
}

/// The type of `to = "dictionary"`.
pub(super) fn dictionary_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// A type as a dataset file writes it, for messages; Arrow's own name where the file has none.
pub(crate) fn describe(found: &DataType) -> String {
    match found {
        DataType::Boolean => "bool".into(),
        DataType::Utf8 => "string".into(),
        DataType::LargeUtf8 => "large string".into(),
        DataType::Utf8View => "string view".into(),
        DataType::Dictionary(_, values) if logical_type(values) == DataType::Utf8 => "dictionary".into(),
        DataType::Dictionary(_, values) => format!("dictionary of {}", describe(values)),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(unit, None) => format!("timestamp({unit})"),
        DataType::Timestamp(unit, Some(zone)) => format!("timestamp({unit}, \"{zone}\")"),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("time({unit})"),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("decimal({p}, {s})"),
        DataType::Struct(_) => "struct".into(),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => "list".into(),
        DataType::Map(..) => "map".into(),
        other => other.to_string().to_lowercase(),
    }
}

fn arrow_unit(unit: TimeUnit) -> ArrowUnit {
    match unit {
        TimeUnit::Second => ArrowUnit::Second,
        TimeUnit::Millisecond => ArrowUnit::Millisecond,
        TimeUnit::Microsecond => ArrowUnit::Microsecond,
        TimeUnit::Nanosecond => ArrowUnit::Nanosecond,
    }
}
