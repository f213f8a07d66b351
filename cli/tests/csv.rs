//! CSV as Europe writes it: found out by `schema`, read by `run`, and what is set aside says why.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use common::{number, run};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

const SALES: &[u8] =
    b"nom;prix;jour;vu\ncaf\xe9;1,5;31/01/2020;31/01/2020 10:05\nth\xe9;-2,25;01/02/2020;01/02/2020 00:00\n";

/// A dataset of CSV with these tables besides.
fn dataset(folder: &Path, tables: &str) {
    let head = "name = \"t\"\n[source]\nformat = \"csv\"\n[output]\nprefix = \"t/\"\nmax_quarantined = 1.0\n";
    std::fs::write(folder.join("t.toml"), format!("{head}{tables}")).unwrap();
}

/// Ingests a file, and answers what `run --json` tells of it.
fn ingested(folder: &Path, source: &str) -> Value {
    let ran = run(folder, &["run", "--json", "--dataset", "t.toml", "--sink", "out", source]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    ran.json()["runs"][0].clone()
}

/// The rows of the first of these parts, columns joined by `|`.
fn rows(parts: &Value) -> Vec<String> {
    let path = parts[0]["uri"].as_str().unwrap().trim_start_matches("file://").to_owned();
    let file = std::fs::File::open(path).unwrap();
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let texts: Vec<_> = batch
            .columns()
            .iter()
            .filter(|column| !matches!(column.data_type(), DataType::List(_)))
            .map(|column| cast(column, &DataType::Utf8).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            rows.push(texts.iter().map(|text| text.as_string::<i32>().value(row)).collect::<Vec<_>>().join("|"));
        }
    }
    rows
}

#[test]
fn commas_days_first_and_latin_letters_come_out_as_values() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sales.csv"), SALES).unwrap();
    dataset(
        folder.path(),
        "[csv]\ndelimiter = \";\"\ndecimal = \",\"\nencoding = \"latin1\"\ndates = \"%d/%m/%Y\"\n\
         timestamps = \"%d/%m/%Y %H:%M\"\n[schema]\ncolumns = [\n\
         { name = \"nom\", type = \"string\" },\n{ name = \"prix\", type = \"decimal(8,2)\" },\n\
         { name = \"jour\", type = \"date\", trim = true },\n{ name = \"vu\", type = \"timestamp(ms)\" },\n]\n",
    );
    let report = ingested(folder.path(), "sales.csv");
    assert_eq!(
        rows(&report["parts"]),
        ["café|1.50|2020-01-31|2020-01-31T10:05:00", "thé|-2.25|2020-02-01|2020-02-01T00:00:00"]
    );
}

#[test]
fn a_cast_of_a_text_column_reads_the_notation_too() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "x;y\n1,5;a\nb;2.5\n").unwrap();
    dataset(
        folder.path(),
        "[csv]\ndelimiter = \";\"\ndecimal = \",\"\n[schema]\ncasts = [{ column = \"x\", to = \"decimal(4,1)\" }]\n",
    );
    let report = ingested(folder.path(), "a.csv");
    assert_eq!(rows(&report["parts"]), ["1.5|a"]);
    assert_eq!(number(&report["rows"], "quarantined"), 1);
}

#[test]
fn a_decimal_with_a_comma_loses_digits_only_where_it_may_be_rounded() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "x;y\n 1,50 ;1,55\n1,55;2\n1.5;3\n").unwrap();
    let contract = |round: &str| {
        format!(
            "[csv]\ndelimiter = \";\"\ndecimal = \",\"\n[schema]\ncolumns = [\n\
             {{ name = \"x\", type = \"decimal(4,1)\"{round} }},\n{{ name = \"y\", type = \"string\" }},\n]\n"
        )
    };
    dataset(folder.path(), &contract(""));
    let report = ingested(folder.path(), "a.csv");
    assert_eq!(rows(&report["parts"]), ["1.5|1,55"]);
    assert_eq!(number(&report["reasons"], "cast: x"), 2, "{report}");
    dataset(folder.path(), &contract(", round = true"));
    let ran = run(folder.path(), &["run", "--json", "--dataset", "t.toml", "--sink", "out2", "a.csv"]);
    let report = ran.json()["runs"][0].clone();
    assert_eq!(rows(&report["parts"]), ["1.5|1,55", "1.6|2"]);
    assert_eq!(number(&report["rows"], "quarantined"), 1, "{report}");
}

#[test]
fn what_is_set_aside_is_decoded_and_says_where_an_encoding_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), b"n,name\n1,caf\xe9\n2,tea\nx,th\xe9\n").unwrap();
    let contract =
        "[schema]\ncolumns = [\n{ name = \"n\", type = \"int32\" },\n{ name = \"name\", type = \"string\" },\n]\n";
    dataset(folder.path(), contract);
    let report = ingested(folder.path(), "a.csv");
    assert_eq!(number(&report["reasons"], "csv: not UTF-8: is `encoding` missing in [csv]?"), 2, "{report}");
    dataset(folder.path(), &format!("[csv]\nencoding = \"latin1\"\n{contract}"));
    let ran = run(folder.path(), &["run", "--json", "--dataset", "t.toml", "--sink", "out2", "a.csv"]);
    let report = ran.json()["runs"][0].clone();
    assert_eq!((number(&report["rows"], "kept"), number(&report["rows"], "quarantined")), (2, 1), "{report}");
    let aside = rows(&report["quarantine"]);
    assert!(aside[0].ends_with(r#"|2|4|x,thé|{"n":"x","name":"thé"}"#), "{aside:?}");
    assert!(!report["reasons"].to_string().contains("UTF-8"), "{report}");
}

#[test]
fn check_refuses_encodings_and_formats_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    for (line, told) in [
        ("encoding = \"utf-16\"", "t.toml:8:12: `utf-16` (UTF-16LE) has characters of several bytes"),
        ("encoding = \"latin-one\"", "t.toml:8:12: unknown encoding `latin-one`"),
        ("decimal = \",\"", "t.toml:8:11: decimal and delimiter are both `,`"),
        ("dates = \"%d/%m\"", "t.toml:8:9: bad format `%d/%m`: it does not tell year, month and day"),
    ] {
        dataset(folder.path(), &format!("[csv]\n{line}\n"));
        let ran = run(folder.path(), &["check", "t.toml"]);
        assert_eq!(ran.code, 2, "{ran:#?}");
        assert!(ran.stderr.contains(told), "{told}: {ran:#?}");
    }
}

#[test]
fn schema_finds_the_dialect_out_and_check_takes_what_it_proposes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sales.csv"), SALES).unwrap();
    let shown = run(folder.path(), &["schema", "sales.csv"]);
    assert_eq!((shown.code, shown.stderr.as_str()), (0, ""), "{shown:#?}");
    for told in ["delimiter  ;", "encoding   not UTF-8, perhaps latin1", "decimal    ,", "CSV, judged by all of"] {
        assert!(shown.stdout.contains(told), "{told}: {}", shown.stdout);
    }
    let proposed = run(folder.path(), &["schema", "--json", "sales.csv"]).json();
    let contract = proposed["contract"].as_str().unwrap();
    for line in
        ["delimiter = \";\"", "decimal = \",\"", "encoding = \"latin1\"", "{ name = \"prix\", type = \"float64\" }"]
    {
        assert!(contract.contains(line), "{line}: {contract}");
    }
    assert_eq!(proposed["files"][0]["csv"]["utf8"], false);
    dataset(folder.path(), contract);
    let checked = run(folder.path(), &["check", "t.toml", "sales.csv"]);
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{checked:#?}");
    let report = ingested(folder.path(), "sales.csv");
    assert_eq!(rows(&report["parts"])[0], "café|1.5|31/01/2020|31/01/2020 10:05");
}

#[test]
fn schema_reads_lines_that_end_with_carriage_returns_and_says_what_lies_where_nothing_matched() {
    let folder = tempfile::tempdir().unwrap();
    let text = String::from_utf8_lossy(SALES).replace('\n', "\r");
    std::fs::write(folder.path().join("sales.csv"), text).unwrap();
    let proposed = run(folder.path(), &["schema", "--json", "sales.csv"]).json();
    assert_eq!((&proposed["files"][0]["rows"], &proposed["files"][0]["csv"]["delimiter"]), (&2.into(), &";".into()));
    let contract = proposed["contract"].as_str().unwrap();
    assert!(contract.contains("{ name = \"prix\", type = \"float64\" }"), "{contract}");
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    std::fs::write(folder.path().join("empty/a.dat"), "x").unwrap();
    let ran = run(folder.path(), &["schema", "empty"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("1 file, 0 end in .parquet or .csv"), "{ran:#?}");
}

#[test]
fn schema_of_a_compressed_csv_speaks_of_a_sample_and_of_no_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "id,name,day\n".to_owned();
    (0..300_000).for_each(|id| text.push_str(&format!("{id},n{id},2020-01-31\n")));
    std::fs::write(folder.path().join("x.csv.zst"), zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
    std::fs::write(folder.path().join("x.csv.gz"), "this is no gzip").unwrap();
    std::fs::write(folder.path().join("x.parquet"), "id,name\n1,a\n").unwrap();
    std::fs::write(folder.path().join("x.json"), "{}\n").unwrap();
    std::fs::write(folder.path().join("x.dat"), "id,name\n1,a\n").unwrap();
    let ran = run(folder.path(), &["schema", "x.csv.zst"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stdout.contains("judged by a sample, the first"), "{}", ran.stdout);
    assert!(ran.stdout.contains("{ name = \"day\", type = \"date\" }"), "{}", ran.stdout);
    for (file, told) in [
        ("x.csv.gz", "gzip"),
        ("x.parquet", "not a Parquet file"),
        ("x.json", "not yet: schema reads Parquet and CSV"),
        ("x.dat", "schema reads Parquet, and CSV by its name"),
    ] {
        let ran = run(folder.path(), &["schema", file]);
        assert_eq!(ran.code, 1, "{ran:#?}");
        assert!(ran.stderr.contains(told) && !ran.stderr.contains("dataset"), "{ran:#?}");
    }
}
