//! What the AWS backends share: pauses between attempts, and errors in words.

use std::error::Error;
use std::time::Duration;

/// The first pause between attempts; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Pauses between attempts, each twice as long as the last, up to a number of attempts.
#[derive(Debug)]
pub(crate) struct Pauses {
    left: u32,
    next: Duration,
}

impl Pauses {
    pub(crate) fn new(attempts: u32) -> Self {
        Self { left: attempts.saturating_sub(1), next: FIRST_PAUSE }
    }

    /// Waits between a half and the whole of the pause, so that those who met do not meet again. False, at once, when
    /// no attempt is left.
    pub(crate) async fn pause(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let share = u32::try_from(ulid::Ulid::generate().random() % 512).unwrap_or(0);
        tokio::time::sleep(self.next / 2 + self.next / 1_024 * share).await;
        self.next *= 2;
        true
    }
}

/// An error and what caused it, without the request and response that its debug form holds.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
