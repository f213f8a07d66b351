//! Which sources a command is about: folders that are gone, names through links, nothing that matched.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::{Ran, number, run, visible};
use tempfile::TempDir;

/// A folder with `d.toml`, whose sources are what `[source]` says more, and `in/` with so many CSV files of one row.
fn folder(source: &str, files: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    for number in 0..files {
        std::fs::write(folder.path().join(format!("in/{number}.csv")), format!("a\n{number}\n")).unwrap();
    }
    dataset(folder.path(), source);
    folder
}

fn dataset(folder: &Path, source: &str) {
    let text = format!("name = \"d\"\n[source]\nformat = \"csv\"\n{source}\n[output]\nprefix = \"d/\"\n");
    std::fs::write(folder.join("d.toml"), text).unwrap();
}

const URI: &str = "uri = \"in\"\npattern = \"*.csv\"";

fn ingest(folder: &Path, more: &[&str]) -> Ran {
    run(folder, &[&["run", "--dataset", "d.toml", "--sink", "out"], more].concat())
}

fn prune(folder: &Path, more: &[&str]) -> Ran {
    ingest(folder, &[&["--intent", "prune"], more].concat())
}

fn parts(folder: &Path) -> Vec<String> {
    visible(&folder.join("out")).into_keys().map(|path| path.to_str().unwrap().to_owned()).collect()
}

/// How many were complete, and how many skipped.
fn counts(ran: &Ran) -> (u64, u64) {
    let totals = &ran.json()["totals"];
    (number(totals, "complete"), number(totals, "skipped"))
}

#[test]
fn a_source_folder_that_is_missing_or_empty_prunes_nothing() {
    let folder = folder(URI, 3);
    assert_eq!(ingest(folder.path(), &[]).code, 0);
    let before = parts(folder.path());
    std::fs::rename(folder.path().join("in"), folder.path().join("gone")).unwrap();
    for (prepare, told) in [(None, "no such folder"), (Some("in"), "nothing lies at")] {
        if let Some(empty) = prepare {
            std::fs::create_dir(folder.path().join(empty)).unwrap();
        }
        for more in [&[] as &[&str], &["--yes"], &["--dry-run"], &["--json"]] {
            let ran = prune(folder.path(), more);
            assert_ne!(ran.code, 0, "{ran:#?}");
            assert!(ran.stderr.contains(told) && ran.stderr.contains("d.toml:4:7"), "{ran:#?}");
            assert!(!ran.stdout.contains("remove"), "{ran:#?}");
            assert_eq!(parts(folder.path()), before);
        }
    }
    let also = ingest(folder.path(), &["--intent", "reprocess", "--yes"]);
    assert!(also.code == 2 && also.stderr.contains("--yes is for prune"), "{also:#?}");
}

#[test]
fn more_than_half_of_the_outputs_are_pruned_only_with_yes() {
    let folder = folder(URI, 3);
    assert_eq!(ingest(folder.path(), &[]).code, 0);
    for file in ["in/0.csv", "in/1.csv"] {
        std::fs::remove_file(folder.path().join(file)).unwrap();
    }
    let refused = prune(folder.path(), &[]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(refused.stderr.contains("2 of 3 published outputs") && refused.stderr.contains("--yes"), "{refused:#?}");
    assert_eq!((refused.stdout.as_str(), parts(folder.path()).len()), ("", 3));
    let dry = prune(folder.path(), &["--dry-run"]);
    assert!(dry.code == 1 && dry.stderr.contains("2 of 3"), "{dry:#?}");
    assert_eq!(dry.stdout.matches("would remove the output of").count(), 2);
    let done = prune(folder.path(), &["--yes"]);
    assert_eq!((done.code, done.stdout.matches("removed the output of").count()), (0, 2), "{done:#?}");
    assert_eq!(parts(folder.path()), ["d/2.csv/part-00000.parquet"]);
}

#[test]
fn a_folder_of_sources_named_without_a_uri_is_not_pruned_while_it_is_gone() {
    let folder = folder("", 2);
    std::fs::create_dir(folder.path().join("more")).unwrap();
    for number in 0..4 {
        std::fs::write(folder.path().join(format!("more/{number}.csv")), "a\n1\n").unwrap();
    }
    assert_eq!(ingest(folder.path(), &["in", "more"]).code, 0);
    std::fs::rename(folder.path().join("in"), folder.path().join("gone")).unwrap();
    let ran = prune(folder.path(), &[]);
    assert!(ran.code == 1 && ran.stderr.contains("whose folder is missing or empty"), "{ran:#?}");
    assert_eq!(parts(folder.path()).len(), 6);
}

#[test]
fn a_source_named_through_a_link_is_the_same_source() {
    let folder = folder(URI, 2);
    symlink("in", folder.path().join("link")).unwrap();
    symlink("in/0.csv", folder.path().join("one.csv")).unwrap();
    assert_eq!(ingest(folder.path(), &["in"]).code, 0);
    let before = visible(&folder.path().join("out"));
    assert_eq!(before.len(), 2);
    for (sources, skipped) in [
        (&["link"] as &[&str], 2),
        (&["link/*.csv"], 2),
        (&["link/0.csv", "in/0.csv", "one.csv"], 1),
        (&["one.csv"], 1),
        (&["in", "link", "one.csv"], 2),
        (&[], 2),
    ] {
        let ran = ingest(folder.path(), &[&["--json"], sources].concat());
        assert_eq!(counts(&ran), (0, skipped), "{sources:?}: {ran:#?}");
    }
    dataset(folder.path(), &URI.replace("\"in\"", "\"link\""));
    assert_eq!(counts(&ingest(folder.path(), &["--json"])), (0, 2));
    assert_eq!(visible(&folder.path().join("out")), before);
}

#[test]
fn a_uri_through_a_link_names_parts_by_what_lies_below_it() {
    let folder = folder(&URI.replace("\"in\"", "\"link\""), 1);
    symlink("in", folder.path().join("link")).unwrap();
    let ran = ingest(folder.path(), &["--json"]);
    assert_eq!(counts(&ran), (1, 0), "{ran:#?}");
    assert!(ran.json()["runs"][0]["source"]["uri"].as_str().unwrap().ends_with("/in/0.csv"), "{ran:#?}");
    assert_eq!(parts(folder.path()), ["d/0.csv/part-00000.parquet"]);
}

#[test]
fn a_sink_that_knows_a_source_by_another_path_keeps_that_name() {
    let folder = folder(URI, 2);
    assert_eq!(ingest(folder.path(), &[]).code, 0);
    // Its ledger now names the files through a link, as earlier versions made it.
    std::fs::rename(folder.path().join("in"), folder.path().join("real")).unwrap();
    symlink("real", folder.path().join("in")).unwrap();
    for sources in [&[] as &[&str], &["in"], &["real"], &["real/0.csv", "in/1.csv"]] {
        let ran = ingest(folder.path(), &[&["--json"], sources].concat());
        assert_eq!(counts(&ran), (0, 2), "{sources:?}: {ran:#?}");
    }
    // A new version replaces the old one in place.
    std::thread::sleep(Duration::from_millis(20));
    std::fs::write(folder.path().join("real/0.csv"), "a\n7\n").unwrap();
    assert_eq!(counts(&ingest(folder.path(), &["--json"])), (1, 1));
    assert_eq!(parts(folder.path()), ["d/0.csv/part-00000.parquet", "d/1.csv/part-00000.parquet"]);
    assert!(prune(folder.path(), &[]).stderr.contains("nothing to prune"));
}

#[test]
fn links_inside_a_folder_add_nothing_and_a_circle_ends() {
    let folder = folder("uri = \"in\"\npattern = \"**/*.csv\"", 2);
    let inside = |name: &str| folder.path().join("in").join(name);
    std::fs::create_dir(inside("below")).unwrap();
    std::fs::write(inside("below/2.csv"), "a\n2\n").unwrap();
    std::fs::write(folder.path().join("3.csv"), "a\n3\n").unwrap();
    symlink("../0.csv", inside("below/again.csv")).unwrap();
    symlink(folder.path().join("in"), inside("circle")).unwrap();
    symlink("below", inside("other")).unwrap();
    symlink("../3.csv", inside("elsewhere.csv")).unwrap();
    symlink("nowhere", inside("dangling.csv")).unwrap();
    for sources in [&[] as &[&str], &["in"], &["in/**/*.csv"]] {
        let ran = ingest(folder.path(), &[&["--json"], sources].concat());
        let (complete, skipped) = counts(&ran);
        assert_eq!(complete + skipped, 4, "{sources:?}: {ran:#?}");
    }
    assert_eq!(parts(folder.path()).len(), 4);
}

#[test]
fn where_nothing_matches_it_says_why_with_counts() {
    let folder = folder(&format!("{URI}\nmodified_within = \"7d\""), 3);
    let old = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
    for number in 0..3 {
        let file = std::fs::File::open(folder.path().join(format!("in/{number}.csv"))).unwrap();
        file.set_modified(old).unwrap();
    }
    let root = folder.path().canonicalize().unwrap();
    let at = root.display();
    let modified = "3 fit the pattern `*.csv`, 0 were modified within 7d: --modified-within 10y, or name them";
    for (more, told) in [
        (&[] as &[&str], modified.to_owned()),
        (&["--pattern", "*.txt"], format!("3 files lie at {at}/in/, 0 fit the pattern `*.txt`")),
        (&["in/*.parquet"], format!("/in/*.parquet: 3 files at {}/in/, 0 fit", folder.path().display())),
        (&["in", "--pattern", "9*"], "/in: 3 files, 0 end in .csv".to_owned()),
        (&["in", "--modified-within", "1h"], "3 files named, 0 modified within 1h".to_owned()),
    ] {
        let ran = ingest(folder.path(), more);
        assert!(
            ran.code == 0 && ran.stderr.contains("nothing matched") && ran.stderr.contains(&told),
            "{told}: {ran:#?}"
        );
        assert_eq!(ingest(folder.path(), &[&["--fail-if-empty"], more].concat()).code, 1);
    }
    let found = ingest(folder.path(), &["--fail-if-empty", "--modified-within", "10y"]);
    assert_eq!(found.code, 0, "{found:#?}");
    std::fs::remove_dir_all(folder.path().join("in")).unwrap();
    let missing = ingest(folder.path(), &[]);
    assert!(missing.code == 2 && missing.stderr.contains("no such folder"), "{missing:#?}");
    std::fs::create_dir(folder.path().join("in")).unwrap();
    assert!(ingest(folder.path(), &[]).stderr.contains("nothing lies at"), "an empty one");
    dataset(folder.path(), "uri = \"~/trips\"");
    let tilde = ingest(folder.path(), &[]);
    assert!(tilde.code == 2 && tilde.stderr.contains("`~` is not expanded"), "{tilde:#?}");
    for arguments in [
        &["run", "--dataset", "d.toml", "~/trips/*.csv"] as &[&str],
        &["run", "--dataset", "d.toml", "--sink=~/out", "in"],
    ] {
        let ran = run(folder.path(), arguments);
        assert!(ran.code == 2 && ran.stderr.contains("`~` was not expanded"), "{ran:#?}");
    }
    let glob = ingest(folder.path(), &["trips/*.csv"]);
    assert!(glob.code == 1 && glob.stderr.contains("no such folder as"), "{glob:#?}");
}

#[test]
fn what_is_no_file_is_called_what_it_is() {
    let folder = folder(URI, 1);
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe.csv")).status().unwrap();
    assert!(made.success());
    symlink("nowhere", folder.path().join("dangling.csv")).unwrap();
    for (source, told) in [
        ("pipe.csv", "it is a named pipe"),
        ("/dev/null", "it is a device"),
        ("dangling.csv", "it is a symbolic link that leads to no file"),
        ("in/0.csv/", "it is a file: leave out the slash"),
        ("in/9.csv", "no such file"),
        ("9/", "no such folder"),
    ] {
        let ran = ingest(folder.path(), &[source]);
        assert!(ran.code == 1 && ran.stderr.contains(told), "{source}: {ran:#?}");
        let checked = run(folder.path(), &["check", "d.toml", source]);
        assert!(checked.code == 1 && checked.stderr.contains(told), "{source}: {checked:#?}");
    }
    for (arguments, told) in [
        (&["run", "--dataset", "in"] as &[&str], "in: it is a folder: name a dataset file"),
        (&["run", "--dataset", "/dev/null"], "/dev/null: nothing is written there"),
        (&["run", "--dataset", "d.toml", "--sink", "/dev/null", "in"], "sink /dev/null: it is a device: name a folder"),
        (&["run", "--dataset", "d.toml", "--sink", "pipe.csv", "in"], "it is a named pipe: name a folder"),
    ] {
        let ran = run(folder.path(), arguments);
        assert!(ran.code == 2 && ran.stderr.contains(told), "{arguments:?}: {ran:#?}");
    }
    dataset(folder.path(), "uri = \"in/0.csv\"");
    let file = ingest(folder.path(), &[]);
    assert!(file.code == 2 && file.stderr.contains("is a file: name the folder"), "{file:#?}");
}
