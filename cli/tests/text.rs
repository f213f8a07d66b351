//! `rowmill run` and `check` on CSV files as people have them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;

use common::{number, run};
use tempfile::TempDir;

/// A folder with `d.toml`, whose contract has an `id` and an amount, and a source.
fn folder(source: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dataset = "name = \"d\"\n[source]\nformat = \"csv\"\n[schema]\ncolumns = [\n\
                   { name = \"id\", type = \"int32\" },\n{ name = \"amt\", type = \"decimal(8, 2)\" },\n]\n\
                   [output]\nprefix = \"d/\"\nmax_quarantined = 1.0\n";
    std::fs::write(folder.path().join("d.toml"), dataset).unwrap();
    std::fs::write(folder.path().join("t.csv"), source).unwrap();
    folder
}

fn ingest(folder: &Path) -> common::Ran {
    run(folder, &["run", "--dataset", "d.toml", "--sink", "out", "t.csv"])
}

#[test]
fn a_decimal_that_would_lose_digits_sets_its_row_aside() {
    let folder = folder("id,amt\n1,10.005\n2,10.500\n");
    let ran = run(folder.path(), &["run", "--json", "--dataset", "d.toml", "--sink", "out", "t.csv"]);
    let rows = &ran.json()["runs"][0]["rows"];
    assert_eq!((number(rows, "kept"), number(rows, "quarantined")), (1, 1), "{ran:#?}");
}

#[test]
fn lines_that_end_with_carriage_returns_are_rows() {
    let folder = folder("id,amt\r1,2.5\r3,4\r");
    let ran = run(folder.path(), &["run", "--json", "--dataset", "d.toml", "--sink", "out", "t.csv"]);
    let rows = &ran.json()["runs"][0]["rows"];
    assert_eq!((number(rows, "read"), number(rows, "kept")), (2, 2), "{ran:#?}");
}

#[test]
fn a_wrong_delimiter_and_an_empty_file_are_said_in_words() {
    let semicolons = folder("id;amt\n1;2\n");
    let told = "t.csv: the header has one column `id;amt`: is the delimiter `;`? set [csv] delimiter = \";\"";
    let ran = ingest(semicolons.path());
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains(told), "{ran:#?}");
    let checked = run(semicolons.path(), &["check", "d.toml", "t.csv"]);
    assert_ne!(checked.code, 0, "{checked:#?}");
    assert!(format!("{}{}", checked.stdout, checked.stderr).contains(told), "{checked:#?}");
    for (text, told) in
        [("", "no byte"), (" \n\t\n", "nothing but white space"), ("id,amt\n", "a header and no record")]
    {
        let ran = ingest(folder(text).path());
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert!(ran.stdout.contains("note: ") && ran.stdout.contains(told), "{ran:#?}");
    }
}
