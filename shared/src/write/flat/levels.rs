//! Definition levels of a column that may be null: 0 for a null, 1 for a value, as runs and bits.

use arrow::array::BooleanBufferBuilder;

use super::hybrid;
use super::selected::WrittenRows;

/// Which rows of a page have a value.
#[derive(Debug)]
pub(super) struct Levels {
    bits: BooleanBufferBuilder,
    nulls: usize,
}

impl Levels {
    pub fn new() -> Self {
        Self { bits: BooleanBufferBuilder::new(0), nulls: 0 }
    }

    /// Appends rows.
    pub fn append(&mut self, rows: &WrittenRows) {
        match &rows.nulls {
            Some(nulls) => {
                self.nulls += nulls.null_count();
                self.bits.append_buffer(nulls.inner());
            }
            None => self.bits.append_n(rows.count, true),
        }
    }

    /// Appends one row.
    pub fn push(&mut self, is_valid: bool) {
        self.nulls += usize::from(!is_valid);
        self.bits.append(is_valid);
    }

    pub fn rows(&self) -> usize {
        self.bits.len()
    }

    pub fn nulls(&self) -> usize {
        self.nulls
    }

    /// Writes the levels with their length before them, as version 1 pages want it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([0; 4]);
        hybrid::encode_bits(self.bits.as_slice(), self.bits.len(), self.nulls, out);
        let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
        if let Some(slot) = out.get_mut(start..start + 4) {
            slot.copy_from_slice(&length.to_le_bytes());
        }
    }

    pub fn clear(&mut self) {
        self.bits.truncate(0);
        self.nulls = 0;
    }
}
