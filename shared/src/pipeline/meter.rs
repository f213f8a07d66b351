//! How much of the sources in hand is cleaned, for whoever shows it while a long file is still at work.

#[cfg(feature = "process")]
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows and source bytes that the slices of this process have cleaned so far. A slice that fails takes its own back.
#[derive(Debug, Default)]
pub struct Meter {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    /// Source rows, or records.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Bytes of the sources, compressed as they are. Of Parquet: the rows' share of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What one slice adds to a [`Meter`]. Taken back when it is dropped, unless it is [`kept`](Self::keep).
#[derive(Debug)]
#[cfg(feature = "process")]
pub(super) struct Metered {
    meter: Arc<Meter>,
    rows: u64,
    bytes: u64,
}

#[cfg(feature = "process")]
impl Metered {
    pub fn on(meter: &Arc<Meter>) -> Self {
        Self { meter: Arc::clone(meter), rows: 0, bytes: 0 }
    }

    pub fn add_rows(&mut self, rows: u64) {
        self.rows += rows;
        self.meter.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Rows of this slice, so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The slice has come so far, in bytes.
    pub fn reach(&mut self, bytes: u64) {
        let more = bytes.saturating_sub(self.bytes);
        self.bytes += more;
        self.meter.bytes.fetch_add(more, Ordering::Relaxed);
    }

    /// The slice is done.
    pub fn keep(mut self) {
        (self.rows, self.bytes) = (0, 0);
    }
}

#[cfg(feature = "process")]
impl Drop for Metered {
    fn drop(&mut self) {
        self.meter.rows.fetch_sub(self.rows, Ordering::Relaxed);
        self.meter.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(all(test, feature = "process"))]
mod tests {
    use super::*;

    #[test]
    fn a_slice_that_fails_takes_its_rows_and_bytes_back() {
        let meter = Arc::new(Meter::default());
        let (mut done, mut failing) = (Metered::on(&meter), Metered::on(&meter));
        done.add_rows(10);
        done.reach(100);
        done.reach(90);
        failing.add_rows(5);
        failing.reach(50);
        assert_eq!((meter.rows(), meter.bytes()), (15, 150));
        drop(failing);
        done.keep();
        assert_eq!((meter.rows(), meter.bytes()), (10, 100));
    }
}
