//! `rowmill demo`.
#![allow(clippy::unwrap_used)]

mod common;

use common::{run, visible};

#[test]
fn the_demo_shows_before_and_after_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["demo", "--rows", "20000"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(ran.stderr, "");
    for told in [
        "before",
        "row groups of 2,048 rows",
        "one schema in every part",
        "airport_fee",
        "20,000 read =",
        "drop-off after pick-up",
        "fare is not negative",
        "rows a second",
    ] {
        assert!(ran.stdout.contains(told), "{told:?} is missing in\n{}", ran.stdout);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_demo_of_one_row_works() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["demo", "--rows", "1"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
}

#[test]
fn the_same_demo_makes_the_same_trips_and_what_it_suggests_works() {
    let folder = tempfile::tempdir().unwrap();
    let demo = run(folder.path(), &["demo", "--rows", "10000", "--keep", "kept"]);
    assert_eq!(demo.code, 0, "{demo:#?}");
    let parts = visible(&folder.path().join("kept/out"));
    assert!(
        parts.keys().any(|path| path.starts_with("fhvhv")) && parts.keys().any(|path| path.starts_with("_quarantine"))
    );
    let suggested = demo.stdout.split_once("try next").unwrap().1;
    for line in suggested.lines().filter(|line| line.trim_start().starts_with("rowmill ")) {
        let words = line.split_once('#').map_or(line, |(command, _)| command).split_whitespace().skip(1);
        let ran = run(folder.path(), &words.collect::<Vec<_>>());
        assert_eq!(ran.code, 0, "{line}: {ran:#?}");
    }
}
