//! Archives by date: a `source.uri` that names one file an hour, or one a day.
//!
//! `https://data.gharchive.org/{date:%Y-%m-%d}-{hour}.json.gz` stands for 24 files a day. Days and hours are UTC's: every
//! day has hours 0 to 23.

use std::collections::HashSet;

use jiff::civil::Date;
use jiff::fmt::strtime;

/// The most files that one request may be about: a year of hours has 8,784.
pub const MAX_FILES: u64 = 10_000;

/// The hours of a day.
const HOURS: i8 = 24;
/// A date without a format of its own.
const ISO_DATE: &str = "%Y-%m-%d";
/// Two days each that differ in their day, their month or their year alone.
const SAMPLES: [(i16, i8, i8); 5] = [(2015, 1, 1), (2015, 1, 2), (2015, 2, 1), (2016, 1, 1), (2115, 1, 1)];
/// The most bytes of a template.
const MAX_TEMPLATE_BYTES: usize = 1_024;

/// A template of keys below one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A day in this strftime format.
    Date(String),
    /// An hour, with two digits where `padded`.
    Hour {
        padded: bool,
    },
}

impl Archive {
    /// Whether a URI has a placeholder.
    pub(super) fn is_template(uri: &str) -> bool {
        ["{date", "{hour"].iter().any(|placeholder| uri.contains(placeholder))
    }

    /// Reads a template: the key, without the host and the slash behind it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what to write.
    pub(super) fn parse(template: &str) -> Result<Self, String> {
        if template.len() > MAX_TEMPLATE_BYTES {
            return Err(format!("the template has more than {MAX_TEMPLATE_BYTES} bytes: write a shorter one"));
        }
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('{') {
            let (placeholder, next) =
                after.split_once('}').ok_or("a `{` is never closed: write `{date:%Y-%m-%d}` or `{hour}`")?;
            pieces.push(Piece::Text(text.to_owned()));
            pieces.push(piece(placeholder)?);
            rest = next;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let archive = Self { pieces };
        archive.check()?;
        Ok(archive)
    }

    /// Whether there is a file an hour; one a day otherwise.
    pub fn is_hourly(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Hour { .. }))
    }

    /// How many files the days from `from` to `to`, both included, have.
    pub fn count(&self, from: Date, to: Date) -> u64 {
        let days = from.until(to).map_or(0, |span| i64::from(span.get_days()) + 1);
        let a_day = if self.is_hourly() { i64::from(HOURS) } else { 1 };
        u64::try_from(days.saturating_mul(a_day)).unwrap_or(0)
    }

    /// The keys of the days from `from` to `to`, both included with all their hours, in order.
    ///
    /// # Errors
    ///
    /// What is wrong: days that are out of order, more files than a request may be about, or two files of one name.
    pub fn keys(&self, from: Date, to: Date) -> Result<Vec<String>, String> {
        if from > to {
            return Err(format!("`from` is {from}, after `to`, {to}: swap them; both days are included"));
        }
        let count = self.count(from, to);
        if count > MAX_FILES {
            return Err(format!(
                "{from} to {to} are {count} files, above the limit of {MAX_FILES} for one request: ask for fewer days"
            ));
        }
        let hours = if self.is_hourly() { HOURS } else { 1 };
        let mut keys = Vec::new();
        for day in from.series(jiff::Span::new().days(1)).take_while(|day| *day <= to) {
            for hour in 0..hours {
                keys.push(self.key(day, hour)?);
            }
        }
        let different: HashSet<&String> = keys.iter().collect();
        if different.len() != keys.len() {
            return Err(
                "source.uri names several hours alike: put text between the placeholders, or write `{hour:02}`"
                    .to_owned(),
            );
        }
        Ok(keys)
    }

    /// The key of one hour; of its day, where there is one file a day.
    pub fn key(&self, day: Date, hour: i8) -> Result<String, String> {
        let mut key = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => key.push_str(text),
                Piece::Date(format) => key.push_str(&format_date(format, day)?),
                Piece::Hour { padded: true } => key.push_str(&format!("{hour:02}")),
                Piece::Hour { padded: false } => key.push_str(&hour.to_string()),
            }
        }
        Ok(key)
    }

    /// The text before the first placeholder, up to its last slash: the folder that all files lie in.
    pub(super) fn folder(&self) -> String {
        match self.pieces.first() {
            Some(Piece::Text(text)) => text.rfind('/').and_then(|slash| text.get(..=slash)).unwrap_or("").to_owned(),
            _ => String::new(),
        }
    }

    fn check(&self) -> Result<(), String> {
        if !self.pieces.iter().any(|piece| matches!(piece, Piece::Date(_))) {
            return Err("a template without a date names the same files every day: write `{date:%Y-%m-%d}`".to_owned());
        }
        let mut seen = HashSet::new();
        for (year, month, day) in SAMPLES {
            let date = Date::new(year, month, day).map_err(|error| error.to_string())?;
            for hour in [0, 23] {
                let key = self.key(date, hour)?;
                check_key(&key)?;
                if !seen.insert(key.clone()) && (hour == 0 || self.is_hourly()) {
                    return Err(format!(
                        "the template names two days alike, `{key}`: write year, month and day, such as `{{date:%Y-%m-%d}}`"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn piece(placeholder: &str) -> Result<Piece, String> {
    match placeholder.split_once(':') {
        None if placeholder == "date" => Ok(Piece::Date(ISO_DATE.to_owned())),
        None if placeholder == "hour" => Ok(Piece::Hour { padded: false }),
        Some(("hour", "02")) => Ok(Piece::Hour { padded: true }),
        Some(("date", format)) if !format.is_empty() => Ok(Piece::Date(format.to_owned())),
        _ => Err(format!(
            "unknown placeholder `{{{placeholder}}}`: write `{{date:%Y-%m-%d}}` (as strftime has it), `{{hour}}` or `{{hour:02}}`"
        )),
    }
}

fn format_date(format: &str, day: Date) -> Result<String, String> {
    strtime::format(format, day)
        .map_err(|error| format!("bad date format `{format}`: {error}: write one such as `%Y-%m-%d`"))
}

/// A key is the path of a URL as it is sent: what is not allowed in one is written percent-encoded.
pub(super) fn check_key(key: &str) -> Result<(), String> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(byte);
    if let Some(byte) = key.bytes().find(|byte| !is_plain(byte)) {
        return Err(match byte {
            b'?' | b'#' => {
                "a URL of a source has no query and no fragment: the end of its path tells how it is packed".to_owned()
            }
            _ => format!("`{}` is not allowed in the path of a URL: percent-encode it", byte.escape_ascii()),
        });
    }
    if key.split('/').any(|name| name == "." || name == "..") {
        return Err("the path of a URL has a `.` or `..` in it: write it without".to_owned());
    }
    let mut escapes = key.split('%').skip(1);
    if !escapes.all(|after| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2) {
        return Err("a `%` in the path of a URL has no two hexadecimal digits behind it: write `%25`".to_owned());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const HOURLY: &str = "{date:%Y-%m-%d}-{hour}.json.gz";

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_has_all_its_hours_and_the_last_day_is_included() {
        let keys = Archive::parse(HOURLY).unwrap().keys(day("2015-01-31"), day("2015-02-01")).unwrap();
        assert_eq!(keys.len(), 48);
        assert_eq!((keys[0].as_str(), keys[23].as_str()), ("2015-01-31-0.json.gz", "2015-01-31-23.json.gz"));
        assert_eq!((keys[24].as_str(), keys[47].as_str()), ("2015-02-01-0.json.gz", "2015-02-01-23.json.gz"));
    }

    #[rstest]
    #[case("a/{date:%Y/%m}/b-{date:%d}-{hour:02}.csv", "a/2015/01/b-02-03.csv", "a/")]
    #[case("{date}T{hour}.csv", "2015-01-02T3.csv", "")]
    #[case("x/y-{date:%Y%m%d}.parquet", "x/y-20150102.parquet", "x/")]
    #[case("{date:%Y-%j}.parquet", "2015-002.parquet", "")]
    fn a_template_names_files(#[case] template: &str, #[case] key: &str, #[case] folder: &str) {
        let archive = Archive::parse(template).unwrap();
        assert_eq!(archive.key(day("2015-01-02"), 3).unwrap(), key);
        assert_eq!(archive.folder(), folder);
    }

    #[rstest]
    #[case("{hour}.gz", "without a date")]
    #[case("{date:%Y-%m}-{hour}.gz", "two days alike")]
    #[case("{date:%m-%d}-{hour}.gz", "two days alike")]
    #[case("{date:%y-%m-%d}-{hour}.gz", "two days alike")]
    #[case("{date:%Y-%m-%d %H}.gz", "bad date format")]
    #[case("{date:%Q}.gz", "bad date format")]
    #[case("{date:%Y-%m-%d", "never closed")]
    #[case("{date}-{hour:3}.gz", "unknown placeholder `{hour:3}`")]
    #[case("{date}-{minute}.gz", "unknown placeholder `{minute}`")]
    #[case("{date:}.gz", "unknown placeholder")]
    #[case("{date}.gz?x={hour}", "no query")]
    #[case("{date:%Y %m %d}.gz", "percent-encode")]
    #[case("{date:%Y%n%m%d}.gz", "percent-encode")]
    #[case("../{date}.gz", "`..`")]
    #[case("{date}.gz%zz", "hexadecimal")]
    fn what_names_no_files_is_refused(#[case] template: &str, #[case] why: &str) {
        let error = Archive::parse(template).unwrap_err();
        assert!(error.contains(why), "{template}: {error}");
    }

    #[test]
    fn hours_that_run_into_days_are_told() {
        let error = Archive::parse("{date:%Y-%-m-%-d}{hour}.gz").unwrap().keys(day("2015-01-01"), day("2015-01-11"));
        assert!(error.unwrap_err().contains("several hours alike"));
    }

    #[test]
    fn a_request_is_bounded() {
        let archive = Archive::parse(HOURLY).unwrap();
        assert_eq!(archive.keys(day("2016-01-01"), day("2016-12-31")).unwrap().len(), 8_784);
        let error = archive.keys(day("0001-01-01"), day("9999-12-31")).unwrap_err();
        assert!(error.contains("above the limit of 10000"), "{error}");
        assert!(archive.keys(day("2015-01-02"), day("2015-01-01")).unwrap_err().contains("after `to`"));
        assert_eq!(archive.keys(day("9999-12-31"), day("9999-12-31")).unwrap().len(), 24, "the last day there is");
    }

    proptest! {
        #[test]
        fn every_hour_of_every_day_appears_once_and_in_order(start in -700_000i32..700_000, days in 0i32..300) {
            let from = day("1970-01-01").saturating_add(jiff::Span::new().days(start));
            let to = from.saturating_add(jiff::Span::new().days(days));
            let expected: Vec<String> = (0..=days)
                .map(|add| from.saturating_add(jiff::Span::new().days(add)))
                .flat_map(|day| (0..24).map(move |hour| format!("{day}-{hour}.json.gz")))
                .collect();
            let archive = Archive::parse(HOURLY).unwrap();
            prop_assert_eq!(archive.count(from, to), expected.len() as u64);
            prop_assert_eq!(archive.keys(from, to).unwrap(), expected);
        }

        #[test]
        fn no_template_panics(template in "[{}:%a-zA-Z0-9?/. -]{0,30}") {
            let _ = Archive::parse(&template);
        }
    }
}
