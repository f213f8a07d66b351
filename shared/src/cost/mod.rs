//! What a run costs on AWS: prices, the requests that the protocol makes, and the sum over a run's records.
//!
//! A run's outcome holds what it took ([`Took`]): times and memory as measured, requests as the protocol makes them. The
//! command `rowmill check` estimates the same before a run, from footers. Left out of both: the free tier, storage,
//! transfer out of the region, logs, attempts that failed and the pollers' empty receives.

mod prices;
mod requests;
mod took;

use serde::{Deserialize, Serialize};

pub use prices::{Architecture, Prices};
pub use requests::{Requests, Shape};
pub use took::Took;

/// What an invocation used, or the part of one that planned or cleaned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Wall time, milliseconds: what Lambda bills, but for the last few.
    pub duration_ms: u64,
    /// The function's memory, MiB; absent where no function ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// The most memory that the process has used until then, MiB; absent where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_mib: Option<u64>,
}

impl Usage {
    /// GB-seconds as Lambda bills them: a GB is 1,024 MiB. Zero where no function ran.
    pub fn gb_seconds(&self) -> f64 {
        gb_seconds(self.duration_ms, self.memory_mib.unwrap_or(0))
    }
}

/// GB-seconds of so many milliseconds of a function of so many MiB.
pub fn gb_seconds(duration_ms: u64, memory_mib: u64) -> f64 {
    float(duration_ms) / 1_000.0 * float(memory_mib) / 1_024.0
}

#[expect(clippy::cast_precision_loss, reason = "amounts to be shown: the error is below one part in 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}
