//! When a request is made again, and after how long.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use http::StatusCode;

/// The patience of a client.
#[derive(Debug, Clone)]
pub struct WebOptions {
    /// To resolve a name, and to connect to one address.
    pub connect: Duration,
    /// Until an answer begins.
    pub answer: Duration,
    /// Until the next bytes of a body come.
    pub idle: Duration,
    /// Until a range's body is there. What came by then is kept, and the rest asked for anew: no server drips for ever.
    pub body: Duration,
    /// Requests in a row that bring no byte further, before the read fails.
    pub attempts: u32,
    /// The wait before the second request; it doubles with each further one.
    pub first_delay: Duration,
    /// The longest wait, also where the server asks for a longer one.
    pub max_delay: Duration,
}

impl Default for WebOptions {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(20),
            idle: Duration::from_secs(20),
            body: Duration::from_secs(60),
            attempts: 6,
            first_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(10),
        }
    }
}

impl WebOptions {
    /// The wait before the next request after `failures` in a row: half of it sure, half of it by chance, so that many
    /// readers do not come back at once. `asked` is the server's own wish (`Retry-After`).
    pub(super) fn delay(&self, failures: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first_delay.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.max_delay);
        let half = doubled / 2;
        let chance = chance(u64::try_from(half.as_micros()).unwrap_or(u64::MAX));
        let wait = half + Duration::from_micros(chance);
        asked.map_or(wait, |asked| asked.min(self.max_delay).max(wait))
    }
}

/// A number up to `most`, by the random keys of a new hasher.
fn chance(most: u64) -> u64 {
    RandomState::new().build_hasher().finish() % most.saturating_add(1)
}

/// Whether the same request may be answered otherwise in a moment.
pub(super) fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        let options = WebOptions::default();
        for failures in 1..40 {
            let full = Duration::from_millis(200).saturating_mul(1 << (failures - 1).min(16)).min(options.max_delay);
            let wait = options.delay(failures, None);
            assert!(wait >= full / 2 && wait <= full, "{failures}: {wait:?}");
        }
        let waits: std::collections::HashSet<Duration> = (0..20).map(|_| options.delay(3, None)).collect();
        assert!(waits.len() > 1);
    }

    #[test]
    fn a_server_is_heard_up_to_the_bound() {
        let options = WebOptions::default();
        assert_eq!(options.delay(1, Some(Duration::from_secs(3))), Duration::from_secs(3));
        assert_eq!(options.delay(1, Some(Duration::from_secs(3_600))), options.max_delay);
    }
}
