//! A file cut into blocks gives what it gives in one.

use proptest::prelude::*;

use super::{CSV, Read, read_now, row};

fn with_blocks(bytes: u64) -> String {
    CSV.replace("format = \"csv\"", &format!("format = \"csv\"\nblock_bytes = {bytes}"))
}

/// A CSV in which every kind of field comes up, and what its values are.
fn table() -> impl Strategy<Value = (String, Vec<Vec<Option<String>>>)> {
    let field = prop_oneof![
        "[a-z]{1,6}".prop_map(|text| (text.clone(), text)),
        // Quoted newlines, delimiters and quotes, wherever a block may end.
        "[a\n\r,\"]{1,8}".prop_map(|text| (format!("\"{}\"", text.replace('"', "\"\"")), text)),
        // Quotes that are characters as any other.
        "[a-z]{1,2}\"[a-z\"]{0,2}".prop_map(|text| (text.clone(), text)),
    ];
    let rows = proptest::collection::vec(proptest::collection::vec(field, 3), 1..40);
    let line_ends = prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n"), Just("\r"), Just("\r\r")];
    (rows, line_ends, any::<bool>()).prop_map(|(rows, line_end, last)| {
        let mut text = format!("a,b,c{line_end}");
        let mut values = Vec::new();
        for fields in rows {
            let (written, meant): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
            text.push_str(&written.join(","));
            text.push_str(line_end);
            values.push(meant.into_iter().map(Some).collect());
        }
        if !last {
            text.truncate(text.trim_end_matches(['\n', '\r']).len());
        }
        (text, values)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn blocks_of_any_size_give_the_rows_of_one_block((text, values) in table(), block in 1u64..40) {
        let whole = read_now(CSV, "t.csv", text.as_bytes()).unwrap();
        prop_assert_eq!(&whole.rows, &values);
        let cut = read_now(&with_blocks(block), "t.csv", text.as_bytes()).unwrap();
        prop_assert_eq!(Read { slices: 1, ..cut }, whole);
    }

    #[test]
    fn any_bytes_give_the_same_in_blocks(
        header in prop_oneof![Just("a,b\n"), Just("a,b\r")],
        bytes in proptest::collection::vec(proptest::sample::select(b"ab,,\"\"\n\n\r\xff".to_vec()), 1..200),
        block in 1u64..40,
    ) {
        let bytes = [header.as_bytes().to_vec(), bytes].concat();
        let whole = read_now(CSV, "t.csv", &bytes);
        let cut = read_now(&with_blocks(block), "t.csv", &bytes);
        match (whole, cut) {
            (Ok(whole), Ok(cut)) => prop_assert_eq!(Read { slices: 1, ..cut }, Read { slices: 1, ..whole }),
            (whole, cut) => prop_assert_eq!(whole.is_err(), cut.is_err()),
        }
    }
}

#[test]
fn blocks_of_64_kib_cut_a_file_with_a_quoted_newline_at_every_boundary() {
    // Each record is one field of two lines that straddles the boundary, between fillers that end right before it.
    const BLOCK: usize = 64 << 10;
    let mut text = String::from("id,note\n");
    let mut values = Vec::new();
    for number in 0..12_000 {
        let note = format!("{}\n\"{number}\",{}", "x".repeat(number % 17), "y".repeat(number % 29));
        text.push_str(&format!("{number},\"{}\"\r\n", note.replace('"', "\"\"")));
        values.push(vec![Some(number.to_string()), Some(note)]);
    }
    let cut = read_now(&with_blocks(BLOCK as u64), "t.csv", text.as_bytes()).unwrap();
    assert!(cut.slices >= text.len() / BLOCK - 1, "{} slices", cut.slices);
    assert_eq!(cut.rows, values);
    assert!(cut.bad.is_empty());
}

#[test]
fn records_that_do_not_fit_the_columns_are_told_with_text_and_line() {
    let text = "a,b\r\n1,2\r\n3\r\n\r\n\"x\ny\",5\r\n4,5,6\r\n\"7\"8,9\r\n10,11\n12,\"13\n";
    let read = read_now(CSV, "t.csv", text.as_bytes()).unwrap();
    assert_eq!(read.rows, [row(&["1", "2"]), row(&["x\ny", "5"]), row(&["10", "11"])]);
    let text = |text: &str| text.to_owned();
    assert_eq!(
        read.bad,
        [
            (1, 3, text("3"), "csv: too few fields"),
            (3, 7, text("4,5,6"), "csv: too many fields"),
            (4, 8, text("\"7\"8,9"), "csv: text behind a closing quote"),
            (6, 10, text("12,\"13\n"), "csv: a quote is not closed"),
        ]
    );
    assert_eq!(read.records, 7);
}

#[test]
fn lines_that_end_with_a_carriage_return_are_read_with_their_numbers() {
    let text = "id,note\r1,a\r2,\"b\nc\"\r\r3\r4,d";
    for block in [1, 5, 1 << 20] {
        let read = read_now(&with_blocks(block), "t.csv", text.as_bytes()).unwrap();
        assert_eq!(read.rows, [row(&["1", "a"]), row(&["2", "b\nc"]), row(&["4", "d"])]);
        assert_eq!(read.bad, [(2, 6, "3".to_owned(), "csv: too few fields")]);
    }
}

#[test]
fn lines_that_end_otherwise_than_the_first_are_read_or_refused_in_words() {
    let mixed = "a,b\r1,2\n3,4\r\n5,6\r";
    assert_eq!(read_now(CSV, "t.csv", mixed.as_bytes()).unwrap().rows.len(), 3);
    for text in ["a,b\n1,2\n3,4\r5,6\r7,8", "a,b\r\n1,2\r\n3,4\r5,6\r7,8\r\n", "a\n1\n\"2\"\r3\r"] {
        let error = read_now(CSV, "t.csv", text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("line 3 and what follows end with a carriage return alone"), "{error}");
    }
    // One that ends no line is a character as any other.
    let text = "a,b\n1,x\ry\n2,\"x\ry\"\n";
    let read = read_now(CSV, "t.csv", text.as_bytes()).unwrap();
    assert_eq!(read.rows, [row(&["1", "x\ry"]), row(&["2", "x\ry"])]);
}

#[test]
fn white_space_around_numbers_dates_and_times_is_ignored_and_all_of_it_where_the_dataset_says_so() {
    let text = "n, x ,day,at,word,none\n 1 ,\t.5,2020-01-01 , 2020-01-01T10:00, a ,  \n2,1e3 , 2020-01-02,2020-01-01 10:00:30 ,b,\" NA \"\n";
    let first = ["1", "0.5", "2020-01-01", "2020-01-01T10:00:00"];
    let second = ["2", "1000.0", "2020-01-02", "2020-01-01T10:00:30"];
    let read = read_now(CSV, "t.csv", text.as_bytes()).unwrap();
    let with = |typed: [&str; 4], words: [&str; 2]| row(&[typed.as_slice(), &words].concat());
    assert_eq!(read.rows, [with(first, [" a ", "  "]), with(second, ["b", " NA "])]);
    let trimming = format!("{CSV}[csv]\ntrim = true\nnulls = [\"\", \"NA\"]\n");
    let read = read_now(&trimming, "t.csv", text.as_bytes()).unwrap();
    assert_eq!(read.rows, [with(first, ["a", "-"]), with(second, ["b", "-"])]);
}

#[test]
fn a_header_names_columns_and_values_tell_their_types() {
    let text = "\u{feff}int;float;code;day;at;\"te;xt\";none\n\
                -1;1;007;2020-02-29;2020-01-01 10:00:00;a;\n\
                2;2.50;12;2021-01-01;2020-01-01T10:00:00.5;NA;\n";
    let dataset = format!("{CSV}[csv]\ndelimiter = \";\"\nnulls = [\"\", \"NA\"]\n");
    let read = read_now(&dataset, "t.csv", text.as_bytes()).unwrap();
    assert_eq!(
        read.rows,
        [
            row(&["-1", "1.0", "007", "2020-02-29", "2020-01-01T10:00:00", "a", "-"]),
            row(&["2", "2.5", "12", "2021-01-01", "2020-01-01T10:00:00.500", "-", "-"]),
        ]
    );
}
