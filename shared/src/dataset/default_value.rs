//! Whether a column's `default` is a value of the column's type.

use toml::Value;
use toml::value::Datetime;

use super::ColumnType;

/// Checks a default: TOML of the column's type, and among `values` where those are listed.
///
/// Decimals may be written as integers, floats or, to be exact, strings; dates and times as TOML's; binary as a string,
/// which stands for its UTF-8 bytes.
pub(super) fn fits(default: &Value, column_type: &ColumnType, values: &[String]) -> Result<(), String> {
    let fits = match (column_type, default) {
        (ColumnType::Boolean, Value::Boolean(_)) | (ColumnType::Binary, Value::String(_)) => true,
        (ColumnType::Int(bits), Value::Integer(integer)) => signed_range(*bits).contains(&i128::from(*integer)),
        (ColumnType::UInt(bits), Value::Integer(integer)) => unsigned_range(*bits).contains(&i128::from(*integer)),
        (ColumnType::Float(_), Value::Integer(_) | Value::Float(_)) => true,
        (ColumnType::Decimal { precision, scale }, value) => fits_decimal(value, *precision, *scale),
        (ColumnType::String | ColumnType::Dictionary, Value::String(text)) => {
            if !values.is_empty() && !values.contains(text) {
                return Err(format!("default \"{text}\" is not among `values`: write one of those"));
            }
            true
        }
        (ColumnType::Date, Value::Datetime(Datetime { date: Some(_), time: None, offset: None })) => true,
        (ColumnType::Time(_), Value::Datetime(Datetime { date: None, time: Some(_), offset: None })) => true,
        (ColumnType::Timestamp { zone, .. }, Value::Datetime(Datetime { date: Some(_), time: Some(_), offset })) => {
            zone.is_some() == offset.is_some()
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("the default is no `{column_type}`: write {}", example(column_type))) }
}

fn signed_range(bits: u8) -> std::ops::RangeInclusive<i128> {
    let half = 1_i128 << (bits.clamp(1, 64) - 1);
    -half..=half - 1
}

fn unsigned_range(bits: u8) -> std::ops::RangeInclusive<i128> {
    0..=(1_i128 << bits.min(64)) - 1
}

fn fits_decimal(value: &Value, precision: u8, scale: i8) -> bool {
    let text = match value {
        Value::Integer(integer) => integer.to_string(),
        // The shortest digits that give the float back: what the file says.
        Value::Float(float) if float.is_finite() => float.to_string(),
        Value::String(text) => text.clone(),
        _ => return false,
    };
    let unsigned = text.strip_prefix('-').unwrap_or(&text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let whole_digits = whole.trim_start_matches('0').len();
    let fraction_digits = fraction.trim_end_matches('0').len();
    let scale = usize::try_from(scale).unwrap_or(0);
    let whole_limit = usize::from(precision).saturating_sub(scale);
    digits(whole) && digits(fraction) && fraction_digits <= scale && whole_digits <= whole_limit
}

fn example(column_type: &ColumnType) -> String {
    match column_type {
        ColumnType::Boolean => "true or false".to_owned(),
        ColumnType::Int(bits) => {
            let range = signed_range(*bits);
            format!("an integer from {} to {}", range.start(), range.end())
        }
        ColumnType::UInt(bits) => format!("an integer from 0 to {}", unsigned_range(*bits).end()),
        ColumnType::Float(_) => "a number such as 0.0".to_owned(),
        ColumnType::Decimal { .. } => "a number that has its digits, such as \"0\"".to_owned(),
        ColumnType::String | ColumnType::Dictionary | ColumnType::Binary => "a string".to_owned(),
        ColumnType::Date => "a date such as 2019-02-01".to_owned(),
        ColumnType::Timestamp { zone: None, .. } => "a local time such as 2019-02-01T00:00:00".to_owned(),
        ColumnType::Timestamp { zone: Some(_), .. } => "a time with its offset such as 2019-02-01T00:00:00Z".to_owned(),
        ColumnType::Time(_) => "a time of day such as 00:00:00".to_owned(),
        ColumnType::Null => "nothing".to_owned(),
    }
}
