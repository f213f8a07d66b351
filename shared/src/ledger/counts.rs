//! What became of the rows.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Rows by fate. `read = kept + quarantined + filtered` in every record, or rows were lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows of the source.
    pub read: u64,
    /// Rows that reached the output.
    pub kept: u64,
    /// Rows set aside with their reasons.
    pub quarantined: u64,
    /// Rows left out on purpose: by the filter, or by an expectation whose action is `drop`.
    pub filtered: u64,
    /// Rows made of the kept ones: equal to `kept` unless the dataset explodes records.
    pub written: u64,
}

impl RowCounts {
    /// Whether every row read has exactly one fate.
    pub fn conserved(&self) -> bool {
        let fates = self.kept.checked_add(self.quarantined).and_then(|sum| sum.checked_add(self.filtered));
        fates == Some(self.read)
    }
}

impl AddAssign for RowCounts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.kept += other.kept;
        self.quarantined += other.quarantined;
        self.filtered += other.filtered;
        self.written += other.written;
    }
}
