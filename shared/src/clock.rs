//! Where time and new names come from, so that a simulation can supply both.

use std::fmt::Debug;

use ulid::Ulid;

/// Tells the time and makes names. Ask it instead of the system, so that a seed decides a whole test.
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> i64;

    /// A new ULID: sorts behind those made in earlier milliseconds.
    fn new_id(&self) -> String {
        let now_ms = u64::try_from(self.now_ms()).unwrap_or(0);
        Ulid::from_parts(now_ms, Ulid::generate().random()).to_string()
    }
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }
}
