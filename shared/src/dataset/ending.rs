//! `[retry]` and `[notify]`: what happens when something fails, and who is told how a run ended.

use std::time::Duration;

use serde::Deserialize;

use super::DatasetSpec;
use super::problem::Problem;

/// The most attempts that a dataset may ask for. The queues' `maxReceiveCount` in `template.yaml` is above it.
pub const MAX_ATTEMPTS: u64 = 12;
/// The longest wait between two attempts. SQS hides a message for 12 hours at most.
const MAX_WAIT: Duration = Duration::from_secs(3_600);

/// `[retry]`: a message whose work failed in a way that may pass is received again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySpec {
    /// Receives of one message, the first included, after which its run ends as failed with the last error.
    pub attempts: u64,
    /// The wait before the second attempt; it doubles with each further one.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub backoff: Duration,
    /// The longest wait.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub ceiling: Duration,
}

impl Default for RetrySpec {
    /// Ten attempts over some 14 minutes: longer than most disturbances of S3.
    fn default() -> Self {
        Self { attempts: 10, backoff: Duration::from_secs(2), ceiling: Duration::from_secs(300) }
    }
}

/// `[notify]`: which ends of runs are told, where the deployment has a channel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifySpec {
    /// Absent: all of them. Empty: none.
    pub on: Vec<Ending>,
}

impl Default for NotifySpec {
    fn default() -> Self {
        Self { on: vec![Ending::Complete, Ending::Failed, Ending::Superseded] }
    }
}

/// How a run may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// Published.
    Complete,
    /// Closed by an error.
    Failed,
    /// A newer version or a later request took its place.
    Superseded,
}

/// What is wrong with the two tables.
pub(super) fn problems(spec: &DatasetSpec) -> Vec<Problem> {
    let Some(retry) = &spec.retry else { return Vec::new() };
    let mut found = Vec::new();
    let mut add = |key: &str, what: String| found.push(Problem { path: format!("retry.{key}"), what });
    if !(1..=MAX_ATTEMPTS).contains(&retry.attempts) {
        add("attempts", format!("`attempts` is {}: write 1 to {MAX_ATTEMPTS}", retry.attempts));
    }
    if retry.ceiling > MAX_WAIT {
        add("ceiling", "`ceiling` is above an hour: write a shorter one, such as `5m`".to_owned());
    }
    if retry.backoff > retry.ceiling {
        add("backoff", "`backoff` is above `ceiling`, the longest wait: lower it, or raise `ceiling`".to_owned());
    }
    found
}
