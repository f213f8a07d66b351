//! The output's codec.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// `compression`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `zstd(level)`, level 1 to 22; `zstd` is `zstd(1)`.
    Zstd(u8),
    /// `snappy`.
    Snappy,
    /// `keep`: the source's.
    Keep,
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd(1)
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "snappy" => return Ok(Self::Snappy),
            "keep" => return Ok(Self::Keep),
            "zstd" => return Ok(Self::default()),
            _ => {}
        }
        let Some(level) = text.strip_prefix("zstd(").and_then(|rest| rest.strip_suffix(')')) else {
            return Err(format!("unknown compression `{text}`: write `zstd(1)` to `zstd(22)`, `snappy` or `keep`"));
        };
        match level.trim().parse() {
            Ok(level @ 1..=22) => Ok(Self::Zstd(level)),
            _ => Err(format!("zstd level `{level}` is out of range: write 1 to 22")),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zstd(level) => write!(f, "zstd({level})"),
            Self::Snappy => f.write_str("snappy"),
            Self::Keep => f.write_str("keep"),
        }
    }
}

impl<'de> Deserialize<'de> for Compression {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
