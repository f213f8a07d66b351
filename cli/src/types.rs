//! Types as dataset files write them.

use arrow::datatypes::{DataType, TimeUnit};

/// A type as dataset files write it.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "string".to_owned(),
        DataType::LargeUtf8 => "large_string".to_owned(),
        DataType::Timestamp(unit, None) => {
            let unit = match unit {
                TimeUnit::Second => "s",
                TimeUnit::Millisecond => "ms",
                TimeUnit::Microsecond => "us",
                TimeUnit::Nanosecond => "ns",
            };
            format!("timestamp({unit})")
        }
        DataType::Dictionary(_, _) => "dictionary".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}
