//! The plain bytes in hand: whole records are taken from the front, more comes behind.

use std::sync::Arc;

use super::inflate::Inflow;
use super::scan::too_long;
use crate::Result;

/// Plain bytes that are taken in at once, about.
const WINDOW_BYTES: usize = 1 << 20;

/// A window over a stream of plain bytes.
#[derive(Debug)]
pub(super) struct Window {
    inflow: Inflow,
    /// Shared with the batches made of it.
    pub bytes: Arc<Vec<u8>>,
    /// The next record's start.
    pub at: usize,
    /// Whether nothing comes behind.
    pub ended: bool,
    record_bytes: u64,
    uri: String,
}

impl Window {
    pub fn new(inflow: Inflow, record_bytes: u64, uri: String) -> Self {
        Self { inflow, bytes: Arc::default(), at: 0, ended: false, record_bytes, uri }
    }

    /// Whether every byte was taken.
    pub fn is_done(&self) -> bool {
        self.ended && self.at >= self.bytes.len()
    }

    /// Refuses a record above the limit, which starts at `line`.
    pub fn allow(&self, record_bytes: usize, line: u64) -> Result<()> {
        match u64::try_from(record_bytes).unwrap_or(u64::MAX) > self.record_bytes {
            true => Err(too_long(&self.uri, line, self.record_bytes)),
            false => Ok(()),
        }
    }

    /// An [`crate::Error::Source`] of the file that this is of.
    pub fn error(&self, problem: String) -> crate::Error {
        crate::Error::source(&self.uri, problem)
    }

    /// Moves on: what is left goes to the front, and more behind it. `line` is where what is left starts.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Limit`] where what is left, a piece of one record, is above the limit already.
    pub fn advance(&mut self, line: u64) -> Result<()> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.allow(rest.len(), line)?;
        // A record of many windows is looked at again with each: twice as much each time keeps that bounded.
        let wanted = WINDOW_BYTES.max(rest.len());
        let mut fresh = Vec::with_capacity(rest.len() + wanted + WINDOW_BYTES / 4);
        fresh.extend_from_slice(rest);
        let enough = fresh.len() + wanted;
        while fresh.len() < enough {
            if !self.inflow.fill(&mut fresh)? {
                self.ended = true;
                break;
            }
        }
        self.bytes = Arc::new(fresh);
        self.at = 0;
        Ok(())
    }
}
