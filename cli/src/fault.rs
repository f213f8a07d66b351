//! How a command ends, as an exit code and as a message.

use std::fmt;

/// A command's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Every run is complete, or needed none.
    Done,
    /// A run failed.
    Failed,
    /// The command line or the dataset file is wrong.
    Usage,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> i32 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Interrupted => 130,
        }
    }
}

/// Why a command could not do what was asked: what, where, what to do.
#[derive(Debug)]
pub enum Fault {
    /// The command line or the dataset file is wrong.
    Usage(anyhow::Error),
    /// Something failed.
    Failed(anyhow::Error),
}

impl Fault {
    /// The command line or the dataset file is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::Usage(anyhow::anyhow!("{message}"))
    }

    /// Something failed.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(anyhow::anyhow!("{message}"))
    }

    /// The same, and what to do once the cause is mended. What is the user's to mend says so itself.
    pub fn then(self, remedy: &str) -> Self {
        match self {
            Self::Usage(error) => Self::Usage(error),
            Self::Failed(error) => Self::Failed(anyhow::anyhow!("{error:#}; then {remedy}")),
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Failed(_) => Exit::Failed,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(error) | Self::Failed(error)) = self;
        write!(formatter, "{error:#}")
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Fault {
    /// Errors of a dataset file are the user's to mend in the file; everything else failed.
    fn from(error: E) -> Self {
        let error = anyhow::Error::new(error);
        match error.downcast_ref::<rowmill::Error>() {
            Some(rowmill::Error::Dataset(problem)) => Self::usage(problem),
            _ => Self::Failed(error),
        }
    }
}
