//! What a plan would need on a deployed stack, told from footers before a row is read. A simple model: its assumptions are the
//! constants below, and `check` prints them.

use rowmill::cost::{Architecture, Prices, Requests, Shape as Asked, gb_seconds};
use serde::Serialize;

/// CPU time of a Parquet value (a row of a column) read, cleaned and written, nanoseconds. Measured: `rowmill run
/// --workers 1 --dataset infra/datasets/fhvhv.toml`, optimised build, over 10 million made-up trips of 24 columns in one
/// row group, and as many in uneven ones; user and system time over 240 million values: 34 and 35.
const NANOSECONDS_A_VALUE: f64 = 34.0;
/// CPU time of a byte of text read, cleaned and written, nanoseconds: 65 MB a second. An assumption on the safe side.
const NANOSECONDS_A_BYTE: f64 = 15.0;
/// Bytes of text in a compressed byte: what CSV and JSON of events come to, about.
const COMPRESSED_TEXT: f64 = 8.0;
/// Lambda gives one vCPU for each 1,769 MiB ("Configure Lambda function memory", Lambda's developer guide).
const MIB_A_VCPU: f64 = 1_769.0;
/// What each slice takes besides: start, footer, uploads, records; seconds. An assumption.
const SECONDS_A_SLICE: f64 = 0.6;
/// What a plan takes: the footer, the ledger; seconds. An assumption.
const SECONDS_A_PLAN: f64 = 0.3;
/// What publishing takes, and each upload of it, 32 at once; seconds. Assumptions.
const SECONDS_A_PUBLICATION: f64 = 0.8;
const SECONDS_AN_UPLOAD: f64 = 0.1 / 32.0;

/// Bytes of a part of an upload.
const UPLOAD_BYTES: u64 = 8 << 20;
/// The process with its code, its buffers of reads under way (64 MiB) and of an upload's part (16 MiB).
const BASE_BYTES: f64 = 200e6;
/// The row group in the making and the source's pages in hand, as multiples of their compressed bytes.
const COMPRESSED_MULTIPLE: f64 = 3.0;

/// A value of the row group that a partitioned output gathers, in bytes: most are numbers and times.
const GATHERED_VALUE_BYTES: f64 = 8.0;
/// What a partitioned output gathers at most (`pipeline::partitions`).
const GATHERED_BYTES: f64 = 268_435_456.0;

/// What the slices run on.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// The processor's memory, MiB.
    pub processor_mib: u64,
    /// The finalizer's memory, MiB.
    pub finalizer_mib: u64,
    /// Cores that a slice has.
    pub cores: f64,
    /// CPU time of a value, nanoseconds.
    pub nanoseconds_a_value: f64,
    /// What a plan, a slice and a publication take besides, as a share of what they take over S3.
    pub overhead: f64,
}

impl Machine {
    /// The template's defaults.
    pub const TEMPLATE: Self = Self {
        processor_mib: 3_008,
        finalizer_mib: 1_024,
        cores: 3_008.0 / MIB_A_VCPU,
        nanoseconds_a_value: NANOSECONDS_A_VALUE,
        overhead: 1.0,
    };
}

/// What goes in.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The source's bytes.
    pub bytes: u64,
    /// Whether it is text, and its bytes are what takes time; and whether it is compressed.
    pub text: Option<Packed>,
    /// Its rows.
    pub rows: f64,
    /// Its columns.
    pub columns: f64,
    /// Slices planned.
    pub slices: u64,
    /// Whether rows may be set aside: then some are, in most slices.
    pub sets_aside: bool,
    /// Source rows per output row group.
    pub row_group_rows: f64,
    /// Whether the output is partitioned.
    pub partitioned: bool,
}

/// How a text lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed {
    /// As it is.
    Plain,
    /// Compressed.
    Compressed,
}

/// What comes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Peak memory of one slice's function, bytes.
    pub memory_bytes: u64,
    /// Seconds of one slice.
    pub slice_seconds: f64,
    /// Seconds of all invocations.
    pub seconds: f64,
    /// Invocations of checker, processor and finalizer.
    pub invocations: u64,
    /// Over all invocations.
    pub gb_seconds: f64,
    /// To S3 and SQS.
    pub requests: Requests,
    /// Lambda, S3 and SQS, US dollars.
    pub dollars: f64,
}

impl Estimate {
    /// The estimate of one source.
    pub fn of(shape: Shape, machine: &Machine, prices: &Prices, architecture: Architecture) -> Self {
        let bytes = float(shape.bytes);
        let slices = float(shape.slices.max(1));
        let group_bytes = bytes / shape.rows.max(1.0) * shape.row_group_rows.min(shape.rows);
        let gathered = shape.row_group_rows.min(shape.rows) * shape.columns * GATHERED_VALUE_BYTES;
        let gathered = if shape.partitioned { gathered.min(GATHERED_BYTES) } else { 0.0 };
        let memory = BASE_BYTES + COMPRESSED_MULTIPLE * group_bytes + gathered;

        let nanoseconds = match shape.text {
            None => shape.rows * shape.columns * machine.nanoseconds_a_value,
            Some(Packed::Plain) => bytes * NANOSECONDS_A_BYTE,
            Some(Packed::Compressed) => bytes * COMPRESSED_TEXT * NANOSECONDS_A_BYTE,
        };
        let cleaning = nanoseconds / 1e9 / machine.cores + slices * SECONDS_A_SLICE * machine.overhead;
        let planning = SECONDS_A_PLAN * machine.overhead;
        let publishing = (SECONDS_A_PUBLICATION + slices * SECONDS_AN_UPLOAD) * machine.overhead;
        let gb_seconds = gb_seconds(milliseconds(planning + cleaning), machine.processor_mib)
            + gb_seconds(milliseconds(publishing), machine.finalizer_mib);

        let uploads = shape.slices * if shape.sets_aside { 2 } else { 1 };
        let asked = Asked {
            slices: shape.slices,
            uploads,
            // Each ends with a part that is not full.
            upload_parts: shape.bytes / UPLOAD_BYTES + uploads,
            source_bytes: shape.bytes,
        };
        let (invocations, requests) = (asked.invocations(), Requests::of(asked));
        let dollars = gb_seconds * prices.gb_second(architecture)
            + float(invocations) * prices.invocation
            + requests.dollars(prices);
        Self {
            memory_bytes: whole(memory),
            slice_seconds: cleaning / slices,
            seconds: planning + cleaning + publishing,
            invocations,
            gb_seconds,
            requests,
            dollars,
        }
    }

    /// Sums of costs; the largest memory.
    pub fn plus(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            slice_seconds: self.slice_seconds.max(other.slice_seconds),
            seconds: self.seconds + other.seconds,
            invocations: self.invocations + other.invocations,
            gb_seconds: self.gb_seconds + other.gb_seconds,
            requests: self.requests.plus(other.requests),
            dollars: self.dollars + other.dollars,
        }
    }
}

fn milliseconds(seconds: f64) -> u64 {
    whole(seconds * 1_000.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate, saturating")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(number: u64) -> f64 {
    number as f64
}

/// The assumptions, for people.
pub fn assumptions(prices: &Prices, architecture: Architecture) -> String {
    let Machine { processor_mib, finalizer_mib, cores, nanoseconds_a_value, .. } = Machine::TEMPLATE;
    format!(
        "estimates assume the template's functions ({} and {} MiB, {}), {cores:.1} cores a slice, {nanoseconds_a_value} ns a value \
         ({NANOSECONDS_A_BYTE} ns a byte of text),\n{SECONDS_A_SLICE} s a slice besides, and us-east-1's prices: ${} a \
         GB-second, requests to S3 and SQS, no free tier, no storage; expect a\n\
         factor of 2 either way\n",
        processor_mib,
        finalizer_mib,
        architecture.name(),
        prices.gb_second(architecture),
    )
}

#[cfg(test)]
mod tests;
