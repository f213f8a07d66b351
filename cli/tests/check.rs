//! `rowmill check`: what is told before a run.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;

use common::{run, trips};

/// A dataset of `fhvhv` trips without a contract, with these lines behind.
fn dataset(folder: &Path, name: &str, source: &str, lines: &str) {
    let text = format!(
        "name = \"{name}\"\n[source]\nformat = \"parquet\"\n{source}\n[output]\nprefix = \"{name}/\"\n{lines}\n"
    );
    std::fs::write(folder.join(format!("{name}.toml")), text).unwrap();
}

const CONTRACT: &str =
    "[schema]\nextra_columns = \"EXTRA\"\ncolumns = [\n  { name = \"trip_miles\", type = \"float32\" },\n]\n";
const MILES: &str = "[[expectations]]\nname = \"miles\"\nexpr = \"trip_mile >= 0\"\n";

#[test]
fn a_cast_that_can_match_nothing_is_a_warning_with_line_and_column() {
    let folder = trips(100);
    let casts =
        "casts = [\n  { column = \"Trip_Miles\", to = \"float64\" },\n  { column = \"tip*\", to = \"float32\" },\n]\n";
    let schema = CONTRACT.replace("EXTRA", "keep") + casts;
    dataset(folder.path(), "keep", "", &schema);
    let ran = run(folder.path(), &["check", "keep.toml"]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (0, 1), "{ran:#?}");
    assert!(ran.stderr.starts_with("warning: keep.toml:13:14: this cast can match nothing: `trip_miles`"), "{ran:#?}");
    assert!(ran.stderr.contains("set its `type` in [schema] columns"), "{ran:#?}");

    for extra in ["drop", "fail"] {
        dataset(folder.path(), extra, "", &(CONTRACT.replace("EXTRA", extra) + casts));
        let ran = run(folder.path(), &["check", &format!("{extra}.toml"), "--json"]);
        let warnings = ran.json()["warnings"].as_array().unwrap().clone();
        assert_eq!((ran.code, warnings.len()), (0, 2), "{ran:#?}");
        assert!(warnings.iter().all(|text| text.as_str().unwrap().contains(&format!("extra_columns = \"{extra}\""))));
    }
}

#[test]
fn a_cast_that_matched_no_column_of_the_sources_is_a_warning_that_says_why() {
    let folder = trips(400);
    let casts = "[schema]\ncasts = [\n  { column = \"trip_*\", to = \"float32\" },\n  { column = \"no_such*\", to = \"string\" },\n  \
                 { column = \"trip_miles\", to = \"float64\" },\n  { from = \"uint8\", to = \"int32\" },\n]\n";
    dataset(folder.path(), "casts", "", casts);
    let ran = run(folder.path(), &["check", "casts.toml", "trips"]);
    let told: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!((ran.code, told.len()), (0, 3), "{ran:#?}");
    for (line, place, why) in [
        (0, "casts.toml:10:14", "no column is named `no_such*`"),
        (1, "casts.toml:11:14", "an earlier cast takes `trip_miles`"),
        (2, "casts.toml:12:12", "no column is uint8"),
    ] {
        let start = format!("warning: {place}: this cast matched no column of any of the 4 sources: ");
        assert!(told[line].starts_with(&start) && told[line].contains(why), "{ran:#?}");
    }
}

#[test]
fn a_cast_that_fits_columns_of_the_contract_alone_is_a_warning_unless_they_have_its_type() {
    let folder = trips(400);
    let lines = CONTRACT.replace("EXTRA", "keep") + "casts = [{ column = \"*_miles\", to = \"float64\" }]\n";
    dataset(folder.path(), "other", "", &lines);
    let ran = run(folder.path(), &["check", "other.toml", "trips"]);
    assert!(
        ran.stderr.starts_with("warning: other.toml:12:21: this cast matched no column of any of the 4"),
        "{ran:#?}"
    );
    assert!(ran.stderr.contains("`trip_miles` is a column of the contract, to which casts do not apply"), "{ran:#?}");
    dataset(folder.path(), "same", "", &lines.replace("float64", "float32"));
    let ran = run(folder.path(), &["check", "same.toml", "trips"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
}

#[test]
fn a_column_that_no_contract_names_is_an_error_where_the_contract_tells_all() {
    let folder = trips(100);
    for extra in ["drop", "fail"] {
        dataset(folder.path(), "closed", "", &(CONTRACT.replace("EXTRA", extra) + MILES));
        let ran = run(folder.path(), &["check", "closed.toml"]);
        assert_eq!(ran.code, 2, "{ran:#?}");
        assert!(
            ran.stderr.contains("closed.toml:14:9: unknown column `trip_mile`: did you mean `trip_miles`?"),
            "{ran:#?}"
        );
    }
    // NDJSON has the contract's columns, whatever `extra_columns` says.
    let text = "name = \"json\"\n[source]\nformat = \"ndjson\"\n[schema]\ncolumns = [{ name = \"user\", type = \"string\" }]\n\
                [[expectations]]\nname = \"named\"\nexpr = \"usr is not null\"\n[output]\nprefix = \"json/\"\n";
    std::fs::write(folder.path().join("json.toml"), text).unwrap();
    let ran = run(folder.path(), &["check", "json.toml"]);
    assert!(ran.code == 2 && ran.stderr.contains("json.toml:8:9: unknown column `usr`"), "{ran:#?}");
}

#[test]
fn a_column_that_no_contract_names_is_looked_for_in_the_newest_source_of_the_uri() {
    let folder = trips(400);
    let uri = format!("uri = \"{}/trips/\"\npattern = \"*.parquet\"", folder.path().display());
    dataset(folder.path(), "wrong", &uri, &(CONTRACT.replace("EXTRA", "keep") + MILES));
    let ran = run(folder.path(), &["check", "wrong.toml"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("wrong.toml:15:9: unknown column `trip_mile`: did you mean `trip_miles`?"), "{ran:#?}");

    dataset(folder.path(), "right", &uri, &MILES.replace("trip_mile ", "trip_miles "));
    let ran = run(folder.path(), &["check", "right.toml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
    assert!(ran.stdout.contains("is valid, checked with /") && ran.stdout.contains("the newest source"), "{ran:#?}");
    let looked_at = run(folder.path(), &["check", "right.toml", "--json"]).json()["looked_at"].clone();
    assert!(looked_at.as_str().unwrap().ends_with(".parquet"), "{looked_at}");
}

#[test]
fn of_several_files_at_the_uri_the_one_modified_last_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let uri = folder.path().join("in");
    std::fs::create_dir(&uri).unwrap();
    let text = format!(
        "name = \"lines\"\n[source]\nuri = \"{}\"\npattern = \"*.csv\"\nformat = \"csv\"\n[[expectations]]\nname = \"kind\"\n\
         expr = \"kind <> 'x'\"\n[output]\nprefix = \"lines/\"\n",
        uri.display()
    );
    std::fs::write(folder.path().join("lines.toml"), text).unwrap();
    let write = |name: &str, header: &str, hours_ago: u64| {
        let path = uri.join(name);
        std::fs::write(&path, format!("{header}\n1,y\n")).unwrap();
        let at = std::time::SystemTime::now() - std::time::Duration::from_secs(3_600 * hours_ago);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
    };
    write("a.csv", "id,kind", 1);
    write("b.csv", "id,sort", 2);
    write("c.txt", "id,other", 0);
    let ran = run(folder.path(), &["check", "lines.toml"]);
    assert!(ran.code == 0 && ran.stdout.contains("in/a.csv, the newest source"), "{ran:#?}");
    write("b.csv", "id,sort", 0);
    let ran = run(folder.path(), &["check", "lines.toml"]);
    assert!(ran.code == 1 && ran.stderr.contains("in/b.csv: lines.toml:8:9: unknown column `kind`"), "{ran:#?}");
    assert!(ran.stdout.contains("is valid by itself, and fails with the newest source"), "{ran:#?}");
}

#[test]
fn a_column_that_no_contract_names_is_a_warning_where_there_is_no_source_to_look_at() {
    let folder = trips(100);
    let lines = CONTRACT.replace("EXTRA", "keep")
        + MILES
        + "[[reports]]\nname = \"tips\"\ngroup_by = [\"trip_mile\"]\nmeasures = [{ name = \"mean\", expr = \"avg(tip)\" }]\nhaving = \"mean > 1\"\n";
    let missing = format!("uri = \"{}/missing/\"", folder.path().display());
    for (name, source, why) in [("none", "", "no source.uri"), ("gone", missing.as_str(), "missing")] {
        dataset(folder.path(), name, source, &lines);
        let ran = run(folder.path(), &["check", &format!("{name}.toml")]);
        assert_eq!(ran.code, 0, "{ran:#?}");
        let told: Vec<&str> = ran.stderr.lines().collect();
        assert_eq!(told.len(), 3, "{ran:#?}");
        assert!(
            told[0]
                .contains("9: `trip_mile` is named by no contract (did you mean `trip_miles`?): check with a source")
        );
        assert!(told[1].contains("`tip` is named by no contract: check with a source"), "{ran:#?}");
        assert!(told[2].contains("no source was looked at") && told[2].contains(why), "{ran:#?}");
    }
}

#[test]
fn an_error_that_many_sources_share_is_told_once_with_their_number() {
    let folder = trips(400);
    dataset(folder.path(), "wrong", "", MILES);
    let ran = run(folder.path(), &["check", "wrong.toml", "trips"]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (1, 1), "{ran:#?}");
    assert!(ran.stderr.starts_with("error: 4 sources (fhvhv_tripdata_"), "{ran:#?}");
    assert!(ran.stderr.contains(" and 1 more): wrong.toml:"), "{ran:#?}");
    assert_eq!(ran.stderr.matches("unknown column").count(), 1, "{ran:#?}");
    let checked = run(folder.path(), &["check", "wrong.toml", "trips", "--json"]).json();
    let with_error = checked["sources"].as_array().unwrap().iter().filter(|source| source["error"].is_string());
    assert_eq!(with_error.count(), 4);
}

#[test]
fn a_check_of_csv_without_a_contract_shows_inferred_columns_and_says_what_is_estimated() {
    let folder = tempfile::tempdir().unwrap();
    let text = "name = \"lines\"\n[source]\nformat = \"csv\"\n[output]\nprefix = \"lines/\"\n";
    std::fs::write(folder.path().join("lines.toml"), text).unwrap();
    let rows: String = (0..100).map(|row| format!("{row},{row}.5,x\n")).collect();
    std::fs::write(folder.path().join("small.csv"), format!("id,fare,name\n{rows}")).unwrap();
    let small = run(folder.path(), &["check", "lines.toml", "small.csv"]);
    assert!(!small.stdout.contains("about") && small.stdout.contains("  100  "), "{}", small.stdout);
    for line in ["1 source to 3 columns", "id      int64 (inferred)    int64", "fare    float64 (inferred)  float64"] {
        assert!(small.stdout.contains(line), "{line}: {}", small.stdout);
    }
    assert!(small.stdout.contains("inferred: from the first 1 MiB of the file"), "{}", small.stdout);

    let rows: String = (100_000..300_000).map(|row| format!("{row},1.5,x\n")).collect();
    std::fs::write(folder.path().join("large.csv"), format!("id,fare,name\n{rows}")).unwrap();
    let large = run(folder.path(), &["check", "lines.toml", "large.csv"]);
    assert!(large.stdout.contains("about 199,") || large.stdout.contains("about 200,"), "{}", large.stdout);
    assert!(large.stdout.contains("about: estimated from the first 1 MiB of the file"), "{}", large.stdout);
    let checked = run(folder.path(), &["check", "lines.toml", "small.csv", "large.csv", "--json"]).json();
    let estimated = |at: usize| checked["sources"][at]["rows_estimated"].as_bool().unwrap();
    assert!(!estimated(0) && estimated(1));
    assert_eq!(checked["sources"][0]["inferred"].as_array().unwrap().len(), 3);
}
