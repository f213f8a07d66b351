//! Numbers, dates, timestamps and characters that are written otherwise than most.

use rstest::rstest;

use super::super::{TextShape, head, sniff};
use super::{read_now, row, source};
use crate::dataset::{CsvSpec, Dataset};

/// A dataset of CSV with these lines in `[csv]`.
fn csv(lines: &str) -> String {
    format!("name = \"t\"\n[source]\nformat = \"csv\"\n[csv]\n{lines}\n[output]\nprefix = \"t/\"\n")
}

#[test]
fn decimal_commas_dates_and_timestamps_are_inferred_as_csv_says_they_are_written() {
    let dataset = csv("delimiter = \";\"\ndecimal = \",\"\ndates = \"%d/%m/%Y\"\ntimestamps = \"%d/%m/%Y %H:%M\"");
    let text = "x;d;t;n;s\n1,5;31/01/2020;31/01/2020 10:05;1;1.5\n-0,25;01/02/2020;01/02/2020 00:00;2;2.5\n";
    let read = read_now(&dataset, "t.csv", text.as_bytes()).unwrap();
    assert_eq!(
        read.rows,
        [
            row(&["1.5", "2020-01-31", "2020-01-31T10:05:00", "1", "1.5"]),
            row(&["-0.25", "2020-02-01", "2020-02-01T00:00:00", "2", "2.5"])
        ]
    );
}

#[test]
fn other_notations_are_inferred_with_white_space_around_them_and_with_carriage_returns_as_line_ends() {
    let dataset = csv("delimiter = \";\"\ndecimal = \",\"\ndates = \"%d/%m/%Y\"\nencoding = \"latin1\"\ntrim = true");
    let text = b"x;d;n;s;c\r 1,5;31/01/2020 ;\xa01;\xa0caf\xe9 ;007,5\r,25; 01/02/2020;+2;\xc2\xa0;8\r";
    let read = read_now(&dataset, "t.csv", text).unwrap();
    assert_eq!(
        read.rows,
        [row(&["1.5", "2020-01-31", "1", "café", "007,5"]), row(&["0.25", "2020-02-01", "2", "Â", "8"])]
    );
}

#[rstest]
#[case::one_too_large(&["9007199254740993", "1,5"], "string")]
#[case::whole(&["9007199254740993", "1"], "int64")]
#[case::beyond_int64(&["9223372036854775808"], "string")]
#[case::a_point(&["1.234", "2.345"], "string")]
#[case::bare_comma(&[",79", "5,", "+1,5", "1e3"], "float64")]
#[case::code(&["007,5"], "string")]
#[case::date(&["31/01/2020", " 1/2/2020"], "date")]
#[case::usual_date(&["2020-01-31"], "string")]
#[case::usual_timestamp(&["2020-01-31T10:00", "2020-01-31 10:00:01"], "timestamp(us)")]
fn numbers_with_a_comma_are_inferred_as_exactly_as_those_with_a_point(#[case] values: &[&str], #[case] expected: &str) {
    let dataset = csv("delimiter = \";\"\ndecimal = \",\"\ndates = \"%d/%m/%Y\"");
    let dataset = Dataset::parse(&dataset, "t").unwrap();
    let source = source("t.csv", format!("a\n{}\n", values.join("\n")).as_bytes());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(head(&source, &TextShape::new(&dataset, &[]).unwrap())).unwrap();
    assert_eq!(found.types[0].to_string(), expected);
}

#[test]
fn values_in_another_notation_than_csv_says_are_null_or_text() {
    let dataset = csv("delimiter = \";\"\ndecimal = \",\"\ndates = [\"%d/%m/%Y\", \"%d.%m.%Y\"]").replace(
        "[output]",
        "[schema]\ncolumns = [\n{ name = \"x\", type = \"float64\" },\n{ name = \"d\", type = \"date\" },\n]\n[output]",
    );
    let text = "x;d\n1,5;31/01/2020\n1.5;2020-01-31\n1.234,5;31.01.2020\n";
    let read = read_now(&dataset, "t.csv", text.as_bytes()).unwrap();
    assert_eq!(read.rows, [row(&["1.5", "2020-01-31"]), row(&["-", "-"]), row(&["-", "2020-01-31"])]);
}

#[test]
fn a_file_of_single_bytes_is_decoded_header_and_nulls_too() {
    let dataset = csv("encoding = \"latin1\"\nnulls = [\"\", \"né\"]");
    let text = b"pr\xe9nom,n\nZo\xeb,1\n\"a \"\"\xfc\"\"\",2\nn\xe9,3\n\x80,4\n";
    let read = read_now(&dataset, "t.csv", text).unwrap();
    assert_eq!(read.rows, [row(&["Zoë", "1"]), row(&["a \"ü\"", "2"]), row(&["-", "3"]), row(&["€", "4"])]);
}

#[test]
fn a_byte_that_the_encoding_lacks_fits_no_type() {
    // As UTF-8 the two bytes would be a character.
    let read = read_now(&csv("encoding = \"iso-8859-7\""), "t.csv", b"a,b\n\xd2\xd2,1\n\xe1,2\n").unwrap();
    assert_eq!(read.rows, [row(&["-", "1"]), row(&["α", "2"])]);
}

#[rstest]
#[case::little(b"\xff\xfea\0,\0", "UTF-16LE")]
#[case::big(b"\xfe\xff\0a\0,", "UTF-16BE")]
fn utf_16_is_refused_by_name(#[case] bytes: &[u8], #[case] name: &str) {
    for dataset in [csv(""), csv("encoding = \"latin1\"")] {
        let error = read_now(&dataset, "t.csv", bytes).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_byte_order_mark_of_utf_8_is_passed_over_unless_the_dataset_says_otherwise() {
    let text = b"\xef\xbb\xbfa,b\n1,2\n";
    assert_eq!(read_now(&csv(""), "t.csv", text).unwrap().rows, [row(&["1", "2"])]);
    let error = read_now(&csv("encoding = \"latin1\""), "t.csv", text).unwrap_err().to_string();
    assert!(error.contains("byte order mark") && error.contains("windows-1252"), "{error}");
}

#[test]
fn a_header_that_is_not_utf_8_leads_to_the_key() {
    let error = read_now(&csv(""), "t.csv", b"pr\xe9nom,n\nZo\xeb,1\n").unwrap_err().to_string();
    assert!(error.contains("encoding = \"latin1\""), "{error}");
}

#[derive(Debug, PartialEq)]
struct Seen {
    csv: CsvSpec,
    columns: Vec<(String, String)>,
}

fn sniffed(bytes: &[u8]) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(sniff(&source("t.csv", bytes))).unwrap();
    let columns = found.columns.into_iter().map(|(name, found)| (name, found.to_string()));
    Seen { csv: found.csv, columns: columns.collect() }
}

#[rstest]
#[case::comma("a,b,c\n1,x;y,2.5\n2,\"z,z\",3.5\n", ",", "int64 string float64")]
#[case::semicolon("a;b;c\n1;x,y;2\n2;z;3\n", ";", "int64 string int64")]
#[case::tab("a\tb\n1\tx y\n2\tz, and more\n", "\t", "int64 string")]
#[case::pipe("a|b\n1|2020-01-31\n2|2020-02-01\n", "|", "int64 date")]
#[case::carriage_returns("a;b\r1;x,y\r2;z\r", ";", "int64 string")]
#[case::byte_order_mark("\u{feff}\"a;\";b\n1;x\n2;z\n", ";", "int64 string")]
#[case::one_column("a\nx\ny, z\n", ",", "string")]
fn the_delimiter_is_the_one_that_makes_records_alike(#[case] text: &str, #[case] delimiter: &str, #[case] types: &str) {
    let found = sniffed(text.as_bytes());
    assert_eq!(found.csv, CsvSpec { delimiter: delimiter.to_owned(), ..CsvSpec::default() });
    assert_eq!(found.columns.iter().map(|(_, found)| found.as_str()).collect::<Vec<_>>().join(" "), types);
}

#[test]
fn decimal_commas_and_latin_letters_are_found_out() {
    let found = sniffed(b"nom;prix\ncaf\xe9;1,5\nth\xe9;-2,25\n");
    let csv = CsvSpec {
        delimiter: ";".to_owned(),
        decimal: Some(",".to_owned()),
        encoding: Some("latin1".to_owned()),
        ..CsvSpec::default()
    };
    assert_eq!(found.csv, csv);
    assert_eq!(found.columns, [("nom".to_owned(), "string".to_owned()), ("prix".to_owned(), "float64".to_owned())]);
}

#[test]
fn a_first_record_that_is_data_is_no_header() {
    let found = sniffed(b"1,2.5,x\n2,3.5,y\n");
    assert!(!found.csv.header);
    assert_eq!(found.columns[0], ("column_1".to_owned(), "int64".to_owned()));
    assert!(sniffed(b"id,price,name\n2,3.5,y\n").csv.header);
    assert!(!sniffed(b"1,1,x\n2,3,y\n").csv.header, "though it would name a column twice");
}

#[test]
fn a_quote_that_only_delimits_inches_is_no_quote() {
    let found = sniffed(b"id,size\n1,\"5 inch\n2,\"6 inch\n3,\"7 inch\n");
    assert_eq!(found.csv.quote, "");
}
