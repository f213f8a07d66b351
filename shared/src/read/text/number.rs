//! Numbers and times out of text, where they are written as nearly all are; `None` for the rest, which the casts of
//! `clean` decide about. What is read here is what those casts give, to the bit.

/// A whole number of at most 18 digits.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value: i64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        text => (false, text),
    }
}

/// Powers of ten that are exact as `f64`.
const TENS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// A decimal number of at most 15 digits: digits and a power of ten are exact, so that their quotient is the nearest
/// number (W. D. Clinger, "How to read floating point numbers accurately", 1990).
pub(super) fn float64(text: &[u8]) -> Option<f64> {
    let (negative, digits) = sign(text);
    let mut value: i64 = 0;
    let mut seen = 0_u32;
    let mut point: Option<u32> = None;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value * 10 + i64::from(digit);
            seen += 1;
            if seen > 15 {
                return None;
            }
        } else if *byte == b'.' && point.is_none() {
            point = Some(seen);
        } else {
            return None;
        }
    }
    let behind = seen - point.unwrap_or(seen);
    if seen == 0 {
        return None;
    }
    #[allow(clippy::cast_precision_loss, reason = "at most 15 digits are exact")]
    let magnitude = value as f64 / TENS.get(usize::try_from(behind).ok()?)?;
    Some(if negative { -magnitude } else { magnitude })
}

/// [`float64`] as the nearest `f32`, where going by way of `f64` gives that one.
pub(super) fn float32(text: &[u8]) -> Option<f32> {
    const DROPPED_BITS: u64 = (1 << 29) - 1;
    const HALFWAY: u64 = 1 << 28;
    let wide = float64(text)?;
    let magnitude = wide.abs();
    // Rounding twice errs only where the first result lies halfway between two `f32`; tiny ones lose more bits.
    if wide.to_bits() & DROPPED_BITS == HALFWAY || (magnitude != 0.0 && magnitude < f64::from(f32::MIN_POSITIVE)) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "15 digits are within range, and rounding is what is wanted")]
    let narrow = wide as f32;
    Some(narrow)
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub(super) fn date(text: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text else { return None };
    let year = two(*y0, *y1)? * 100 + two(*y2, *y3)?;
    let (month, day) = (two(*m0, *m1)?, two(*d0, *d1)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > last {
        return None;
    }
    // Howard Hinnant's days_from_civil: years begin in March, so that the leap day comes last.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Ticks since 1970-01-01 00:00 UTC of `YYYY-MM-DD HH:MM[:SS[.fraction]][Z]`, `T` or a space between; `digits` places
/// behind the point make a tick.
pub(super) fn timestamp(text: &[u8], digits: u32) -> Option<i64> {
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    let (day, time) = text.split_at_checked(10)?;
    let [b' ' | b'T', h0, h1, b':', m0, m1, rest @ ..] = time else { return None };
    let (second, fraction) = match rest {
        [b':', s0, s1, fraction @ ..] => (two(*s0, *s1)?, fraction),
        [] => (0, rest),
        _ => return None,
    };
    let (hour, minute) = (two(*h0, *h1)?, two(*m0, *m1)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(date(day)?) * 86_400 + i64::from(hour * 3_600 + minute * 60 + second);
    let mut ticks = seconds.checked_mul(10_i64.pow(digits))?;
    let places = match fraction {
        [] => return Some(ticks),
        [b'.', places @ ..] => places,
        _ => return None,
    };
    if places.is_empty() || places.len() > usize::try_from(digits).ok()? {
        return None;
    }
    let mut part: i64 = 0;
    for byte in places {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        part = part * 10 + i64::from(digit);
    }
    ticks = ticks.checked_add(part * 10_i64.pow(digits - u32::try_from(places.len()).ok()?))?;
    Some(ticks)
}

fn two(tens: u8, ones: u8) -> Option<i32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i32::from(tens) * 10 + i32::from(ones))
}
