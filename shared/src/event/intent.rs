//! The word that says what a request asks for.

use std::fmt;

/// Every intent, for error messages.
pub(super) const INTENTS: &str = "it is \"\", \"reprocess\", \"test_subset\", \"prune\", \"heal\" or \"redrive\"";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Intent {
    /// `""`: ingest what is not published yet.
    #[default]
    Incremental,
    /// Ingest again, in a new generation, whatever is published.
    Reprocess,
    /// Ingest the first match to a folder of its own.
    TestSubset,
    /// Remove outputs whose source is gone.
    Prune,
    /// Restart what open runs lack.
    Heal,
    /// Retry the runs named, in a new generation.
    Redrive,
}

impl Intent {
    /// Every intent.
    pub const ALL: [Self; 6] =
        [Self::Incremental, Self::Reprocess, Self::TestSubset, Self::Prune, Self::Heal, Self::Redrive];

    /// The word for it in events, in the CLI and in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incremental => "",
            Self::Reprocess => "reprocess",
            Self::TestSubset => "test_subset",
            Self::Prune => "prune",
            Self::Heal => "heal",
            Self::Redrive => "redrive",
        }
    }

    /// The intent with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|intent| intent.as_str() == word)
    }

    /// The intent of a request that may be for stale sources alone: those are published, so to ingest them is to reprocess
    /// them.
    pub fn of_stale(self, stale: bool) -> Self {
        if stale && self == Self::Incremental { Self::Reprocess } else { self }
    }

    /// The keys that mean nothing with this intent. They are refused, lest a request do more than it seems to ask for.
    pub(super) fn refused_keys(self) -> &'static [&'static str] {
        match self {
            Self::Incremental | Self::Reprocess => &["runs", "confirm"],
            Self::TestSubset => &["runs", "stale", "confirm"],
            Self::Prune => &["runs", "modified_within", "stale"],
            Self::Heal => &["runs", "pattern", "modified_within", "from", "to", "stale", "confirm"],
            Self::Redrive => &["pattern", "modified_within", "from", "to", "limit", "stale", "confirm"],
        }
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
