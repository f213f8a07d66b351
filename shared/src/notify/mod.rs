//! Channels that tell people how runs ended: an SNS topic, a webhook, a log. When and how often they are tried is
//! [`crate::pipeline::notices`]'; what they say is composed here, without any I/O.

pub mod figures;
mod log;
mod message;
#[cfg(feature = "notify")]
mod secret;
mod slack;
#[cfg(feature = "notify")]
mod sns;
#[cfg(feature = "aws")]
mod webhook;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

pub use log::Heard;
pub use message::{Message, compose};
#[cfg(feature = "notify")]
pub use secret::SecretUrl;
#[cfg(feature = "notify")]
pub use sns::Topic;
#[cfg(feature = "aws")]
pub use webhook::{FixedUrl, Url, Webhook};

/// How long a channel that was down is spared by runs that have just ended, milliseconds: a thousand runs must not wait for
/// it one after the other.
const REST_MS: i64 = 30_000;

/// Why a channel did not take a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It may take it later.
    #[error("{0}")]
    Down(String),
    /// It will never take this message.
    #[error("{0}")]
    Refused(String),
}

/// What a channel answered.
pub type Told = Result<(), Problem>;

/// Tells people of a run that ended. May be asked several times for one run: a reply may be lost.
#[async_trait]
pub trait Notify: Debug + Send + Sync {
    /// A word for it in the ledger: unique among the channels of a deployment.
    fn name(&self) -> &'static str;

    /// Delivers the message within seconds, or says why not. Problems hold no secret: they are logged.
    async fn tell(&self, message: &Message) -> Told;
}

/// The channels of a deployment.
#[derive(Debug)]
pub struct Channels {
    all: Vec<Arc<dyn Notify>>,
    rest_until_ms: Mutex<BTreeMap<String, i64>>,
}

impl Channels {
    /// These channels; `None` where there are none.
    pub fn of(all: Vec<Arc<dyn Notify>>) -> Option<Self> {
        (!all.is_empty()).then(|| Self { all, rest_until_ms: Mutex::default() })
    }

    /// Each of them.
    pub fn all(&self) -> &[Arc<dyn Notify>] {
        &self.all
    }

    /// Whether a channel was down a moment ago.
    pub fn rests(&self, name: &str, now_ms: i64) -> bool {
        let until_ms = self.rest_until_ms.lock().unwrap_or_else(PoisonError::into_inner);
        until_ms.get(name).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// Notes that a channel is down.
    pub fn rest(&self, name: &str, now_ms: i64) {
        let mut until_ms = self.rest_until_ms.lock().unwrap_or_else(PoisonError::into_inner);
        // Not moved on by a run that spared it.
        let until = until_ms.entry(name.to_owned()).or_default();
        if *until <= now_ms {
            *until = now_ms + REST_MS;
        }
    }
}
