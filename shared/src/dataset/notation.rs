//! How a CSV writes numbers, dates and timestamps, where it does so otherwise than `1.5`, `2020-01-31` and
//! `2020-01-31 10:00:00`: `[csv] decimal`, `dates` and `timestamps`.
//!
//! A [`Rule`] brings a text into the usual notation, and the casts read that: what fits a type is decided in one place.

use std::fmt::{self, Write};
use std::sync::Arc;

use jiff::Zoned;
use jiff::civil::{DateTime, Time, datetime};
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::CsvSpec;

/// The most formats of one key, and the most bytes of one.
const MAX_FORMATS: usize = 16;
const MAX_FORMAT_BYTES: usize = 256;

/// What a text is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// A float or a decimal.
    Number,
    /// A date.
    Date,
    /// A timestamp.
    Timestamp,
}

/// The notation of a dataset's sources. Default: the usual one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notation {
    decimal_comma: bool,
    dates: Arc<[String]>,
    timestamps: Arc<[String]>,
}

impl Notation {
    /// What `[csv]` says.
    pub fn of(csv: &CsvSpec) -> Self {
        Self {
            decimal_comma: csv.decimal.as_deref() == Some(","),
            dates: csv.dates.clone().into(),
            timestamps: csv.timestamps.clone().into(),
        }
    }

    /// How such texts are brought into the usual notation; `None` where they are in it.
    pub fn rule(&self, what: Written) -> Option<Rule> {
        match what {
            Written::Number => self.decimal_comma.then_some(Rule::DecimalComma),
            Written::Date => (!self.dates.is_empty()).then(|| Rule::Dates(self.dates.clone())),
            Written::Timestamp => (!self.timestamps.is_empty()).then(|| Rule::Timestamps(self.timestamps.clone())),
        }
    }
}

/// Brings texts into the usual notation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// `1,5` is `1.5`. A text with a point is no number: in `1.234` it may stand for thousands.
    DecimalComma,
    /// Dates in the first of these formats that fits.
    Dates(Arc<[String]>),
    /// Timestamps in the first of these formats that fits.
    Timestamps(Arc<[String]>),
}

impl Rule {
    /// The text in the usual notation, written into `into`; `None` where it is not written as the rule says.
    pub fn respell<'i>(&self, text: &str, into: &'i mut String) -> Option<&'i str> {
        into.clear();
        match self {
            Self::DecimalComma if text.contains('.') => None,
            Self::DecimalComma => {
                into.extend(text.chars().map(|character| if character == ',' { '.' } else { character }));
                Some(into)
            }
            Self::Dates(formats) | Self::Timestamps(formats) => {
                let parsed = formats.iter().find_map(|format| parse(format, text))?;
                let has_time = matches!(self, Self::Timestamps(_)) || parsed.at.time() != Time::midnight();
                iso(&parsed, has_time, into).then_some(into)
            }
        }
    }
}

/// A time, and the offset from UTC where the text has one, in seconds.
struct Parsed {
    at: DateTime,
    offset: Option<i32>,
}

fn parse(format: &str, text: &str) -> Option<Parsed> {
    let broken_down = BrokenDownTime::parse(format, text).ok()?;
    let at = broken_down.to_datetime().ok()?;
    // `%Y` takes fewer digits too: 31/01/20 would be in the year 20.
    let short_year = (-999..=999).contains(&at.year()) && !text.contains(&format!("{:04}", at.year().abs()));
    if short_year || is_leap_second(format, text, at) {
        return None;
    }
    Some(Parsed { at, offset: broken_down.offset().map(|offset| offset.seconds()) })
}

/// Whether second 60 was read as 59: then 61 in its place is no second at all.
fn is_leap_second(format: &str, text: &str, at: DateTime) -> bool {
    let beyond = |(place, _): (usize, &str)| {
        let mut other = text.to_owned();
        other.replace_range(place..place + 2, "61");
        BrokenDownTime::parse(format, &other).is_err()
    };
    at.second() == 59 && text.match_indices("60").any(beyond)
}

/// Appends `2020-01-31`, or `2020-01-31T10:00:00.5` and an offset such as `+02:00` if there is one; false for an offset
/// that has seconds.
fn iso(parsed: &Parsed, has_time: bool, into: &mut String) -> bool {
    let at = parsed.at;
    let _ = write!(into, "{:04}-{:02}-{:02}", at.year(), at.month(), at.day());
    if !has_time && parsed.offset.is_none() {
        return true;
    }
    let _ = write!(into, "T{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second());
    if at.subsec_nanosecond() != 0 {
        let digits = format!(".{:09}", at.subsec_nanosecond());
        into.push_str(digits.trim_end_matches('0'));
    }
    let Some(seconds) = parsed.offset else { return true };
    let minutes = seconds.abs() / 60;
    let sign = if seconds < 0 { '-' } else { '+' };
    let _ = write!(into, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    seconds % 60 == 0
}

/// What is wrong with the formats of a key: the place in the list, and what to write.
pub(super) fn problems(formats: &[String]) -> Vec<(usize, String)> {
    if formats.len() > MAX_FORMATS {
        return vec![(0, format!("{} formats, above the limit of {MAX_FORMATS}: write fewer", formats.len()))];
    }
    let refused = formats.iter().enumerate().filter_map(|(at, format)| Some((at, problem(format)?)));
    refused.map(|(at, what)| (at, format!("bad format `{}`: {what}", formats.get(at).map_or("", |f| f)))).collect()
}

/// What is wrong with a format: it must give back the day that it was used to write.
fn problem(format: &str) -> Option<String> {
    if format.len() > MAX_FORMAT_BYTES {
        return Some(format!("it has {} bytes, above the limit of {MAX_FORMAT_BYTES}", format.len()));
    }
    let samples = [datetime(2024, 2, 29, 13, 45, 58, 123_456_789), datetime(1999, 12, 31, 1, 2, 3, 0)];
    samples.into_iter().find_map(|sample| check(format, sample).err())
}

fn check(format: &str, sample: DateTime) -> Result<(), String> {
    let zoned: Zoned = sample.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
    let text = strtime::format(format, &zoned).map_err(told)?;
    let read = BrokenDownTime::parse(format, &text).map_err(told)?;
    if read.iana_time_zone().is_some() {
        return Err("names of time zones are not read: write an offset, `%z`, or leave it out".to_owned());
    }
    let whole = "it does not tell year, month and day: write such as `%d/%m/%Y`";
    let date = read.to_date().map_err(|_| whole.to_owned())?;
    if date != sample.date() {
        return Err(whole.to_owned());
    }
    let (hour, minute, second) = (sample.hour(), sample.minute(), sample.second());
    let parts = [(0, 0, 0), (hour, 0, 0), (hour, minute, 0), (hour, minute, second)];
    let time = read.to_time().map_err(told)?;
    match parts.contains(&(time.hour(), time.minute(), time.second())) {
        true => Ok(()),
        false => Err("it does not tell the hour: write `%H`, or `%I` with `%p`".to_owned()),
    }
}

/// What jiff says, without which of its two halves says it.
fn told(error: jiff::Error) -> String {
    let text = error.to_string();
    let halves = ["strftime formatting failed: ", "strptime parsing failed: "];
    halves.iter().find_map(|half| text.strip_prefix(half)).map(str::to_owned).unwrap_or(text)
}

/// Reads a format, or a list of them.
pub(super) fn formats<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct OneOrMore;
    impl<'de> Visitor<'de> for OneOrMore {
        type Value = Vec<String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a format such as \"%d/%m/%Y\", or an array of them")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<String>, A::Error> {
            let mut formats = Vec::new();
            while let Some(format) = entries.next_element()? {
                formats.push(format);
            }
            Ok(formats)
        }
    }
    deserializer.deserialize_any(OneOrMore)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn respelled(rule: &Rule, text: &str) -> Option<String> {
        rule.respell(text, &mut String::new()).map(str::to_owned)
    }

    #[rstest]
    #[case::number("1,5", Some("1.5"))]
    #[case::whole("-12", Some("-12"))]
    #[case::exponent("1,5e3", Some("1.5e3"))]
    #[case::a_point_may_be_of_thousands("1.234", None)]
    #[case::both("1.234,5", None)]
    fn a_decimal_comma_is_a_point(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(respelled(&Rule::DecimalComma, text).as_deref(), expected);
    }

    #[rstest]
    #[case::day_first("%d/%m/%Y", "31/01/2020", Some("2020-01-31"))]
    #[case::one_digit("%d/%m/%Y", "1/2/2020", Some("2020-02-01"))]
    #[case::month_beyond("%d/%m/%Y", "01/31/2020", None)]
    #[case::no_such_day("%d/%m/%Y", "31/02/2020", None)]
    #[case::short_year("%d/%m/%Y", "31/01/20", None)]
    #[case::early_year("%d/%m/%Y", "01/01/0001", Some("0001-01-01"))]
    #[case::two_digits("%d/%m/%y", "31/01/20", Some("2020-01-31"))]
    #[case::more_digits_than_two("%d/%m/%y", "31/01/2020", None)]
    #[case::more_text("%d/%m/%Y", "31/01/2020 10:00", None)]
    #[case::names("%d %b %Y", "31 Jan 2020", Some("2020-01-31"))]
    #[case::no_separators("%Y%m%d", "20200131", Some("2020-01-31"))]
    #[case::minutes("%d/%m/%Y %H:%M", "31/01/2020 10:05", Some("2020-01-31T10:05:00"))]
    #[case::midnight("%d/%m/%Y %H:%M", "31/01/2020 00:00", Some("2020-01-31"))]
    #[case::twelve_hours("%m/%d/%Y %I:%M:%S %p", "01/31/2020 10:05:06 PM", Some("2020-01-31T22:05:06"))]
    #[case::fraction("%d.%m.%Y %H:%M:%S%.f", "31.01.2020 10:05:06.250", Some("2020-01-31T10:05:06.25"))]
    #[case::no_fraction("%d.%m.%Y %H:%M:%S%.f", "31.01.2020 10:05:06", Some("2020-01-31T10:05:06"))]
    #[case::offset("%d/%m/%Y %H:%M %z", "31/01/2020 10:05 -0330", Some("2020-01-31T10:05:00-03:30"))]
    #[case::leap_second("%d/%m/%Y %H:%M:%S", "31/12/2016 23:59:60", None)]
    #[case::second_before_it("%d/%m/%Y %H:%M:%S", "31/12/1960 23:59:59", Some("1960-12-31T23:59:59"))]
    #[case::iso_is_another_format("%d/%m/%Y", "2020-01-31", None)]
    #[case::nothing("%d/%m/%Y", "", None)]
    fn a_format_is_read_whole(#[case] format: &str, #[case] text: &str, #[case] expected: Option<&str>) {
        let rule = Rule::Dates(vec![format.to_owned()].into());
        assert_eq!(respelled(&rule, text).as_deref(), expected);
    }

    #[test]
    fn a_timestamp_at_midnight_has_a_time() {
        let rule = Rule::Timestamps(vec!["%d/%m/%Y".to_owned()].into());
        assert_eq!(respelled(&rule, "31/01/2020").as_deref(), Some("2020-01-31T00:00:00"));
    }

    #[test]
    fn of_several_formats_the_first_that_fits_counts() {
        let rule = Rule::Dates(vec!["%d/%m/%Y".to_owned(), "%m/%d/%Y".to_owned()].into());
        assert_eq!(respelled(&rule, "02/03/2020").as_deref(), Some("2020-03-02"));
        assert_eq!(respelled(&rule, "02/13/2020").as_deref(), Some("2020-02-13"));
    }

    #[rstest]
    #[case::no_year("%d/%m", "year, month and day")]
    #[case::no_day("%Y-%m", "year, month and day")]
    #[case::no_directive("day", "year, month and day")]
    #[case::unknown("%d/%m/%K", "unrecognized specifier directive `K`")]
    #[case::cut_off("%d/%m/%Y %", "%")]
    #[case::half_a_day("%d/%m/%Y %I:%M", "%I")]
    #[case::minutes_alone("%d/%m/%Y %M", "hour")]
    #[case::zone("%d/%m/%Y %H:%M %Z", "time zone abbreviation")]
    #[case::zone_name("%d/%m/%Y %H:%M %Q", "time zones")]
    #[case::locale("%x", "locale")]
    fn a_format_that_does_not_tell_the_time_is_refused(#[case] format: &str, #[case] expected: &str) {
        let found = problem(format).unwrap();
        assert!(found.contains(expected), "{found}");
    }

    #[rstest]
    #[case("%d/%m/%Y")]
    #[case("%A, %d. %B %Y")]
    #[case("%Y-%j")]
    #[case("%D %T")]
    #[case("%d/%m/%y %I %p")]
    #[case("%FT%T%.f%:z")]
    fn a_format_that_tells_the_day_is_taken(#[case] format: &str) {
        assert_eq!(problem(format), None);
    }
}
