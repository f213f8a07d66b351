//! What an answer's header tells of the file.

use std::ops::Range;
use std::time::Duration;

use http::{HeaderMap, HeaderName, header};
use jiff::fmt::rfc2822::DateTimeParser;

use crate::storage::ObjectVersion;

/// Which version of a file this is, and how long the file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub version: ObjectVersion,
    pub size: u64,
}

/// Reads the header of an answer whose file has `size` bytes.
///
/// The version's ETag is the header's own text: a strong one without its quotes, a weak one as it stands, and where there is
/// none, `length="5"`, which no ETag can be: quotes are not allowed inside of one (RFC 9110, 8.8.3).
pub(super) fn told(headers: &HeaderMap, size: u64) -> Told {
    let etag = match text(headers, header::ETAG) {
        Some(etag) if etag.contains('"') => strong(etag).unwrap_or(etag).to_owned(),
        // Against the rules: whether `If-Match` would find it again is the server's secret.
        Some(etag) => format!("unquoted=\"{etag}\""),
        None => format!("length=\"{size}\""),
    };
    Told {
        version: ObjectVersion { version_id: None, etag, last_modified_ms: modified_ms(headers).unwrap_or(0) },
        size,
    }
}

/// A strong ETag without its quotes.
fn strong(etag: &str) -> Option<&str> {
    let inner = etag.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.is_empty() && !inner.contains('"')).then_some(inner)
}

/// The value of `If-Match` that pins a read to a version: only a strong ETag can (RFC 9110, 13.1.1).
pub(super) fn if_match(version: &ObjectVersion) -> Option<String> {
    (!version.etag.contains('"')).then(|| format!("\"{}\"", version.etag))
}

/// Whether an answer is of this version. Servers may leave the ETag out of an answer to `If-Match`.
pub(super) fn is_same(version: &ObjectVersion, headers: &HeaderMap, size: u64) -> bool {
    let now = told(headers, size).version;
    let has_etag = headers.contains_key(header::ETAG);
    let same_date = headers.get(header::LAST_MODIFIED).is_none() || now.last_modified_ms == version.last_modified_ms;
    match if_match(version) {
        Some(_) => {
            if has_etag {
                now.etag == version.etag
            } else {
                same_date
            }
        }
        None => now.etag == version.etag && same_date,
    }
}

/// Milliseconds since 1970-01-01 UTC.
fn modified_ms(headers: &HeaderMap) -> Option<i64> {
    let text = text(headers, header::LAST_MODIFIED)?;
    DateTimeParser::new().parse_timestamp(text).ok().map(jiff::Timestamp::as_millisecond)
}

/// The length of a whole body.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    number(text(headers, header::CONTENT_LENGTH)?)
}

/// The range that a 206 holds, and the whole file's length: `bytes 0-4/10`.
pub(super) fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let (range, size) = text(headers, header::CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size) = (number(first)?, number(last)?, number(size)?);
    (first <= last && last < size).then_some((first..last.checked_add(1)?, size))
}

/// The whole file's length in a 416: `bytes */10`.
pub(super) fn unsatisfied_size(headers: &HeaderMap) -> Option<u64> {
    number(text(headers, header::CONTENT_RANGE)?.strip_prefix("bytes */")?)
}

/// How long the server wants to be left alone, where it says so in seconds.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    number(text(headers, header::RETRY_AFTER)?).map(Duration::from_secs)
}

/// What a body is coded with, unless that is how the file itself is packed: some servers name a `.gz` file so.
pub(super) fn foreign_coding<'a>(headers: &'a HeaderMap, key: &str) -> Option<&'a str> {
    let coding = text(headers, header::CONTENT_ENCODING)?;
    let is_own = match coding.to_ascii_lowercase().as_str() {
        "identity" | "" => true,
        "gzip" | "x-gzip" => key.to_ascii_lowercase().ends_with(".gz"),
        "zstd" => key.to_ascii_lowercase().ends_with(".zst"),
        _ => false,
    };
    (!is_own).then_some(coding)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Digits alone: `parse` would take a sign.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&str, &str)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap());
        lines.iter().map(line).collect::<Vec<(HeaderName, HeaderValue)>>().into_iter().collect()
    }

    #[rstest]
    #[case::strong("\"abc\"", "abc", Some("\"abc\""))]
    #[case::weak("W/\"abc\"", "W/\"abc\"", None)]
    #[case::odd("\"a\"b\"", "\"a\"b\"", None)]
    #[case::bare("abc", "unquoted=\"abc\"", None)]
    fn only_a_strong_etag_pins(#[case] header: &str, #[case] etag: &str, #[case] pin: Option<&str>) {
        let version = told(&headers(&[("etag", header)]), 5).version;
        assert_eq!((version.etag.as_str(), if_match(&version).as_deref()), (etag, pin));
        assert!(is_same(&version, &headers(&[("etag", header)]), 5));
        assert!(!is_same(&version, &headers(&[("etag", "\"other\"")]), 5));
    }

    #[test]
    fn without_an_etag_length_and_date_tell_the_version() {
        let date = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
        let version = told(&headers(&[date]), 5).version;
        assert_eq!((version.etag.as_str(), version.last_modified_ms), ("length=\"5\"", 784_111_777_000));
        assert!(is_same(&version, &headers(&[date]), 5));
        assert!(!is_same(&version, &headers(&[date]), 6));
        assert!(!is_same(&version, &headers(&[("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT")]), 5));
        assert!(!is_same(&version, &headers(&[date, ("etag", "\"length=5\"")]), 5));
    }

    #[rstest]
    #[case("bytes 0-4/10", Some((0..5, 10)))]
    #[case("bytes 5-9/10", Some((5..10, 10)))]
    #[case("bytes 5-10/10", None)]
    #[case("bytes 5-4/10", None)]
    #[case("bytes 0-4/*", None)]
    #[case("bytes -1-4/10", None)]
    #[case("bytes 0-18446744073709551615/18446744073709551615", None)]
    #[case("items 0-4/10", None)]
    fn ranges_are_read_or_refused(#[case] text: &str, #[case] expected: Option<(Range<u64>, u64)>) {
        assert_eq!(content_range(&headers(&[("content-range", text)])), expected);
    }

    #[test]
    fn a_packed_file_may_be_called_so() {
        let coded = headers(&[("content-encoding", "x-gzip")]);
        assert_eq!(foreign_coding(&coded, "a.json.gz"), None);
        assert_eq!(foreign_coding(&coded, "a.json"), Some("x-gzip"));
        assert_eq!(foreign_coding(&headers(&[("content-encoding", "br")]), "a.json.gz"), Some("br"));
    }
}
