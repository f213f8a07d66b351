//! Decimals out of text and floats: each digit is kept, or the value does not fit.

use std::fmt::{LowerExp, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;

/// A decimal type, and how values come into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    precision: u8,
    scale: i8,
    /// Whether digits beyond the scale are rounded, half away from zero. Otherwise a value with one other than zero does
    /// not fit.
    pub round: bool,
}

impl Target {
    pub(super) fn new(precision: u8, scale: i8) -> Self {
        Self { precision, scale, round: false }
    }

    /// Casts strings; null for what does not fit.
    pub(super) fn of_texts(self, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        self.array(array.as_string::<i32>().iter().map(|text| self.of_text(text?)))
    }

    /// Casts floats, each by way of the shortest decimal that stands for it; null for what does not fit.
    pub(super) fn of_floats(self, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let mut text = String::new();
        if matches!(array.data_type(), DataType::Float32) {
            let floats = array.as_primitive::<Float32Type>().iter();
            return self.array(floats.map(|value| self.of_float(value?, &mut text)));
        }
        let floats = array.as_primitive::<Float64Type>().iter();
        self.array(floats.map(|value| self.of_short_float(value?).or_else(|| self.of_float(value?, &mut text))))
    }

    fn array(self, values: impl Iterator<Item = Option<i128>>) -> Result<ArrayRef, ArrowError> {
        let decimals: Decimal128Array = values.collect();
        Ok(Arc::new(decimals.with_precision_and_scale(self.precision, self.scale)?))
    }

    fn of_float(self, value: impl LowerExp, text: &mut String) -> Option<i128> {
        text.clear();
        // Without a precision, as many digits as tell the value from its neighbours.
        write!(text, "{value:e}").ok()?;
        self.of_text(text)
    }

    /// The decimal that prints a float, where it has at most 15 digits: two such decimals are never one float, so the one
    /// that gives the float is the one that prints it.
    fn of_short_float(self, value: f64) -> Option<i128> {
        const DIGITS_15: f64 = 1e15;
        // Powers of ten up to this one are exact.
        const EXACT_POWER: i8 = 22;
        if self.scale > EXACT_POWER {
            return None;
        }
        let power = 10_f64.powi(i32::from(self.scale));
        let scaled = (value * power).round();
        // NaN fails every comparison.
        let is_it = scaled.abs() < DIGITS_15 && scaled / power == value;
        #[allow(clippy::cast_possible_truncation, reason = "a whole number of at most 15 digits")]
        let unscaled = scaled as i128;
        self.in_range(unscaled).filter(|_| is_it)
    }

    /// A number as the float casts take it: a sign, digits, a point among or beside them, an exponent.
    fn of_text(self, text: &str) -> Option<i128> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, unsigned) = match mantissa.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = || whole.bytes().chain(fraction.bytes()).map(|byte| byte.wrapping_sub(b'0'));
        let count = whole.len() + fraction.len();
        if count == 0 || digits().any(|digit| digit > 9) {
            return None;
        }
        // Digits that are wanted behind the last one, or too many if below zero.
        let missing = i64::from(self.scale) + i64::from(exponent) - i64::try_from(fraction.len()).ok()?;
        let excess = usize::try_from(missing.checked_neg()?).unwrap_or(0);
        let kept = count.saturating_sub(excess);
        let mut value = digits().take(kept).try_fold(0_i128, push)?;
        if value != 0 {
            let zeros = u32::try_from(missing).unwrap_or(0);
            value = value.checked_mul(10_i128.checked_pow(zeros)?)?;
        }
        if digits().skip(kept).any(|digit| digit != 0) {
            if !self.round {
                return None;
            }
            // More excess than digits: the first digit cut off is a zero before them.
            let first = if excess > count { 0 } else { digits().nth(kept).unwrap_or(0) };
            value = value.checked_add(i128::from(first >= 5))?;
        }
        self.in_range(if negative { -value } else { value })
    }

    fn in_range(self, unscaled: i128) -> Option<i128> {
        let limit = 10_u128.checked_pow(u32::from(self.precision))?;
        (unscaled.unsigned_abs() < limit).then_some(unscaled)
    }
}

fn push(value: i128, digit: u8) -> Option<i128> {
    value.checked_mul(10)?.checked_add(i128::from(digit))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::Float64Array;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.01", Some(1_001), Some(1_001))]
    #[case("10.500", Some(1_050), Some(1_050))]
    #[case("10.005", None, Some(1_001))]
    #[case("-10.005", None, Some(-1_001))]
    #[case("10.0049999", None, Some(1_000))]
    #[case("999.995", None, None)]
    #[case(".79", Some(79), Some(79))]
    #[case("+5.", Some(500), Some(500))]
    #[case("1e2", Some(10_000), Some(10_000))]
    #[case("1500e-3", Some(150), Some(150))]
    #[case("5e-3", None, Some(1))]
    #[case("5e-4", None, Some(0))]
    #[case("0e300", Some(0), Some(0))]
    #[case("1000.00", None, None)]
    #[case("0000000000000000000000000000000000000000000001.0", Some(100), Some(100))]
    #[case("1.00000000000000000000000000000000000000000000000", Some(100), Some(100))]
    #[case("1e99999999999", None, None)]
    #[case("1e", None, None)]
    #[case(".", None, None)]
    #[case("1.2.3", None, None)]
    #[case("NaN", None, None)]
    fn digits_are_kept_or_rounded_where_that_is_allowed(
        #[case] text: &str,
        #[case] exact: Option<i128>,
        #[case] rounded: Option<i128>,
    ) {
        let target = Target::new(5, 2);
        assert_eq!(target.of_text(text), exact);
        assert_eq!(Target { round: true, ..target }.of_text(text), rounded);
    }

    proptest! {
        #[test]
        fn a_float_is_the_decimal_that_prints_it(
            value in prop_oneof![
                any::<f64>(),
                (-99_999_999_i32..99_999_999, 0..6_i32).prop_map(|(whole, scale)| f64::from(whole) / 10_f64.powi(scale)),
            ],
            scale in 0_i8..30,
        ) {
            let target = Target::new(38, scale);
            let array: ArrayRef = Arc::new(Float64Array::from(vec![value]));
            let found = target.of_floats(&array).unwrap();
            let found = found.is_valid(0).then(|| found.as_primitive::<arrow::datatypes::Decimal128Type>().value(0));
            prop_assert_eq!(found, target.of_text(&value.to_string()), "{}", value);
        }
    }
}
