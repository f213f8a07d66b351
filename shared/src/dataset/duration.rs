//! Spans of time such as `7d`, as dataset files and manual events write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use serde::Deserialize;

/// 100 years of 365.25 days: beyond it a window means "all", and leaving it out says so better.
const MAX_HOURS: u64 = 876_600;

/// Parses `90s`, `30m`, `12h`, `7d`, `2w`, `1d 12h` or ISO 8601's `P7D`. Days have 24 hours.
///
/// # Errors
///
/// What is wrong and what to write: months and years (they differ in length), zero, negative, above 100 years.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{}` is no duration: write one such as `90s`, `30m`, `12h`, `7d` or `2w`", text.trim());
    if text.len() > 64 {
        return Err("a duration has at most 64 characters: write one such as `12h` or `7d`".to_owned());
    }
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    let duration = Duration::try_from(signed).map_err(|_| wrong())?;
    if duration.is_zero() {
        return Err(format!("`{}` is zero: write a longer duration, or leave it out", text.trim()));
    }
    if duration > Duration::from_secs(MAX_HOURS * 3600) {
        return Err(format!("`{}` is above 100 years: write a shorter duration, or leave it out", text.trim()));
    }
    Ok(duration)
}

/// For serde's `deserialize_with`: an optional duration, written as a string.
pub fn deserialize_option<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| parse(&text).map_err(serde::de::Error::custom)).transpose()
}

/// For serde's `deserialize_with`: a duration, written as a string.
pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(serde::de::Error::custom)
}
