//! What can go wrong, keyed by what the caller can do about it.
//!
//! A *permanent* error closes the run as failed: trying again would give the same answer. A *transient* error gives
//! the message back to its queue. Expected races are not errors: operations return them as outcomes.

use crate::storage::StorageError;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a use case. [`Error::is_permanent`] says whether trying again can help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A dataset file is wrong: syntax, unknown key, unknown column, bad SQL. The text holds line and column.
    #[error("dataset: {0}")]
    Dataset(String),
    /// A source cannot be read as what it claims to be.
    #[error("{uri}: {problem}")]
    Source {
        /// Where the source lies.
        uri: String,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// The source is gone, and was so before its slices were read.
    #[error("{uri}: the source does not exist")]
    SourceMissing {
        /// Where the source lay.
        uri: String,
    },
    /// The source was overwritten after the run pinned its version: the run is superseded, not failed.
    #[error("{uri}: the source was overwritten while it was read")]
    SourceChanged {
        /// Where the source lies.
        uri: String,
    },
    /// A contract or expectation with action `fail` was broken, or too much was quarantined.
    #[error("{0}")]
    Contract(String),
    /// An object that Rowmill did not write lies where it is to publish or to delete. The text names it.
    #[error("{0}")]
    Occupied(String),
    /// A bound was exceeded. The text names the bound and the setting that moves it.
    #[error("{what} is {value}, above the limit of {limit}: {remedy}")]
    Limit {
        /// What was measured, with its unit.
        what: String,
        /// The value found.
        value: u64,
        /// The bound.
        limit: u64,
        /// What to change.
        remedy: String,
    },
    /// A ledger object or a message is not one that this version understands.
    #[error("{what}: {problem}")]
    Format {
        /// Which object or message.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A storage operation failed in a way that may pass.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A queue did not take a message.
    #[error("queue {queue}: {problem}")]
    Queue {
        /// The queue's name or URL.
        queue: String,
        /// What it answered.
        problem: String,
    },
    /// The invocation's deadline is too near to go on; the message goes back to its queue.
    #[error("stopped {0} ms before the deadline: the message goes back to its queue")]
    Deadline(u64),
    /// A task inside this process ended abnormally.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// Shorthand for [`Error::Source`].
    pub fn source(uri: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        Self::Source { uri: uri.into(), problem: problem.to_string() }
    }

    /// True where trying the same message again gives the same answer.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Dataset(_)
            | Self::Source { .. }
            | Self::SourceMissing { .. }
            | Self::SourceChanged { .. }
            | Self::Contract(_)
            | Self::Occupied(_)
            | Self::Limit { .. }
            | Self::Format { .. }
            | Self::Storage(StorageError::BadKey { .. }) => true,
            Self::Storage(_) | Self::Queue { .. } | Self::Deadline(_) | Self::Internal(_) => false,
        }
    }

    /// A stable word for logs, metrics and alarms.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dataset(_) => "dataset",
            Self::Source { .. } => "source",
            Self::SourceMissing { .. } => "source_missing",
            Self::SourceChanged { .. } => "source_changed",
            Self::Contract(_) => "contract",
            Self::Occupied(_) => "occupied",
            Self::Limit { .. } => "limit",
            Self::Format { .. } => "format",
            Self::Storage(_) => "storage",
            Self::Queue { .. } => "queue",
            Self::Deadline(_) => "deadline",
            Self::Internal(_) => "internal",
        }
    }
}
