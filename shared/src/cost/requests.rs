//! The requests that the protocol makes for one run, as `pipeline` and `ledger` make them where nothing fails.

use serde::{Deserialize, Serialize};

use super::Prices;

/// Bytes of a ranged GET of a source, about.
const READ_BYTES: u64 = 8 << 20;

/// Of a run: the dataset file under its hash, the marker put and noted on, the plan, the pointer claimed and marked, the
/// outcome, the notice put and its delivery recorded; the list of its records by the finalizer and of its quarantine.
const PUTS_A_RUN: u64 = 11;
/// Of a slice: its record, and the list of those that are there.
const PUTS_A_SLICE: u64 = 2;
/// Of an upload: begun, looked at by the finalizer, completed.
const PUTS_AN_UPLOAD: u64 = 3;
/// Of a run: datasets, the prefixes, pointer and outcome by the checker; plan, outcome and config by the processor; outcome,
/// plan, config, pointer and source by the finalizer.
const GETS_A_RUN: u64 = 15;
/// Of an upload: what lies at its key before it is completed.
const GETS_AN_UPLOAD: u64 = 1;
/// Of a slice: plan, outcome, record, outcome again, the footer twice; the finalizer reads its record.
const GETS_A_SLICE: u64 = 7;
/// Of a message: sent, received, deleted.
const QUEUE_A_MESSAGE: u64 = 3;

/// What a run's requests depend on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// Slices planned.
    pub slices: u64,
    /// Uploads of parts and quarantine.
    pub uploads: u64,
    /// Their parts, over all.
    pub upload_parts: u64,
    /// The source's bytes.
    pub source_bytes: u64,
}

/// Requests by what they are billed as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// S3: PUT, POST and LIST.
    pub put: u64,
    /// S3: GET and HEAD.
    pub get: u64,
    /// SQS.
    pub queue: u64,
}

impl Requests {
    /// The requests of a run of this shape.
    pub fn of(shape: Shape) -> Self {
        let Shape { slices, uploads, upload_parts, source_bytes } = shape;
        Self {
            put: PUTS_A_RUN + slices * PUTS_A_SLICE + uploads * PUTS_AN_UPLOAD + upload_parts,
            get: GETS_A_RUN + slices * GETS_A_SLICE + uploads * GETS_AN_UPLOAD + source_bytes.div_ceil(READ_BYTES),
            queue: messages(slices) * QUEUE_A_MESSAGE,
        }
    }

    /// US dollars.
    pub fn dollars(&self, prices: &Prices) -> f64 {
        super::float(self.put) * prices.put
            + super::float(self.get) * prices.get
            + super::float(self.queue) * prices.queue
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Self {
        Self { put: self.put + other.put, get: self.get + other.get, queue: self.queue + other.queue }
    }
}

/// The file's, one for each slice unless there is one only, and the run's.
fn messages(slices: u64) -> u64 {
    if slices > 1 { slices + 2 } else { 2 }
}

impl Shape {
    /// Invocations: the checker's, and one for each message.
    pub fn invocations(&self) -> u64 {
        1 + messages(self.slices)
    }
}
