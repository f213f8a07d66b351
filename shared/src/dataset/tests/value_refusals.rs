//! What wrong values are told: the exact place and words.

use rstest::rstest;

use super::{MINIMAL, in_output, in_source, parse, refusal};

/// Line 10 holds the column.
fn column(entry: &str) -> String {
    in_output(&format!("[schema]\ncolumns = [\n  {{ {entry} }},\n]"))
}

/// Lines 10 and 11 hold the columns.
fn columns(first: &str, second: &str) -> String {
    in_output(&format!("[schema]\ncolumns = [\n  {{ {first} }},\n  {{ {second} }},\n]"))
}

/// Line 10 holds the cast.
fn cast(entry: &str) -> String {
    in_output(&format!("[schema]\ncasts = [\n  {{ {entry} }},\n]"))
}

#[rstest]
#[case::empty("", "1:8: the name is empty: write one such as `trips`")]
#[case::space("trips 2", "1:8: bad name `trips 2`: write letters, digits, `_` and `-`, a letter or digit first")]
#[case::slash("a/b", "1:8: bad name `a/b`: write letters, digits, `_` and `-`, a letter or digit first")]
#[case::underscore("_trips", "1:8: bad name `_trips`: write letters, digits, `_` and `-`, a letter or digit first")]
#[case::long(&"a".repeat(65), "1:8: the name has 65 bytes, above the limit of 64: write a shorter one")]
fn a_bad_dataset_name_is_refused(#[case] name: &str, #[case] expected: &str) {
    assert_eq!(refusal(&MINIMAL.replace("\"trips\"", &format!("\"{name}\""))), expected);
}

#[rstest]
#[case::empty("", "the prefix is empty: write a folder such as `trips/`")]
#[case::root("/", "prefix `/` is absolute: write a folder of the sink such as `trips/`")]
#[case::absolute("/a/", "prefix `/a/` is absolute: write a folder of the sink such as `trips/`")]
#[case::uri("s3://a/b/", "prefix `s3://a/b/` is absolute: write a folder of the sink such as `trips/`")]
#[case::parent("a/../b/", "prefix `a/../b/` holds an empty, `.` or `..` folder: write plain names")]
#[case::doubled_slash("a//b/", "prefix `a//b/` holds an empty, `.` or `..` folder: write plain names")]
#[case::underscore("_a/", "folder `_a` of the prefix starts with `_`, so readers would not see it: rename it")]
#[case::dot("a/.b", "folder `.b` of the prefix starts with `.`, so readers would not see it: rename it")]
#[case::test_runs("test_pipeline/a", "`test_pipeline` is where test runs write: write another folder")]
#[case::control("a\\tb", "the prefix holds a control character or a backslash: write plain names")]
#[case::long(&"a".repeat(257), "the prefix has 257 bytes, above the limit of 256: write a shorter one")]
fn a_prefix_that_is_no_visible_folder_of_the_sink_is_refused(#[case] prefix: &str, #[case] expected: &str) {
    assert_eq!(refusal(&MINIMAL.replace("trips/", prefix)), format!("7:10: {expected}"));
}

#[rstest]
#[case::scheme("ftp://a/b", "unknown scheme `ftp`: write `s3://bucket/prefix/`, `file:///folder/` or a path")]
#[case::empty("", "the URI is empty or holds control characters: write `s3://bucket/prefix/` or a path")]
#[case::no_bucket("s3:///b", "`` is no bucket's name: write `s3://bucket/prefix/`")]
#[case::bad_bucket("s3://a b/", "`a b` is no bucket's name: write `s3://bucket/prefix/`")]
#[case::host("file://host/b", "a file URI names no host: write `file:///folder/`, with three slashes")]
#[case::web_host(
    "https://user@h/a/",
    "`user@h` is no host: write a name such as `data.example.org`, without scheme and path"
)]
#[case::plain_http(
    "http://h.org/a/",
    "http:// is neither encrypted nor proven: use https://, or set source.allow_http = true"
)]
#[case::query(
    "https://h.org/a?b/",
    "a URL of a source has no query and no fragment: the end of its path tells how it is packed"
)]
#[case::no_web(
    "s3://b/{date}.gz",
    "`{date}` and `{hour}` are for archives on the web: write `https://host/…`; in a bucket or a folder, files are found by `pattern`"
)]
#[case::no_day(
    "https://h.org/{date:%Y-%m}/{hour}.gz",
    "the template names two days alike, `2015-01/0.gz`: write year, month and day, such as `{date:%Y-%m-%d}`"
)]
#[case::in_host(
    "https://{date}.h.org/a.gz",
    "`{date}.h.org` is no host: write a name such as `data.example.org`, without scheme and path"
)]
fn a_bad_uri_is_refused(#[case] uri: &str, #[case] expected: &str) {
    assert_eq!(refusal(&in_source(&format!("uri = \"{uri}\""))), format!("5:7: {expected}"));
}

#[rstest]
#[case::path("h.org/x")]
#[case::scheme("https://h.org")]
#[case::glob("*.h.org")]
#[case::port("h.org:https")]
fn a_bad_host_is_refused(#[case] host: &str) {
    let told = refusal(&in_source(&format!("hosts = [\"ok.org\", \"{host}\"]")));
    assert!(told.starts_with("5:20: "), "{told}");
}

#[test]
fn an_archives_window_is_refused() {
    let text = in_source("uri = \"https://h.org/{date}.parquet\"\nmodified_within = \"7d\"");
    assert!(refusal(&text).starts_with("6:19: an archive's files are told by date"), "{}", refusal(&text));
}

#[rstest]
#[case::class("[a", "bad pattern `[a`: unclosed character class; missing ']'")]
#[case::empty("", "a pattern has 1 to 1024 bytes: write one such as `*.parquet` or `**`")]
#[case::long(&"a".repeat(1_025), "a pattern has 1 to 1024 bytes: write one such as `*.parquet` or `**`")]
fn a_bad_pattern_is_refused(#[case] pattern: &str, #[case] expected: &str) {
    assert_eq!(refusal(&in_source(&format!("pattern = \"{pattern}\""))), format!("5:11: {expected}"));
}

#[rstest]
#[case::empty(r#"name = " ", type = "int8""#, "10:12: the name is empty: write one")]
#[case::reserved(
    r#"name = "_rowmill_row", type = "int8""#,
    "10:12: column names that start with `_rowmill_` are the quarantine's: write another"
)]
#[case::control(r#"name = "a\u0000", type = "int8""#, "10:12: the name holds a control character: leave it out")]
#[case::null(
    r#"name = "a", type = "null""#,
    "10:24: `null` is a type only for `from`: write the type that values become"
)]
#[case::values(
    r#"name = "a", type = "int8", values = ["Y"]"#,
    "10:41: `values` needs a `string` or `dictionary` column, this one is `int8`"
)]
#[case::round(
    r#"name = "a", type = "float32", round = true"#,
    "10:43: `round` needs a `decimal` column, this one is `float32`"
)]
#[case::otherwise(
    r#"name = "a", type = "string", otherwise = "null""#,
    "10:46: `otherwise` needs `values`: list the values allowed"
)]
fn a_bad_column_is_refused(#[case] entry: &str, #[case] expected: &str) {
    assert_eq!(refusal(&column(entry)), expected);
}

#[rstest]
#[case(
    r#"name = "a", type = "int8""#,
    r#"name = "A", type = "int8""#,
    "11:12: `A` already leads to column `a` (names match without case): rename one"
)]
#[case(
    r#"name = "a", type = "int8", aliases = ["b"]"#,
    r#"name = "c", type = "int8", aliases = ["d", "B"]"#,
    "11:48: `B` already leads to column `a` (names match without case): rename one"
)]
#[case(
    r#"name = "a", type = "int8", aliases = ["C"]"#,
    r#"name = "c", type = "int8""#,
    "10:43: `C` already leads to column `c` (names match without case): rename one"
)]
fn no_two_columns_share_a_name_or_alias(#[case] first: &str, #[case] second: &str, #[case] expected: &str) {
    assert_eq!(refusal(&columns(first, second)), expected);
}

#[rstest]
#[case("bool", "1", "true or false")]
#[case("int8", "128", "an integer from -128 to 127")]
#[case("int64", "1.0", "an integer from -9223372036854775808 to 9223372036854775807")]
#[case("uint8", "-1", "an integer from 0 to 255")]
#[case("float32", "\"1\"", "a number such as 0.0")]
#[case("decimal(4, 2)", "123", "a number that has its digits, such as \"0\"")]
#[case("decimal(4, 2)", "\"1.234\"", "a number that has its digits, such as \"0\"")]
#[case("decimal(4, 2)", "\"1e1\"", "a number that has its digits, such as \"0\"")]
#[case("string", "1", "a string")]
#[case("date", "2020-01-01T00:00:00", "a date such as 2019-02-01")]
#[case("time(s)", "2020-01-01", "a time of day such as 00:00:00")]
#[case("timestamp(us)", "2020-01-01T00:00:00Z", "a local time such as 2019-02-01T00:00:00")]
#[case("timestamp(us, UTC)", "2020-01-01T00:00:00", "a time with its offset such as 2019-02-01T00:00:00Z")]
fn a_default_of_another_type_is_refused(#[case] column_type: &str, #[case] default: &str, #[case] write: &str) {
    let parsed: crate::dataset::ColumnType = column_type.parse().unwrap();
    let entry = format!("default = {default}, name = \"a\", type = \"{column_type}\"");
    assert_eq!(refusal(&column(&entry)), format!("10:15: the default is no `{parsed}`: write {write}"));
}

#[test]
fn a_default_outside_the_value_list_is_refused() {
    let entry = r#"name = "a", type = "string", values = ["Y"], default = "N""#;
    assert_eq!(refusal(&column(entry)), "10:60: default \"N\" is not among `values`: write one of those");
}

#[rstest]
#[case("bool", "true")]
#[case("int8", "-128")]
#[case("uint64", "9223372036854775807")]
#[case("float32", "1")]
#[case("float64", "nan")]
#[case("decimal(4, 2)", "12.5")]
#[case("decimal(4, 2)", "\"-012.340\"")]
#[case("string", "\"\"")]
#[case("dictionary", "\"Y\"")]
#[case("binary", "\"a\"")]
#[case("date", "2020-01-01")]
#[case("time(ns)", "12:30:00")]
#[case("timestamp", "2020-01-01T00:00:00.5")]
#[case("timestamp(ms, \\\"UTC\\\")", "2020-01-01T00:00:00Z")]
fn a_default_of_the_type_is_taken(#[case] column_type: &str, #[case] default: &str) {
    parse(&column(&format!("default = {default}, name = \"a\", type = \"{column_type}\"")));
}

#[rstest]
#[case::matches_nothing(r#"to = "int8""#, "10:3: the cast matches nothing: give it `column`, `from` or both")]
#[case::pattern(r#"column = "[", to = "int8""#, "10:14: bad pattern `[`: unclosed character class; missing ']'")]
#[case::empty_pattern(r#"column = "", to = "int8""#, "10:14: a pattern has 1 to 256 bytes: write one such as `*flag*`")]
#[case::null(
    r#"column = "a", to = "null""#,
    "10:24: `null` is a type only for `from`: write the type that values become"
)]
#[case::values(
    r#"column = "a", to = "int8", values = ["a"]"#,
    "10:41: `values` needs a `string` or `dictionary` column, this one is `int8`"
)]
fn a_bad_cast_is_refused(#[case] entry: &str, #[case] expected: &str) {
    assert_eq!(refusal(&cast(entry)), expected);
}

#[rstest]
#[case::name("name = \"\"\nexpr = \"a\"", "9:8: the name is empty: write one")]
#[case::expr("name = \"a\"\nexpr = \" \"", "10:8: the expression is empty: write SQL, or leave the entry out")]
#[case::twice(
    "name = \"a\"\nexpr = \"b\"\n[[expectations]]\nname = \"a\"\nexpr = \"c\"",
    "12:8: a second expectation named `a`: rename one, for names are the reasons given"
)]
fn a_bad_expectation_is_refused(#[case] lines: &str, #[case] expected: &str) {
    assert_eq!(refusal(&in_output(&format!("[[expectations]]\n{lines}"))), expected);
}

#[rstest]
#[case::filter("filter = \"\"", "9:10: the expression is empty: write SQL, or leave the entry out")]
#[case::expr(
    r#"columns = [{ name = "a", expr = "" }]"#,
    "9:33: the expression is empty: write SQL, or leave the entry out"
)]
#[case::twice(
    r#"columns = [{ name = "a", expr = "1" }, { name = "A", expr = "1" }]"#,
    "9:49: a second column named `A` (besides `a`, ignoring case): rename one"
)]
fn a_bad_transform_is_refused(#[case] lines: &str, #[case] expected: &str) {
    assert_eq!(refusal(&in_output(&format!("[transform]\n{lines}"))), expected);
}

#[test]
fn a_derived_column_does_not_take_a_contract_columns_name() {
    let text = in_output(
        "[schema]\ncolumns = [{ name = \"fare\", type = \"int8\" }]\n[transform]\ncolumns = [{ name = \"Fare\", expr = \"1\" }]",
    );
    assert_eq!(refusal(&text), "11:21: a second column named `Fare` (besides `fare`, ignoring case): rename one");
}

#[rstest]
#[case("row_group_rows = 0", "8:18: `row_group_rows` is 0: write 1 to 134217728")]
#[case("row_group_rows = 134_217_729", "8:18: `row_group_rows` is 134217729: write 1 to 134217728")]
#[case("slice_row_groups = 0", "8:20: `slice_row_groups` is 0: write 1 to 1024")]
#[case("slice_row_groups = 1025", "8:20: `slice_row_groups` is 1025: write 1 to 1024")]
#[case("max_quarantined = 1.5", "8:19: `max_quarantined` is 1.5: write a share from 0 to 1, such as 0.05")]
#[case("max_quarantined = -0.1", "8:19: `max_quarantined` is -0.1: write a share from 0 to 1, such as 0.05")]
#[case("max_quarantined = nan", "8:19: `max_quarantined` is NaN: write a share from 0 to 1, such as 0.05")]
fn a_number_out_of_bounds_is_refused(#[case] line: &str, #[case] expected: &str) {
    assert_eq!(refusal(&in_output(line)), expected);
}

#[test]
fn all_wrong_values_are_told_at_once_in_the_order_of_the_file() {
    let text = in_output("slice_row_groups = 0\nrow_group_rows = 0").replace("\"trips\"", "\"\"");
    let expected = "1:8: the name is empty: write one such as `trips`\n\
        trips.toml:8:20: `slice_row_groups` is 0: write 1 to 1024\n\
        trips.toml:9:18: `row_group_rows` is 0: write 1 to 134217728";
    assert_eq!(refusal(&text), expected);
}

#[test]
fn ten_thousand_wrong_columns_are_told_briefly_and_one_more_is_too_many() {
    let wide =
        |count| in_output(&format!("[schema]\ncolumns = [{}]", "{ name = \"a\", type = \"int8\" },".repeat(count)));
    let message = refusal(&wide(10_000));
    assert_eq!(message.lines().count(), 21);
    assert!(message.ends_with("\nand 9979 more"), "{message}");
    assert_eq!(refusal(&wide(10_001)), "9:11: 10001 entries, above the limit of 10000: write fewer");
}

#[rstest]
#[case::keep_of_parquet(
    in_source("keep = \"a = 'b'\""),
    "5:8: `keep` is for ndjson: write the condition as transform.filter"
)]
#[case::csv_of_parquet(
    MINIMAL.replace("[output]", "[csv]\ndelimiter = \";\"\n[output]"),
    "6:1: `[csv]` is for source.format = \"csv\": leave the table out"
)]
#[case::delimiter(
    MINIMAL.replace("parquet", "csv").replace("[output]", "[csv]\ndelimiter = \"::\"\n[output]"),
    "7:13: the delimiter is one ASCII character, and no line end: write one such as `,`"
)]
#[case::record_bytes(in_source("record_bytes = 0"), "5:16: `record_bytes` is 0: write 1 to 268435456")]
#[case::no_columns(
    MINIMAL.replace("parquet", "ndjson"),
    "1:1: ndjson needs [schema] columns: name each column, its type and its path, such as `actor.login`"
)]
#[case::two_arrays(
    columns(
        "name = \"a\", type = \"string\", path = \"x[].a\"",
        "name = \"b\", type = \"string\", path = \"y[].b\""
    ).replace("parquet", "ndjson"),
    "11:41: columns `a` and `b` go through different arrays: one array makes the rows"
)]
#[case::path_of_parquet(
    column("name = \"a\", type = \"string\", path = \"x\""),
    "10:41: `path` is for ndjson: name the source's column with `aliases`"
)]
fn keys_of_text_formats_are_refused_where_they_mean_nothing(#[case] text: String, #[case] expected: &str) {
    assert_eq!(refusal(&text), expected);
}

#[rstest]
#[case(
    "decimal = \",\"",
    "7:11: decimal and delimiter are both `,`: write what is between the fields, such as delimiter = \";\""
)]
#[case("decimal = \";\"", "7:11: bad decimal `;`: write `.` or `,`")]
#[case("dates = \"%d/%m\"", "7:9: bad format `%d/%m`: it does not tell year, month and day: write such as `%d/%m/%Y`")]
#[case(
    "timestamps = [\"%d/%m/%Y\", \"%d/%m/%Y %I:%M\"]",
    "7:27: bad format `%d/%m/%Y %I:%M`: it does not tell the hour: write `%H`, or `%I` with `%p`"
)]
#[case("dates = 5", "7:9: invalid type: integer `5`, expected a format such as \"%d/%m/%Y\", or an array of them")]
fn a_notation_without_sense_is_refused(#[case] line: &str, #[case] expected: &str) {
    let text = MINIMAL.replace("parquet", "csv").replace("[output]", &format!("[csv]\n{line}\n[output]"));
    assert_eq!(refusal(&text), expected);
}

#[rstest]
#[case("[retry]\nattempts = 0", "9:12: `attempts` is 0: write 1 to 12")]
#[case("[retry]\nattempts = 13", "9:12: `attempts` is 13: write 1 to 12")]
#[case("[retry]\nceiling = \"2h\"", "9:11: `ceiling` is above an hour: write a shorter one, such as `5m`")]
#[case(
    "[retry]\nbackoff = \"6m\"",
    "9:11: `backoff` is above `ceiling`, the longest wait: lower it, or raise `ceiling`"
)]
#[case(
    "[retry]\nbackoff = \"soon\"",
    "9:11: `soon` is no duration: write one such as `90s`, `30m`, `12h`, `7d` or `2w`"
)]
#[case("[retry]\ntimes = 5", "9:1: unknown key `times`; known here: attempts, backoff, ceiling")]
#[case("[notify]\non = [\"success\"]", "9:7: unknown value `success`; known here: complete, failed, superseded")]
fn a_bad_retry_policy_or_notification_is_refused(#[case] lines: &str, #[case] expected: &str) {
    assert_eq!(refusal(&in_output(lines)), expected);
}
