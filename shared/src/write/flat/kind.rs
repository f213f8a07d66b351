//! What a flat column's values are, as Parquet sees them.

use arrow::datatypes::{DataType, TimeUnit};
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::schema::types::ColumnDescriptor;

/// How a value lies in a page, and how values are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int32,
    UInt32,
    Int64,
    UInt64,
    Float,
    Double,
    /// Strings and other bytes, each with its length before it.
    Bytes {
        is_text: bool,
    },
}

impl Kind {
    /// The kind of an Arrow type (that of the values, where it is a dictionary) written to that Parquet column; `None`
    /// where the parquet crate's writer has to write it.
    pub fn of(data_type: &DataType, column: &ColumnDescriptor) -> Option<Self> {
        use DataType::*;
        if column.max_rep_level() > 0 || column.max_def_level() > 1 || column.path().parts().len() > 1 {
            return None;
        }
        let is_unsigned =
            matches!(column.logical_type_ref(), Some(LogicalType::Integer(integer)) if !integer.is_signed);
        let values = match data_type {
            Dictionary(_, values) => values.as_ref(),
            other => other,
        };
        Some(match (values, column.physical_type()) {
            (Int8 | Int16 | Int32 | Date32 | Time32(_), PhysicalType::INT32) => Self::Int32,
            (UInt8 | UInt16 | UInt32, PhysicalType::INT32) if is_unsigned => Self::UInt32,
            (Int64 | Time64(_), PhysicalType::INT64) => Self::Int64,
            // Seconds have no type of their own in Parquet.
            (Timestamp(unit, _), PhysicalType::INT64) if *unit != TimeUnit::Second => Self::Int64,
            (UInt64, PhysicalType::INT64) if is_unsigned => Self::UInt64,
            (Float32, PhysicalType::FLOAT) => Self::Float,
            (Float64, PhysicalType::DOUBLE) => Self::Double,
            (Utf8 | LargeUtf8, PhysicalType::BYTE_ARRAY) => Self::Bytes { is_text: true },
            (Binary | LargeBinary, PhysicalType::BYTE_ARRAY) => Self::Bytes { is_text: false },
            _ => return None,
        })
    }

    /// Bytes of a value in a page; `None` where they differ.
    pub fn width(self) -> Option<usize> {
        match self {
            Self::Int32 | Self::UInt32 | Self::Float => Some(4),
            Self::Int64 | Self::UInt64 | Self::Double => Some(8),
            Self::Bytes { .. } => None,
        }
    }

    /// The bits of the value at a place in the order: what [`order`](Self::order) was given, but that zero has no sign.
    #[allow(clippy::cast_possible_truncation, reason = "orders come from values that fit")]
    pub fn bits(self, order: u64) -> u64 {
        const SIGN: u64 = 1 << 63;
        let float = || f64::from_bits(if order & SIGN == 0 { !order } else { order & !SIGN });
        match self {
            Self::Int32 => u64::from((order ^ SIGN) as u32),
            Self::Int64 => order ^ SIGN,
            Self::UInt32 | Self::UInt64 | Self::Bytes { .. } => order,
            Self::Float => u64::from((float() as f32).to_bits()),
            Self::Double => float().to_bits(),
        }
    }

    /// A number whose order is that of the values with these bits; `None` for NaN, which has no place in it.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bits are moved, not numbers")]
    pub fn order(self, bits: u64) -> Option<u64> {
        const SIGN: u64 = 1 << 63;
        let float = |value: f64| {
            // Both zeros are one number.
            let bits = if value == 0.0 { 0 } else { value.to_bits() };
            (!value.is_nan()).then_some(if bits & SIGN == 0 { bits | SIGN } else { !bits })
        };
        match self {
            Self::Int32 => Some(i64::from((bits as u32).cast_signed()) as u64 ^ SIGN),
            Self::Int64 => Some(bits ^ SIGN),
            Self::UInt32 | Self::UInt64 | Self::Bytes { .. } => Some(bits),
            Self::Float => float(f64::from(f32::from_bits(bits as u32))),
            Self::Double => float(f64::from_bits(bits)),
        }
    }
}
