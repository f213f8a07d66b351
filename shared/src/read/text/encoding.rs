//! A CSV that is not UTF-8. Records and fields are told apart on raw bytes, and values are decoded one by one: so an
//! encoding has one byte a character, and ASCII means what it means elsewhere.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};

use crate::dataset::CsvSpec;

/// The encoding that `[csv]` names; `None`: UTF-8. Labels are those of the WHATWG, for which `latin1` is windows-1252.
///
/// # Errors
///
/// What is wrong with the name, and what to write.
pub(crate) fn encoding(csv: &CsvSpec) -> Result<Option<&'static Encoding>, String> {
    let Some(label) = &csv.encoding else { return Ok(None) };
    match Encoding::for_label(label.as_bytes()) {
        Some(found) if found == UTF_8 => Ok(None),
        Some(found) if found.is_single_byte() && found.is_ascii_compatible() => Ok(Some(found)),
        Some(found) => Err(format!(
            "`{label}` ({}) has characters of several bytes, and records are found byte by byte: convert the files to \
             UTF-8, or write an encoding of one byte a character",
            found.name()
        )),
        None => Err(format!(
            "unknown encoding `{label}`: write utf-8, latin1, windows-1250 to windows-1258, iso-8859-2 to iso-8859-16, \
             koi8-r, koi8-u, ibm866 or macintosh"
        )),
    }
}

/// The text; `None` where a byte stands for no character.
pub(super) fn decode<'t>(encoding: &'static Encoding, text: &'t [u8]) -> Option<Cow<'t, str>> {
    encoding.decode_without_bom_handling_and_without_replacement(text)
}

/// The text; bytes that stand for no character are replaced by U+FFFD.
pub(super) fn decode_lossy<'t>(encoding: Option<&'static Encoding>, text: &'t [u8]) -> Cow<'t, str> {
    match encoding {
        None => String::from_utf8_lossy(text),
        Some(encoding) => encoding.decode_without_bom_handling(text).0,
    }
}

/// A text without the white space around it.
pub(super) fn trimmed<'t>(encoding: &'static Encoding, text: &'t [u8]) -> &'t [u8] {
    let is_space = |byte: &u8| decode(encoding, std::slice::from_ref(byte)).is_some_and(|text| text.trim().is_empty());
    let Some(start) = text.iter().position(|byte| !is_space(byte)) else { return &[] };
    let end = text.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

/// The bytes that a text has in the source; `None` where it cannot be there.
pub(super) fn encode(encoding: Option<&'static Encoding>, text: &str) -> Option<Vec<u8>> {
    let Some(encoding) = encoding else { return Some(text.as_bytes().to_vec()) };
    let (bytes, _, is_replaced) = encoding.encode(text);
    (!is_replaced).then(|| bytes.into_owned())
}

/// UTF-16 by its byte order mark.
pub(super) fn utf16(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, ..] => Some("UTF-16LE"),
        [0xfe, 0xff, ..] => Some("UTF-16BE"),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn named(label: &str) -> Result<Option<&'static str>, String> {
        let csv = CsvSpec { encoding: Some(label.to_owned()), ..CsvSpec::default() };
        encoding(&csv).map(|found| found.map(Encoding::name))
    }

    #[rstest]
    #[case("utf-8", None)]
    #[case("UTF8", None)]
    #[case("latin1", Some("windows-1252"))]
    #[case("ISO-8859-1", Some("windows-1252"))]
    #[case("iso-8859-15", Some("ISO-8859-15"))]
    #[case("cp1251", Some("windows-1251"))]
    #[case("koi8-r", Some("KOI8-R"))]
    #[case("macintosh", Some("macintosh"))]
    fn an_encoding_of_single_bytes_is_taken(#[case] label: &str, #[case] expected: Option<&str>) {
        assert_eq!(named(label).unwrap(), expected);
    }

    #[rstest]
    #[case("utf-16", "UTF-16LE")]
    #[case("utf-16be", "UTF-16BE")]
    #[case("shift_jis", "Shift_JIS")]
    #[case("gb18030", "gb18030")]
    #[case("iso-2022-jp", "ISO-2022-JP")]
    #[case("utf-7", "unknown encoding `utf-7`")]
    #[case("", "unknown encoding ``")]
    fn any_other_is_refused_in_words(#[case] label: &str, #[case] expected: &str) {
        let found = named(label).unwrap_err();
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn every_byte_of_an_encoding_taken_is_itself_where_it_is_ascii() {
        for label in ["latin1", "iso-8859-6", "windows-1255", "koi8-u", "ibm866", "macintosh", "windows-874"] {
            let encoding = Encoding::for_label(label.as_bytes()).unwrap();
            for byte in 0..0x80_u8 {
                assert_eq!(decode(encoding, &[byte]).unwrap().as_bytes(), [byte], "{label}");
            }
        }
    }

    #[test]
    fn a_byte_without_a_character_decodes_to_nothing() {
        let greek = Encoding::for_label(b"iso-8859-7").unwrap();
        assert_eq!(decode(greek, b"\xe1").as_deref(), Some("α"));
        assert_eq!(decode(greek, b"\xe1\xff"), None);
    }

    #[rstest]
    #[case("latin1", b" \xa0caf\xe9\t", b"caf\xe9")]
    #[case::utf_8_would_see_a_no_break_space("latin1", b"\xc2\xa0", b"\xc2")]
    #[case::a_letter_elsewhere("koi8-r", b"\xa0", b"\xa0")]
    #[case::white_space_alone("latin1", b" \xa0 ", b"")]
    fn white_space_is_what_the_encoding_has_as_such(#[case] label: &str, #[case] text: &[u8], #[case] expected: &[u8]) {
        let encoding = Encoding::for_label(label.as_bytes()).unwrap();
        assert_eq!(trimmed(encoding, text), expected);
    }

    #[test]
    fn a_text_that_the_encoding_lacks_is_nowhere_in_the_source() {
        let latin = Encoding::for_label(b"latin1");
        assert_eq!(encode(latin, "é"), Some(vec![0xe9]));
        assert_eq!(encode(latin, "ł"), None);
    }
}
