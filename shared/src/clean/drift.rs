//! Drift in words, for records and people.

use std::fmt;

use super::Drift;

impl fmt::Display for Drift {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { column } => write!(formatter, "{column}: missing in the source"),
            Self::Extra { column, kept: true } => write!(formatter, "{column}: not in the contract, kept"),
            Self::Extra { column, kept: false } => write!(formatter, "{column}: not in the contract, left out"),
            Self::Renamed { column, source } => write!(formatter, "{column}: called {source} in the source"),
            Self::Coerced { column, from, to } => write!(formatter, "{column}: {from} to {to}"),
        }
    }
}
