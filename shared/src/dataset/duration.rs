//! Spans of time such as `7d`, as dataset files and manual events write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use serde::Deserialize;

/// 100 years of 365.25 days: beyond it a window means "all", and leaving it out says so better.
const MAX_HOURS: u64 = 876_600;

/// Parses `90s`, `30m`, `12h`, `7d`, `2w`, `1d 12h`, `10y` or ISO 8601's `P7D`. Days have 24 hours, years 365 days.
///
/// # Errors
///
/// What is wrong and what to write: months (they differ in length), zero, negative, above 100 years.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{}` is no duration: write one such as `90s`, `30m`, `12h`, `7d` or `2w`", text.trim());
    if text.len() > 64 {
        return Err("a duration has at most 64 characters: write one such as `12h` or `7d`".to_owned());
    }
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let span = years_as_days(span).ok_or_else(wrong)?;
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

fn years_as_days(span: Span) -> Option<Span> {
    let days = i64::from(span.get_years()).checked_mul(365)?.checked_add(i64::from(span.get_days()))?;
    span.try_years(0).ok()?.try_days(days).ok()
}

/// A duration as people write it: in the largest unit that needs no fraction, `7d` rather than `1w`.
pub fn text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    match units.into_iter().find(|(length, _)| seconds >= *length && seconds.is_multiple_of(*length)) {
        Some((length, unit)) => format!("{}{unit}", seconds / length),
        None => format!("{seconds}s"),
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_duration_can_be_written_again() {
        for written in ["7d", "36h", "30m", "90s", "100d"] {
            assert_eq!(text(parse(written).unwrap()), written);
        }
    }

    #[test]
    fn years_have_365_days() {
        assert_eq!(text(parse("10y").unwrap()), "3650d");
        assert_eq!(text(parse("1y 2d").unwrap()), "367d");
        assert!(parse("101y").is_err() && parse("1mo").is_err());
    }
}
