//! What a file of the wrong shape is told: the exact place and words.

use proptest::prelude::*;
use rstest::rstest;

use super::{MINIMAL, in_output, in_source, refusal};
use crate::dataset::{Dataset, MAX_FILE_BYTES};

#[rstest]
#[case::value_missing(in_source("uri = "), "5:7: string values must be quoted, expected literal string")]
#[case::string_unclosed("name = \"a".to_owned(), "1:10: invalid basic string, expected `\"`")]
#[case::key_twice(in_source("format = \"csv\""), "5:1: duplicate key: leave one of the two out")]
#[case::arrays_too_deep(format!("a = {}", "[".repeat(100_000)), "1:85: cannot recurse further; max recursion depth met")]
#[case::keys_too_deep(format!("a{} = 1", ".a".repeat(100_000)), "1:1: recursion limit")]
fn text_that_is_no_toml_is_refused_where_it_breaks(#[case] text: String, #[case] expected: &str) {
    assert_eq!(refusal(&text), expected);
}

#[rstest]
#[case::empty_file(String::new(), "1:1: missing key `name`: add it to this table")]
#[case::no_source("name = \"a\"\n[output]\nprefix = \"a/\"\n".to_owned(), "1:1: missing key `source`: add it to this table")]
#[case::no_format("name = \"a\"\n[source]\n[output]\nprefix = \"a/\"\n".to_owned(), "2:1: missing key `format`: add it to this table")]
#[case::no_prefix("name = \"a\"\n[source]\nformat = \"csv\"\n[output]\n".to_owned(), "4:1: missing key `prefix`: add it to this table")]
#[case::second_of_two(
    in_output("[[expectations]]\nname = \"a\"\nexpr = \"b\"\n[[expectations]]\nname = \"c\""),
    "11:1: missing key `expr`: add it to this table"
)]
#[case::inline_table(
    in_output("[transform]\ncolumns = [{ name = \"a\" }]"),
    "9:12: missing key `expr`: add it to this table"
)]
fn a_missing_key_is_told_at_its_table(#[case] text: String, #[case] expected: &str) {
    assert_eq!(refusal(&text), expected);
}

#[rstest]
#[case::top_level(
    MINIMAL.replace("name", "nmae"),
    "1:1: unknown key `nmae`, did you mean `name`? known here: name, source, csv, schema, expectations, transform, output, retry, notify, reports"
)]
#[case::in_a_table(
    in_source("  patern = \"*\""),
    "5:3: unknown key `patern`, did you mean `pattern`? known here: uri, pattern, format, modified_within, keep, hosts, allow_http, small_bytes, block_bytes, record_bytes, depth, expansion"
)]
#[case::in_an_inline_table(
    in_output("[transform]\ncolumns = [{ name = \"a\", exp = \"b\" }]"),
    "9:26: unknown key `exp`, did you mean `expr`? known here: name, expr"
)]
#[case::like_nothing(
    in_source("zzz = 1"),
    "5:1: unknown key `zzz`; known here: uri, pattern, format, modified_within, keep, hosts, allow_http, small_bytes, block_bytes, record_bytes, depth, expansion"
)]
fn an_unknown_key_is_told_with_the_one_it_resembles(#[case] text: String, #[case] expected: &str) {
    assert_eq!(refusal(&text), expected);
}

#[rstest]
#[case::format(
    MINIMAL.replace("parquet", "parqet"),
    "4:10: unknown value `parqet`, did you mean `parquet`? known here: parquet, csv, ndjson"
)]
#[case::action(
    in_output("[[expectations]]\nname = \"a\"\nexpr = \"b\"\naction = \"quarentine\""),
    "11:10: unknown value `quarentine`, did you mean `quarantine`? known here: quarantine, drop, warn, fail"
)]
#[case::extra_columns(
    in_output("[schema]\nextra_columns = \"ignore\""),
    "9:17: unknown value `ignore`; known here: keep, drop, fail"
)]
fn an_unknown_word_is_told_with_those_known(#[case] text: String, #[case] expected: &str) {
    assert_eq!(refusal(&text), expected);
}

#[rstest]
#[case::word(MINIMAL.replace("\"parquet\"", "3"), "4:10: expected a string")]
#[case::number(
    in_output("row_group_rows = \"many\""),
    "8:18: invalid type: string \"many\", expected a whole number from 0 on"
)]
#[case::negative(
    in_output("row_group_rows = -1"),
    "8:18: invalid value: integer `-1`, expected a whole number from 0 on"
)]
#[case::share(in_output("max_quarantined = \"a\""), "8:19: invalid type: string \"a\", expected a number")]
#[case::array(in_output("[schema]\ncolumns = 3"), "9:11: invalid type: integer `3`, expected an array")]
#[case::table(in_output("[schema]\ncolumns = [3]"), "9:12: invalid type: integer `3`, expected a table")]
#[case::boolean(
    in_output("[schema]\ncolumns = [{ name = \"a\", type = \"int8\", nullable = 3 }]"),
    "9:52: invalid type: integer `3`, expected true or false"
)]
fn a_value_of_the_wrong_kind_is_told_in_tomls_words(#[case] text: String, #[case] expected: &str) {
    assert_eq!(refusal(&text), expected);
}

#[rstest]
#[case::word("soon", "5:19: `soon` is no duration: write one such as `90s`, `30m`, `12h`, `7d` or `2w`")]
#[case::no_unit("7", "5:19: `7` is no duration: write one such as `90s`, `30m`, `12h`, `7d` or `2w`")]
#[case::negative("-7d", "5:19: `-7d` is no duration: write one such as `90s`, `30m`, `12h`, `7d` or `2w`")]
#[case::months_differ("1 month", "5:19: `1 month` is no duration: write one such as `90s`, `30m`, `12h`, `7d` or `2w`")]
#[case::zero("0d", "5:19: `0d` is zero: write a longer duration, or leave it out")]
#[case::too_long("36526d", "5:19: `36526d` is above 100 years: write a shorter duration, or leave it out")]
fn a_bad_window_is_refused(#[case] window: &str, #[case] expected: &str) {
    assert_eq!(refusal(&in_source(&format!("modified_within = \"{window}\""))), expected);
}

#[rstest]
#[case("gzip", "8:15: unknown compression `gzip`: write `zstd(1)` to `zstd(22)`, `snappy` or `keep`")]
#[case("zstd(0)", "8:15: zstd level `0` is out of range: write 1 to 22")]
#[case("zstd(23)", "8:15: zstd level `23` is out of range: write 1 to 22")]
#[case("zstd(-1)", "8:15: zstd level `-1` is out of range: write 1 to 22")]
#[case("zstd(999999999999)", "8:15: zstd level `999999999999` is out of range: write 1 to 22")]
fn a_bad_codec_is_refused(#[case] codec: &str, #[case] expected: &str) {
    assert_eq!(refusal(&in_output(&format!("compression = \"{codec}\""))), expected);
}

const KNOWN: &str = "known types: bool, int8 to int64, uint8 to uint64, float16, float32, float64, decimal(p, s), string, \
                     binary, dictionary, date, timestamp(s|ms|us|ns), time(s|ms|us|ns)";

#[rstest]
#[case::of_another_system("double", "unknown type `double`, did you mean `float64`? KNOWN")]
#[case::ambiguous_elsewhere("INT", "unknown type `INT`, did you mean `int32` or `int64`? KNOWN")]
#[case::slip("flaot32", "unknown type `flaot32`, did you mean `float32`? KNOWN")]
#[case::like_nothing("polygon", "unknown type `polygon`; KNOWN")]
#[case::parentheses("int32(4)", "`int32` takes no parentheses")]
#[case::unclosed("decimal(4", "type `decimal(4` lacks its closing parenthesis")]
#[case::precision("decimal(39, 2)", "write `decimal(precision, scale)`, precision 1 to 38, scale 0 to the precision")]
#[case::scale("decimal(4, 5)", "write `decimal(precision, scale)`, precision 1 to 38, scale 0 to the precision")]
#[case::bare_decimal("decimal", "write `decimal(precision, scale)`, precision 1 to 38, scale 0 to the precision")]
#[case::unit("timestamp(h)", "unknown unit of time `h`: write `s`, `ms`, `us` or `ns`")]
#[case::zone("timestamp(us, a b)", "time zone `a b` is none: write one such as `UTC` or `America/New_York`")]
fn an_unknown_type_is_refused_with_what_is_known(#[case] column_type: &str, #[case] expected: &str) {
    let text = in_output(&format!("[schema]\ncolumns = [\n  {{ name = \"a\", type = \"{column_type}\" }},\n]"));
    assert_eq!(refusal(&text), format!("10:24: {}", expected.replace("KNOWN", KNOWN)));
}

#[test]
fn a_file_beyond_the_bound_is_refused_unread() {
    let text = " ".repeat(MAX_FILE_BYTES + 1);
    let expected = "1:1: the file has 1048577 bytes, above the limit of 1048576: split it into several datasets";
    assert_eq!(refusal(&text), expected);
}

#[test]
fn what_a_message_quotes_is_cut() {
    let message = refusal(&in_output(&format!("{} = 1", "a".repeat(5_000))));
    assert!(message.len() < 700 && message.ends_with('…'), "{message}");
}

/// Files made of the words and marks that dataset files are made of: most are wrong in some interesting way.
fn nearly_a_file() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            "name", "source", "uri", "pattern", "format", "schema", "columns", "casts", "to", "from", "type", "default",
            "values", "aliases", "expectations", "expr", "output", "prefix", "max_quarantined", "compression",
        ])
        .prop_map(str::to_owned),
        4 => prop::sample::select(vec![
            "=", "[", "]", "[[", "]]", "{", "}", ",", ".", "\n", "\"", "\"\"\"", "'", "'''", "\\", "\\u", "#", " ", "\r\n",
        ])
        .prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = Dataset::parse(&text, "x");
    }

    #[test]
    fn no_text_that_resembles_a_file_panics(text in nearly_a_file(), behind in any::<bool>()) {
        let text = if behind { in_output(&text) } else { format!("{text}\n{MINIMAL}") };
        let _ = Dataset::parse(&text, "x");
    }

    #[test]
    fn no_value_panics(value in any::<String>(), key in 0..8_usize) {
        let text = match key {
            0 => in_source(&format!("uri = '''{value}'''")),
            1 => in_source(&format!("pattern = '''{value}'''")),
            2 => in_source(&format!("modified_within = '''{value}'''")),
            3 => in_output(&format!("compression = '''{value}'''")),
            4 => MINIMAL.replace("\"trips/\"", &format!("'''{value}'''")),
            5 => MINIMAL.replace("\"trips\"", &format!("'''{value}'''")),
            6 => in_output(&format!("[schema]\ncolumns = [{{ name = '''{value}''', type = '''{value}''' }}]")),
            _ => in_output(&format!("[schema]\ncolumns = [{{ name = 'a', type = 'decimal(4, 2)', default = '''{value}''' }}]")),
        };
        let _ = Dataset::parse(&text, "x");
    }
}
