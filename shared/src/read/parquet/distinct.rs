//! The values of a dictionary page, which are always encoded plainly.
//!
//! Format: parquet-format's `Encodings.md`, "Plain".

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

/// The values as a column of the type `wanted`, behind a null where `nullable`. `None` for types other than numbers,
/// times and text, and where the bytes are not so many values.
pub(super) fn values(bytes: &[u8], count: u32, wanted: &DataType, nullable: bool) -> Option<ArrayRef> {
    let null = usize::from(nullable);
    let plain: ArrayRef = match wanted {
        DataType::Int32 => Arc::new(fixed(bytes, null, i32::from_le_bytes).collect::<Int32Array>()),
        DataType::Int64 | DataType::Timestamp(..) => {
            Arc::new(fixed(bytes, null, i64::from_le_bytes).collect::<Int64Array>())
        }
        DataType::Float32 => Arc::new(fixed(bytes, null, f32::from_le_bytes).collect::<Float32Array>()),
        DataType::Float64 => Arc::new(fixed(bytes, null, f64::from_le_bytes).collect::<Float64Array>()),
        DataType::Utf8 => Arc::new(texts(bytes, null)?),
        DataType::Dictionary(_, text) if **text == DataType::Utf8 => Arc::new(texts(bytes, null)?),
        _ => return None,
    };
    let complete = plain.len() == usize::try_from(count).ok()?.checked_add(null)?;
    complete.then(|| cast(&plain, wanted).ok()).flatten()
}

fn fixed<const WIDTH: usize, T>(
    bytes: &[u8],
    nulls: usize,
    number: impl Fn([u8; WIDTH]) -> T,
) -> impl Iterator<Item = Option<T>> {
    let (values, _) = bytes.as_chunks::<WIDTH>();
    std::iter::repeat_with(|| None).take(nulls).chain(values.iter().map(move |value| Some(number(*value))))
}

fn texts(mut bytes: &[u8], nulls: usize) -> Option<StringArray> {
    let mut texts: Vec<Option<&str>> = vec![None; nulls];
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        texts.push(Some(std::str::from_utf8(text).ok()?));
        bytes = rest;
    }
    Some(StringArray::from(texts))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_become_a_column_behind_a_null() {
        let bytes: Vec<u8> = [3i64, -4].iter().flat_map(|value| value.to_le_bytes()).collect();
        let times = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
        let found = values(&bytes, 2, &times, true).unwrap();
        assert_eq!((found.data_type(), found.len(), found.null_count()), (&times, 3, 1));
        let text = [&[1, 0, 0, 0][..], b"Y", &[0, 0, 0, 0]].concat();
        let found = values(&text, 2, &DataType::Utf8, false).unwrap();
        assert_eq!(found.as_ref(), &StringArray::from(vec!["Y", ""]) as &dyn Array);
    }

    #[test]
    fn bytes_that_are_not_so_many_values_are_none() {
        assert!(values(&[0; 12], 2, &DataType::Int64, false).is_none());
        assert!(values(&[9, 0, 0, 0, b'Y'], 1, &DataType::Utf8, false).is_none());
        assert!(values(&[1, 0, 0, 0, 0xff], 1, &DataType::Utf8, false).is_none());
        assert!(values(&[1, 0], 1, &DataType::Utf8, false).is_none());
    }
}
