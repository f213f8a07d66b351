//! Where values stand, for errors that later steps find.

use rstest::rstest;

use super::{MINIMAL, in_output, parse};
use crate::dataset::Position;

fn at(line: u64, column: u64) -> Position {
    Position { line, column }
}

#[test]
fn a_value_is_found_by_its_key_path() {
    let dataset = parse(&in_output(
        "[[expectations]]\nname = \"a\"\nexpr = \"b\"\n[[expectations]]\nname = \"c\"\nexpr = \"d\"\n\
         [transform]\nfilter = \"e\"\ncolumns = [{ name = \"f\", expr = \"g\" }]",
    ));
    assert_eq!(dataset.position("expectations[1].expr"), Some(at(13, 8)));
    assert_eq!(dataset.position("transform.filter"), Some(at(15, 10)));
    assert_eq!(dataset.position("transform.columns[0].expr"), Some(at(16, 33)));
}

#[test]
fn a_key_that_is_not_written_is_found_at_its_table() {
    let dataset = parse(MINIMAL);
    assert_eq!(dataset.position("output.compression"), Some(at(6, 1)));
    assert_eq!(dataset.position("schema.columns[3].type"), Some(at(1, 1)));
}

#[rstest]
#[case::basic(r#"filter = "a = bb""#, at(1, 5), at(9, 15))]
#[case::literal("filter = 'a = bb'", at(1, 5), at(9, 15))]
#[case::start("filter = 'a = bb'", at(1, 1), at(9, 11))]
#[case::end("filter = 'a = bb'", at(7, 7), at(9, 17))]
#[case::escaped_quotes(r#"filter = "\"a\" = bb""#, at(1, 7), at(9, 19))]
#[case::escaped_letters(r#"filter = "\u0061\x61\U00000061 = bb""#, at(1, 7), at(9, 34))]
#[case::escaped_newline(r#"filter = "a\n= bb""#, at(2, 3), at(9, 16))]
#[case::wide_letters("filter = 'é = bb'", at(1, 5), at(9, 15))]
#[case::several_lines("filter = '''\na\n  = bb'''", at(2, 5), at(11, 5))]
#[case::several_lines_escaped("filter = \"\"\"a\n  = \\\"bb\"\"\"", at(2, 6), at(10, 7))]
#[case::joined_lines("filter = \"\"\"a \\\n   = bb\"\"\"", at(1, 5), at(10, 6))]
fn a_place_within_sql_is_found_in_the_file(#[case] line: &str, #[case] within: Position, #[case] expected: Position) {
    let dataset = parse(&in_output(&format!("[transform]\n{line}")));
    assert_eq!(dataset.position_within("transform.filter", within), Some(expected));
}

#[test]
fn an_error_names_the_file_and_the_place() {
    let dataset = parse(&in_output("[transform]\nfilter = \"a = b\""));
    let error = dataset.error_at("transform.filter", Some(at(1, 5)), "unknown column `b`");
    assert_eq!(error.to_string(), "dataset: trips.toml:9:15: unknown column `b`");
}
