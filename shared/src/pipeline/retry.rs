//! What becomes of a message whose work failed in a way that may pass: the dataset's `[retry]`.
//!
//! Three bounds lie around one message. The SDK tries a call a few times within the attempt. This policy gives the message back
//! with a wait that doubles, and after `attempts` receives records what the message asked for as failed with the last error, so
//! that the run ends and says why. The queue's `maxReceiveCount` lies above every policy, and catches what dies without a word.
//!
//! A finalizer's message is waited with, but never given up here: its run is complete but for the publishing, so that it goes
//! to the dead-letter queue, and the sweep sends it again.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::message::Message;
use super::{Context, deadline};
use crate::dataset::RetrySpec;
use crate::ledger::Failure;
use crate::{Error, Result};

/// The wait of a message that nobody understands: it is on its way to the dead-letter queue, or a newer version of the
/// function, which understands it, is on its own way.
pub const UNREADABLE: Duration = Duration::from_secs(4);

/// What to do with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// Give it back, so that it is received again after this time.
    Later {
        /// The wait.
        after: Duration,
    },
    /// It is done with: what it asked for is recorded as failed, and a finalizer closes the run.
    GivenUp,
}

/// Takes care of `message`, whose work failed with `error` when it was received for the `receives`th time, under `policy`.
///
/// # Errors
///
/// Where what failed cannot be recorded: give the message back.
pub async fn failed(
    ctx: &Context,
    policy: RetrySpec,
    message: &Message,
    receives: u32,
    error: &Error,
) -> Result<Retried> {
    let may_end = matches!(message, Message::File { .. } | Message::Slice { .. });
    if !may_end || u64::from(receives) < policy.attempts {
        return Ok(Retried::Later { after: wait(policy, receives, &salt(message)) });
    }
    let failure = |what: &str| Failure {
        kind: error.kind().to_owned(),
        message: format!("{what} failed {receives} times, the last time with: {error}; mend the cause, then redrive"),
    };
    deadline::give_up(ctx, message, &failure).await?;
    tracing::error!(run_id = message.run_id(), receives, %error, "given up");
    Ok(Retried::GivenUp)
}

/// The policy of the message's dataset, as the run is pinned to it; `None` where the file has none, or cannot be read now.
pub async fn policy(ctx: &Context, message: &Message) -> Option<RetrySpec> {
    let config = match message {
        Message::File { run } | Message::Missing { run } => run.config.clone(),
        Message::Prune { .. } => return None,
        Message::Slice { dataset, run_id, .. }
        | Message::Run { dataset, run_id }
        | Message::GiveUp { dataset, run_id }
        | Message::Notice { dataset, run_id } => ctx.ledger.plan(dataset, run_id).await.ok()??.run.config,
    };
    ctx.config(&config).await.ok()?.spec.retry
}

/// What tells messages apart that fail together.
fn salt(message: &Message) -> String {
    match message {
        Message::Slice { run_id, slice, .. } => format!("{run_id} {slice}"),
        message => message.run_id().to_owned(),
    }
}

/// The wait after so many receives: it doubles up to the ceiling, less up to a quarter that the message decides, so that what
/// failed together does not come back together.
pub fn wait(policy: RetrySpec, receives: u32, salt: &str) -> Duration {
    let doublings = receives.saturating_sub(1).min(30);
    let doubled = policy.backoff.checked_mul(1 << doublings).unwrap_or(policy.ceiling).min(policy.ceiling);
    let digest = Sha256::digest(format!("{salt} {receives}").as_bytes());
    let roll = digest.first().copied().unwrap_or_default();
    doubled - doubled / 4 * u32::from(roll) / 256
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(backoff_ms: u64, ceiling_ms: u64) -> RetrySpec {
        let (backoff, ceiling) = (Duration::from_millis(backoff_ms), Duration::from_millis(ceiling_ms));
        RetrySpec { backoff, ceiling, ..RetrySpec::default() }
    }

    #[test]
    fn the_old_flows_two_seconds_stay_two_seconds_for_sqs() {
        let policy = policy(2_000, 2_000);
        for receives in 1..20 {
            let wait = wait(policy, receives, "run 1");
            assert_eq!(wait.as_millis().div_ceil(1_000), 2, "{wait:?}");
        }
    }

    proptest! {
        #[test]
        fn waits_double_within_a_quarter_and_never_pass_the_ceiling(
            backoff_ms in 1_u64..100_000,
            more_ms in 0_u64..3_600_000,
            receives in 1_u32..u32::MAX,
            salt in ".{0,40}",
        ) {
            let policy = policy(backoff_ms, backoff_ms + more_ms);
            let wait = wait(policy, receives, &salt);
            let doubled = policy.backoff.saturating_mul(1 << receives.saturating_sub(1).min(20)).min(policy.ceiling);
            prop_assert!(wait <= policy.ceiling && wait > Duration::ZERO);
            if receives <= 20 {
                prop_assert!(wait <= doubled && wait >= doubled / 4 * 3, "{wait:?} of {doubled:?}");
            }
        }
    }
}
