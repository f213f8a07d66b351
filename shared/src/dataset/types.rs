//! Column types, as dataset files write them.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A column's type, as written in a dataset file: `string`, `int32`, `float32`, `timestamp(us)`, `decimal(10, 2)` …
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// `bool`, also written `boolean`.
    Boolean,
    /// `int8` … `int64`: bits.
    Int(u8),
    /// `uint8` … `uint64`: bits.
    UInt(u8),
    /// `float16`, `float32`, `float64`: bits.
    Float(u8),
    /// `decimal(precision, scale)`, precision up to 38, scale from 0 to the precision; `decimal(p)` is `decimal(p, 0)`.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: i8,
    },
    /// `string`. As a `from` it also matches large, view and dictionary-encoded strings.
    String,
    /// `binary`. As a `from` it also matches large, view and fixed-size binary.
    Binary,
    /// `dictionary`: strings with 32-bit indices.
    Dictionary,
    /// `date`: days.
    Date,
    /// `timestamp(s|ms|us|ns)` or `timestamp(unit, "zone")`; `timestamp` is `timestamp(us)`.
    /// As a `from`, `timestamp` without a unit is not told from `timestamp(us)`.
    Timestamp {
        /// The unit.
        unit: TimeUnit,
        /// The time zone, if any.
        zone: Option<String>,
    },
    /// `time(s|ms|us|ns)` of day; `time` is `time(us)`.
    Time(TimeUnit),
    /// `null`: only as a `from`.
    Null,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// Seconds.
    Second,
    /// Milliseconds.
    Millisecond,
    /// Microseconds.
    Microsecond,
    /// Nanoseconds.
    Nanosecond,
}

/// What an unknown type's error lists.
const KNOWN: &str = "bool, int8 to int64, uint8 to uint64, float16, float32, float64, decimal(p, s), string, binary, \
                     dictionary, date, timestamp(s|ms|us|ns), time(s|ms|us|ns)";

/// Names that other systems use, and the one to write here.
const ELSEWHERE: [(&str, &str); 20] = [
    ("int", "int32` or `int64"),
    ("integer", "int32` or `int64"),
    ("tinyint", "int8"),
    ("smallint", "int16"),
    ("long", "int64"),
    ("bigint", "int64"),
    ("half", "float16"),
    ("float", "float32` or `float64"),
    ("real", "float32"),
    ("double", "float64"),
    ("numeric", "decimal(p, s)"),
    ("object", "string"),
    ("str", "string"),
    ("text", "string"),
    ("utf8", "string"),
    ("varchar", "string"),
    ("large_string", "string"),
    ("category", "dictionary"),
    ("date32", "date"),
    ("datetime", "timestamp(us)"),
];

impl ColumnType {
    /// Whether its values are text, so that value lists apply.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::String | Self::Dictionary)
    }
}

impl FromStr for ColumnType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (word, arguments) = split_arguments(text.trim())?;
        let plain = |column_type| match arguments {
            None => Ok(column_type),
            Some(_) => Err(format!("`{word}` takes no parentheses")),
        };
        match word {
            "bool" | "boolean" => plain(Self::Boolean),
            "int8" => plain(Self::Int(8)),
            "int16" => plain(Self::Int(16)),
            "int32" => plain(Self::Int(32)),
            "int64" => plain(Self::Int(64)),
            "uint8" => plain(Self::UInt(8)),
            "uint16" => plain(Self::UInt(16)),
            "uint32" => plain(Self::UInt(32)),
            "uint64" => plain(Self::UInt(64)),
            "float16" => plain(Self::Float(16)),
            "float32" => plain(Self::Float(32)),
            "float64" => plain(Self::Float(64)),
            "string" => plain(Self::String),
            "binary" => plain(Self::Binary),
            "dictionary" => plain(Self::Dictionary),
            "date" => plain(Self::Date),
            "null" => plain(Self::Null),
            "decimal" => decimal(arguments),
            "timestamp" => timestamp(arguments),
            "time" => Ok(Self::Time(time_unit(arguments.unwrap_or("us"))?)),
            _ => Err(unknown(text)),
        }
    }
}

/// Splits `word(arguments)`.
fn split_arguments(text: &str) -> Result<(&str, Option<&str>), String> {
    match text.split_once('(') {
        None => Ok((text, None)),
        Some((word, rest)) => match rest.strip_suffix(')') {
            Some(arguments) => Ok((word.trim_end(), Some(arguments.trim()))),
            None => Err(format!("type `{text}` lacks its closing parenthesis")),
        },
    }
}

fn decimal(arguments: Option<&str>) -> Result<ColumnType, String> {
    let wrong = || "write `decimal(precision, scale)`, precision 1 to 38, scale 0 to the precision".to_owned();
    let arguments = arguments.ok_or_else(wrong)?;
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    let precision: u8 = precision.trim().parse().map_err(|_| wrong())?;
    let scale: i8 = scale.trim().parse().map_err(|_| wrong())?;
    let fits = (1..=38).contains(&precision) && u8::try_from(scale).is_ok_and(|scale| scale <= precision);
    if fits { Ok(ColumnType::Decimal { precision, scale }) } else { Err(wrong()) }
}

fn timestamp(arguments: Option<&str>) -> Result<ColumnType, String> {
    let arguments = arguments.unwrap_or("us");
    let (unit, zone) = match arguments.split_once(',') {
        None => (arguments, None),
        Some((unit, zone)) => (unit, Some(time_zone(zone.trim())?)),
    };
    Ok(ColumnType::Timestamp { unit: time_unit(unit)?, zone })
}

/// A zone's name, with or without quotes.
fn time_zone(text: &str) -> Result<String, String> {
    let unquoted = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .or_else(|| text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')))
        .unwrap_or(text);
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/_+-:".contains(c);
    if unquoted.is_empty() || unquoted.len() > 64 || !unquoted.chars().all(allowed) {
        return Err(format!("time zone `{unquoted}` is none: write one such as `UTC` or `America/New_York`"));
    }
    Ok(unquoted.to_owned())
}

fn time_unit(text: &str) -> Result<TimeUnit, String> {
    match text.trim() {
        "s" => Ok(TimeUnit::Second),
        "ms" => Ok(TimeUnit::Millisecond),
        "us" => Ok(TimeUnit::Microsecond),
        "ns" => Ok(TimeUnit::Nanosecond),
        other => Err(format!("unknown unit of time `{other}`: write `s`, `ms`, `us` or `ns`")),
    }
}

fn unknown(text: &str) -> String {
    let lower = text.to_lowercase();
    let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == lower).map(|(_, here)| *here);
    let bare = KNOWN.split([',', ' ']).filter(|word| word.chars().all(|c| c.is_ascii_alphanumeric()));
    let middle = ["int16", "int32", "uint16", "uint32", "timestamp", "time", "decimal", "boolean"];
    match elsewhere.or_else(|| super::problem::closest(&lower, bare.chain(middle))) {
        Some(here) => format!("unknown type `{text}`, did you mean `{here}`? known types: {KNOWN}"),
        None => format!("unknown type `{text}`; known types: {KNOWN}"),
    }
}

impl fmt::Display for ColumnType {
    /// The canonical form: parsing it gives the type back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("bool"),
            Self::Int(bits) => write!(f, "int{bits}"),
            Self::UInt(bits) => write!(f, "uint{bits}"),
            Self::Float(bits) => write!(f, "float{bits}"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
            Self::String => f.write_str("string"),
            Self::Binary => f.write_str("binary"),
            Self::Dictionary => f.write_str("dictionary"),
            Self::Date => f.write_str("date"),
            Self::Timestamp { unit, zone: None } => write!(f, "timestamp({unit})"),
            Self::Timestamp { unit, zone: Some(zone) } => write!(f, "timestamp({unit}, \"{zone}\")"),
            Self::Time(unit) => write!(f, "time({unit})"),
            Self::Null => f.write_str("null"),
        }
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "s",
            Self::Millisecond => "ms",
            Self::Microsecond => "us",
            Self::Nanosecond => "ns",
        })
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
