//! Lengths that a DELTA_LENGTH_BYTE_ARRAY or DELTA_BYTE_ARRAY page claims to hold: the decoder allocates them before it
//! reads them, so they are counted first.
//!
//! Formats: parquet-format's `Encodings.md`.

use parquet::basic::Encoding;
use parquet::column::page::Page;
use parquet::schema::types::ColumnDescriptor;

/// Checks a data page: `Err` tells what it claims.
pub(super) fn check(page: &Page, column: &ColumnDescriptor) -> Result<(), String> {
    let (values, encoding) = match page {
        Page::DataPage { num_values, encoding, .. } | Page::DataPageV2 { num_values, encoding, .. } => {
            (u64::from(*num_values), *encoding)
        }
        Page::DictionaryPage { .. } => return Ok(()),
    };
    let streams = match encoding {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        // The lengths of the prefixes, then those of the suffixes.
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => return Ok(()),
    };
    let cut_short = || "its lengths end too early".to_owned();
    let mut rest = behind_levels(page, column).ok_or_else(cut_short)?;
    if values == 0 || rest.is_empty() {
        return Ok(());
    }
    for _ in 0..streams {
        let total = Stream::new(rest).ok_or_else(cut_short)?;
        if total.values > values {
            return Err(format!("a page of {values} values claims {} lengths", total.values));
        }
        rest = total.skip().ok_or_else(cut_short)?;
    }
    Ok(())
}

/// The bytes of a data page behind its levels.
fn behind_levels<'a>(page: &'a Page, column: &ColumnDescriptor) -> Option<&'a [u8]> {
    match page {
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            let levels = def_levels_byte_len.checked_add(*rep_levels_byte_len)?;
            buf.get(usize::try_from(levels).ok()?..)
        }
        Page::DataPage { buf, num_values, rep_level_encoding, def_level_encoding, .. } => {
            let mut rest: &[u8] = buf;
            let levels = [(column.max_rep_level(), rep_level_encoding), (column.max_def_level(), def_level_encoding)];
            for (max, encoding) in levels {
                if max <= 0 {
                    continue;
                }
                let length = if *encoding == Encoding::RLE {
                    let (length, behind) = rest.split_first_chunk::<4>()?;
                    rest = behind;
                    u64::from(u32::from_le_bytes(*length))
                } else {
                    // The deprecated BIT_PACKED: as many bits as the largest level needs, for each value.
                    let bits = u64::from(i16::BITS - max.leading_zeros());
                    u64::from(*num_values).checked_mul(bits)?.div_ceil(8)
                };
                rest = rest.get(usize::try_from(length).ok()?..)?;
            }
            Some(rest)
        }
        Page::DictionaryPage { .. } => None,
    }
}

/// A DELTA_BINARY_PACKED stream.
struct Stream<'a> {
    values: u64,
    mini_values: u64,
    minis: usize,
    rest: &'a [u8],
}

impl<'a> Stream<'a> {
    fn new(mut rest: &'a [u8]) -> Option<Self> {
        let block_values = varint(&mut rest)?;
        let minis = varint(&mut rest)?;
        let values = varint(&mut rest)?;
        varint(&mut rest)?;
        let mini_values = block_values.checked_div(minis).filter(|values| *values > 0)?;
        Some(Self { values, mini_values, minis: usize::try_from(minis).ok()?, rest })
    }

    /// What follows the stream.
    fn skip(self) -> Option<&'a [u8]> {
        let mut rest = self.rest;
        // The first value stands in the header.
        let mut left = self.values.saturating_sub(1);
        while left > 0 {
            varint(&mut rest)?;
            let (widths, behind) = rest.split_at_checked(self.minis)?;
            rest = behind;
            for width in widths {
                if left == 0 {
                    break;
                }
                let bytes = self.mini_values.checked_mul(u64::from(*width))?.div_ceil(8);
                rest = rest.get(usize::try_from(bytes).ok()?..)?;
                left = left.saturating_sub(self.mini_values);
            }
        }
        Some(rest)
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use parquet::basic::Type as PhysicalType;
    use parquet::schema::types::{ColumnPath, Type};

    use super::*;

    fn column(max_level: i16) -> ColumnDescriptor {
        let leaf = Type::primitive_type_builder("text", PhysicalType::BYTE_ARRAY).build().unwrap();
        ColumnDescriptor::new(Arc::new(leaf), max_level, 0, ColumnPath::from("text"))
    }

    fn page(bytes: Vec<u8>, num_values: u32, encoding: Encoding) -> Page {
        Page::DataPage {
            buf: Bytes::from(bytes),
            num_values,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }
    }

    /// Blocks of 128 values in 4 parts; `total` values, the first one 0.
    fn stream(total: &[u8]) -> Vec<u8> {
        [&[0x80, 0x01, 0x04], total, &[0x00]].concat()
    }

    #[test]
    fn more_lengths_than_values_are_refused_before_they_are_allocated() {
        let huge = stream(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
        for encoding in [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
            let told = check(&page(huge.clone(), 3, encoding), &column(0)).unwrap_err();
            assert_eq!(told, "a page of 3 values claims 562949953421311 lengths");
        }
        // The suffixes' lengths stand behind the prefixes': one value, nothing to skip.
        let second = [stream(&[1]), huge].concat();
        assert!(check(&page(second.clone(), 3, Encoding::DELTA_BYTE_ARRAY), &column(0)).is_err());
        assert!(check(&page(second, 3, Encoding::DELTA_LENGTH_BYTE_ARRAY), &column(0)).is_ok());
    }

    #[test]
    fn levels_before_the_lengths_are_passed_over() {
        let levels = [&[2, 0, 0, 0, 6, 1][..], &stream(&[3]), &[0, 0, 0, 0, 0]].concat();
        assert_eq!(check(&page(levels.clone(), 3, Encoding::DELTA_LENGTH_BYTE_ARRAY), &column(1)), Ok(()));
        assert!(check(&page(levels, 2, Encoding::DELTA_LENGTH_BYTE_ARRAY), &column(1)).is_err());
    }

    #[test]
    fn levels_that_reach_beyond_the_page_are_refused() {
        let levels = vec![0xff, 0xff, 0xff, 0xff, 6, 1];
        assert!(check(&page(levels, 3, Encoding::DELTA_LENGTH_BYTE_ARRAY), &column(1)).is_err());
    }
}
