//! Durations such as `7d`. The dataset file has the same: this copy goes once `dataset::duration::parse` is there.

use std::time::Duration;

/// Parses a whole number and a unit: `d`, `h`, `m` or `s`.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration: write a whole number and d, h, m or s, such as \"7d\"");
    let units = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
    let (digits, unit_s) =
        units.iter().find_map(|(unit, unit_s)| Some((text.strip_suffix(*unit)?, *unit_s))).ok_or_else(wrong)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    count.checked_mul(unit_s).map(Duration::from_secs).ok_or_else(wrong)
}
