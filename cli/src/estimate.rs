//! What a plan would need on a deployed stack. A simple model: its assumptions are the constants below, and `check`
//! prints them.

use serde::Serialize;

/// The processor's memory, GiB: the template's default.
pub const FUNCTION_GIB: f64 = 2.0;
/// Values (rows times columns) that such a function reads, cleans and writes a second. An assumption on the safe side:
/// a function of 2 GiB has 1.2 of a core.
pub const VALUES_A_SECOND: f64 = 10_000_000.0;
/// What each slice costs besides: start, footer, uploads, records; seconds.
pub const SECONDS_A_SLICE: f64 = 0.6;
/// Lambda on arm64 in us-east-1, dollars a GB-second (aws.amazon.com/lambda/pricing).
pub const DOLLARS_A_GB_SECOND: f64 = 0.000_013_333_4;
/// Lambda, dollars an invocation (the same page).
pub const DOLLARS_AN_INVOCATION: f64 = 0.000_000_2;
/// S3 Standard in us-east-1, dollars a PUT, POST or LIST (aws.amazon.com/s3/pricing).
pub const DOLLARS_A_PUT: f64 = 0.000_005;
/// S3 Standard in us-east-1, dollars a GET (the same page).
pub const DOLLARS_A_GET: f64 = 0.000_000_4;

/// Bytes of a ranged GET, and of a part of an upload.
const REQUEST_BYTES: f64 = 8_388_608.0;
/// GETs of a slice besides its rows: the footer, the ledger.
const GETS_A_SLICE: f64 = 6.0;
/// PUTs of a slice besides its rows: uploads begun and completed, the ledger.
const PUTS_A_SLICE: f64 = 8.0;
/// The process with its code, its buffers of reads under way (64 MiB) and of an upload's part (16 MiB).
const BASE_BYTES: f64 = 200e6;
/// The row group in the making and the source's pages in hand, as multiples of their compressed bytes.
const COMPRESSED_MULTIPLE: f64 = 3.0;

/// A value of the row group that a partitioned output gathers, in bytes: most are numbers and times.
const GATHERED_VALUE_BYTES: f64 = 8.0;
/// What a partitioned output gathers at most (`pipeline::partitions`).
const GATHERED_BYTES: f64 = 268_435_456.0;

/// What goes in.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The source's bytes.
    pub bytes: f64,
    /// Its rows.
    pub rows: f64,
    /// Its columns.
    pub columns: f64,
    /// Slices planned.
    pub slices: f64,
    /// Source rows per output row group.
    pub row_group_rows: f64,
    /// Whether the output is partitioned.
    pub partitioned: bool,
}

/// What comes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Peak memory of one slice's function, bytes.
    pub memory_bytes: u64,
    /// Seconds of one slice.
    pub slice_seconds: f64,
    /// Over all slices.
    pub gb_seconds: f64,
    /// Lambda and S3 requests, US dollars.
    pub dollars: f64,
}

impl Estimate {
    /// The estimate of one source.
    pub fn of(shape: Shape) -> Self {
        let slices = shape.slices.max(1.0);
        let group_bytes = shape.bytes / shape.rows.max(1.0) * shape.row_group_rows.min(shape.rows);
        let gathered = shape.row_group_rows.min(shape.rows) * shape.columns * GATHERED_VALUE_BYTES;
        let gathered = if shape.partitioned { gathered.min(GATHERED_BYTES) } else { 0.0 };
        let memory = BASE_BYTES + COMPRESSED_MULTIPLE * group_bytes + gathered;
        let seconds = shape.rows * shape.columns / VALUES_A_SECOND + slices * SECONDS_A_SLICE;
        let gb_seconds = seconds * FUNCTION_GIB;
        let requests = shape.bytes / REQUEST_BYTES;
        // A file message and a finalize message besides the slices.
        let invocations = slices + 2.0;
        let dollars = gb_seconds * DOLLARS_A_GB_SECOND
            + invocations * DOLLARS_AN_INVOCATION
            + (requests + slices * GETS_A_SLICE) * DOLLARS_A_GET
            + (requests + slices * PUTS_A_SLICE) * DOLLARS_A_PUT;
        Self { memory_bytes: whole(memory), slice_seconds: seconds / slices, gb_seconds, dollars }
    }

    /// Sums of costs; the largest memory.
    pub fn plus(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            slice_seconds: self.slice_seconds.max(other.slice_seconds),
            gb_seconds: self.gb_seconds + other.gb_seconds,
            dollars: self.dollars + other.dollars,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate, saturating")]
fn whole(number: f64) -> u64 {
    number as u64
}

/// The assumptions, for people.
pub fn assumptions() -> String {
    format!(
        "estimates assume {FUNCTION_GIB} GiB functions that clean {:.0} million values a second, {SECONDS_A_SLICE} s a slice \
         besides,\nand us-east-1's prices: ${DOLLARS_A_GB_SECOND} a GB-second (arm64), S3 requests, no free tier, no storage\n",
        VALUES_A_SECOND / 1e6
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_of_fhvhv_costs_less_than_a_cent_or_two() {
        let (slices, row_group_rows, partitioned) = (18.0, 1_048_576.0, false);
        let month = Shape { bytes: 450e6, rows: 18.5e6, columns: 24.0, slices, row_group_rows, partitioned };
        let estimate = Estimate::of(month);
        let more = Estimate::of(Shape { partitioned: true, ..month }).memory_bytes - estimate.memory_bytes;
        assert!((100_000_000..300_000_000).contains(&more), "{more}");
        assert!((0.0005..0.02).contains(&estimate.dollars), "{estimate:?}");
        assert!(estimate.memory_bytes < 1_000_000_000, "{estimate:?}");
    }
}
