//! What goes through the queues.

use serde::{Deserialize, Serialize};

use crate::ledger::Run;
use crate::ledger::records::FORMAT;
use crate::{Error, Result};

/// The largest message body that is parsed: SQS carries no more.
const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// A message of the work queue or the finalize queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// To a processor: plan this run.
    File {
        /// The run.
        run: Box<Run>,
    },
    /// To a processor: clean one slice of a planned run.
    Slice {
        /// The run's dataset.
        dataset: String,
        /// The run.
        run_id: String,
        /// The slice's index.
        slice: u32,
    },
    /// To a finalizer: the run may be ready.
    Run {
        /// The run's dataset.
        dataset: String,
        /// The run.
        run_id: String,
    },
    /// To a finalizer: restarting the run did not help; record what is missing as failed.
    GiveUp {
        /// The run's dataset.
        dataset: String,
        /// The run.
        run_id: String,
    },
    /// To a finalizer: a web server has no such file; record that.
    Missing {
        /// The run that there would be. Its source has no version.
        run: Box<Run>,
    },
    /// To a finalizer: somebody is to be told how the run ended.
    Notice {
        /// The run's dataset.
        dataset: String,
        /// The run.
        run_id: String,
    },
    /// To a finalizer: a source seems to be gone; if so, remove its output.
    Prune {
        /// The dataset.
        dataset: String,
        /// The source's bucket.
        bucket: String,
        /// The source's key.
        key: String,
        /// The folder, in the same bucket, that must hold a file still: where it is empty or gone, so may be the mount or the
        /// access, and the output stays. `None`: nobody looks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<String>,
    },
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u32,
    /// How often the message's work was stopped before an invocation's deadline.
    #[serde(default, skip_serializing_if = "is_zero")]
    stops: u32,
    #[serde(flatten)]
    message: Message,
}

fn is_zero(stops: &u32) -> bool {
    *stops == 0
}

impl Message {
    /// Has a finalizer look at `run`.
    pub fn of_run(run: &Run) -> Self {
        Self::Run { dataset: run.dataset.clone(), run_id: run.run_id.clone() }
    }

    /// The run that the message is about; empty where it is about none.
    pub fn run_id(&self) -> &str {
        match self {
            Self::File { run } | Self::Missing { run } => &run.run_id,
            Self::Slice { run_id, .. } | Self::Run { run_id, .. } => run_id,
            Self::GiveUp { run_id, .. } | Self::Notice { run_id, .. } => run_id,
            Self::Prune { .. } => "",
        }
    }

    /// The message's body: JSON with the format version.
    pub fn encode(&self) -> Result<String> {
        self.encode_stopped(0)
    }

    /// The body of a message whose work was stopped so often before a deadline.
    pub fn encode_stopped(&self, stops: u32) -> Result<String> {
        let envelope = Envelope { format: FORMAT, stops, message: self.clone() };
        serde_json::to_string(&envelope).map_err(|error| Error::Internal(format!("message: {error}")))
    }

    /// Reads a body. What is not a message of this format is refused by name: it belongs in the dead-letter queue.
    pub fn decode(body: &str) -> Result<Self> {
        Self::decode_counted(body).map(|(message, _)| message)
    }

    /// Reads a body, and how often its work was stopped before a deadline.
    pub fn decode_counted(body: &str) -> Result<(Self, u32)> {
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(Error::Limit {
                what: "a message's bytes".into(),
                value: u64::try_from(body.len()).unwrap_or(u64::MAX),
                limit: MAX_MESSAGE_BYTES as u64,
                remedy: "it was not sent by Rowmill".into(),
            });
        }
        let envelope: Envelope = crate::ledger::parse("message", body.as_bytes())?;
        Ok((envelope.message, envelope.stops))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_message_survives_the_queue() {
        let message = Message::Slice { dataset: "d".into(), run_id: "r".into(), slice: 7 };
        assert_eq!(Message::decode(&message.encode().unwrap()).unwrap(), message);
    }

    #[test]
    fn a_message_of_another_format_is_refused_by_name() {
        let error = Message::decode(r#"{"format":2,"kind":"run","dataset":"d","run_id":"r"}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "message: format 2, and this version reads format 1: deploy the version that wrote it, or a newer one"
        );
        assert!(Message::decode("{}").is_err() && Message::decode("nonsense").is_err());
    }
}
