//! What is told of what was published before: parts that are gone, another dataset file, runs that did not end. And that the
//! commands which messages give work when they are pasted.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Ran, number, plain_dataset, rowmill, run, trips, visible};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with a space in it, that holds trips, `my plain.toml` and nothing else.
struct Place {
    _temporary: TempDir,
    folder: PathBuf,
}

impl Place {
    fn new(rows: u64) -> Self {
        let temporary = trips(rows);
        let folder = temporary.path().join("my data");
        std::fs::create_dir(&folder).unwrap();
        std::fs::rename(temporary.path().join("trips"), folder.join("trips")).unwrap();
        let plain = plain_dataset(&folder);
        std::fs::rename(plain, folder.join("my plain.toml")).unwrap();
        Self { _temporary: temporary, folder }
    }

    fn run(&self, more: &[&str]) -> Ran {
        run(&self.folder, &[&["run", "--dataset", "my plain.toml", "--sink", "my out"], more].concat())
    }

    /// Runs a command as a person would who pastes it into a shell.
    fn paste(&self, command: &str) -> Ran {
        assert!(command.starts_with("rowmill "), "{command}");
        let bin = rowmill(&self.folder).get_program().to_owned();
        let bin = Path::new(&bin).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let shell = Command::new("sh").args(["-c", command]).env("PATH", path).current_dir(&self.folder).output();
        Ran::of(shell.unwrap())
    }

    fn append(&self, text: &str) {
        let path = self.folder.join("my plain.toml");
        let before = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, before + text).unwrap();
    }

    /// Has the dataset file name the folder of the trips.
    fn append_uri(&self) {
        let path = self.folder.join("my plain.toml");
        let uri = format!("[source]\nuri = \"{}\"", self.folder.join("trips").display());
        let text = std::fs::read_to_string(&path).unwrap().replacen("[source]", &uri, 1);
        std::fs::write(&path, text).unwrap();
    }

    fn parts(&self) -> Vec<PathBuf> {
        let sink = self.folder.join("my out");
        visible(&sink).into_keys().filter(|path| path.starts_with("plain")).map(|path| sink.join(path)).collect()
    }
}

/// The commands between backticks in a text.
fn commands(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|quoted| quoted.starts_with("rowmill ")).map(str::to_owned).collect()
}

fn statuses(ran: &Ran) -> Vec<String> {
    let json = ran.json();
    json["runs"].as_array().unwrap().iter().map(|run| run["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn parts_that_are_gone_or_changed_by_hand_are_told_and_made_again_by_the_command_told() {
    let place = Place::new(20_000);
    assert_eq!(place.run(&["trips"]).code, 0);
    let whole = visible(&place.folder.join("my out"));
    assert_eq!(place.run(&["trips"]).code, 0, "nothing is wrong yet");
    let parts = place.parts();
    let (first, last) = (parts.first().unwrap(), parts.last().unwrap());
    std::fs::remove_file(first).unwrap();
    std::fs::write(last, "twelve bytes").unwrap();

    let ran = place.run(&["trips", "--json"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    let report = ran.json();
    assert_eq!((number(&report["totals"], "skipped"), number(&report["totals"], "damaged")), (4, 2));
    let damaged: Vec<&Value> =
        report["runs"].as_array().unwrap().iter().flat_map(|run| run["damaged"].as_array()).flatten().collect();
    let bytes = whole[last.strip_prefix(place.folder.join("my out")).unwrap()].len();
    let bytes = format!("{},{:03}", bytes / 1_000, bytes % 1_000);
    let uri = |path: &Path| format!("file://{}", path.canonicalize().unwrap_or_else(|_| path.to_owned()).display());
    assert_eq!(damaged.len(), 2);
    assert_eq!((&damaged[0]["uri"], &damaged[0]["problem"]), (&json!(uri(first)), &json!("gone")));
    assert_eq!(damaged[1]["problem"], format!("another size: 12 instead of {bytes} bytes"));

    let id = report["runs"][0]["run_id"].as_str().unwrap();
    let shown = run(&place.folder, &["show", id, "--sink", "my out"]);
    let line = shown.stdout.lines().find(|line| line.contains(first.to_str().unwrap())).unwrap();
    assert!(line.ends_with("  gone"), "{shown:#?}");
    let shown = run(&place.folder, &["show", id, "--sink", "my out", "--json"]).json();
    assert_eq!(shown["damaged"][0]["problem"], "gone");

    let text = place.run(&["trips"]);
    assert_eq!(text.code, 1, "{text:#?}");
    assert!(text.stderr.contains(" parts is gone from the sink: `rowmill run"), "{text:#?}");
    let again = commands(&text.stderr);
    assert_eq!(again.len(), 2, "{text:#?}");
    for command in again {
        let again = place.paste(&command);
        assert_eq!(again.code, 0, "{command}: {again:#?}");
    }
    let mended = place.run(&["trips"]);
    assert_eq!((mended.code, mended.stderr.as_str()), (0, ""), "{mended:#?}");
    assert_eq!(visible(&place.folder.join("my out")).len(), whole.len());
    let shown = run(&place.folder, &["show", id, "--sink", "my out"]).stdout;
    assert!(shown.contains("replaced by") && !shown.contains("  gone"), "its parts are another run's now: {shown}");
}

#[test]
fn a_changed_dataset_file_is_told_once_with_a_count_and_stale_rewrites_just_those() {
    let place = Place::new(4_000);
    assert_eq!(place.run(&["trips"]).code, 0);
    assert_eq!(place.run(&["trips"]).stderr, "");
    place.append("compression = \"snappy\"\n");
    let skipped = place.run(&["trips"]);
    assert_eq!(skipped.code, 0, "{skipped:#?}");
    assert_eq!(skipped.stderr.matches("4 of 4 skipped sources were published under another dataset file").count(), 1);
    let stale = commands(&skipped.stderr);
    assert_eq!(stale, ["rowmill run --dataset 'my plain.toml' --sink 'my out' --stale trips"]);
    assert_eq!(number(&place.run(&["trips", "--json"]).json()["totals"], "stale"), 4);

    let dry = place.paste(&format!("{} --dry-run --json --limit 3", stale[0]));
    assert_eq!((dry.code, statuses(&dry)), (0, vec!["planned".to_owned(); 3]), "{dry:#?}");
    let one = place.paste(&format!("{} --json --limit 1", stale[0]));
    assert_eq!((one.code, statuses(&one)), (0, vec!["complete".to_owned()]), "{one:#?}");
    std::fs::copy(
        place.folder.join("trips/fhvhv_tripdata_2019-06.parquet"),
        place.folder.join("trips/fhvhv_tripdata_2019-07.parquet"),
    )
    .unwrap();
    let rest = place.paste(&format!("{} --json", stale[0]));
    let mut ended = statuses(&rest);
    ended.sort_unstable();
    assert_eq!((rest.code, ended.join(" ")), (0, "complete complete complete skipped".to_owned()), "{rest:#?}");
    assert!(rest.stderr.contains("1 source not published yet"), "{rest:#?}");
    let plain = place.run(&["trips", "--json"]);
    assert_eq!(number(&plain.json()["totals"], "complete"), 1, "{plain:#?}");
    assert_eq!(place.run(&["trips"]).stderr, "", "nothing is stale any more");
    assert_eq!(place.run(&["--intent", "prune", "--stale"]).code, 2);
}

#[test]
fn a_new_report_says_when_it_comes() {
    let place = Place::new(1_000);
    assert_eq!(place.run(&["trips"]).code, 0);
    place.append("[[reports]]\nname = \"counted\"\nmeasures = [{ name = \"rows\", expr = \"count(*)\" }]\n");
    let skipped = place.run(&["trips", "--json"]);
    assert_eq!(skipped.json()["reports_to_come"], json!(["counted"]), "{skipped:#?}");
    assert!(skipped.stderr.contains("report counted: nothing is written yet, it comes with the next source"));
    let rewritten = place.run(&["trips", "--stale", "--json"]).json();
    assert_eq!((rewritten.get("reports_to_come"), number(&rewritten["reports"][0], "rows")), (None, 1_000));
}

/// What makes no more room than a full disk: files that may have so few bytes.
fn cramped(folder: &Path, half_kilobytes: u64, arguments: &[&str]) -> Ran {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {half_kilobytes}; exec \"$@\""), "sh"]);
    let command = rowmill(folder);
    shell.arg(command.get_program()).args(arguments).current_dir(folder);
    Ran::of(shell.output().unwrap())
}

#[test]
fn a_run_without_room_on_the_disk_is_open_wherever_one_looks_and_goes_on() {
    let place = Place::new(20_000);
    let month = "trips/fhvhv_tripdata_2019-06.parquet";
    let arguments = ["run", "--json", "--dataset", "my plain.toml", "--sink", "my out", month];
    let full = cramped(&place.folder, 20, &arguments);
    assert_eq!(full.code, 1, "{full:#?}");
    let report = full.json();
    assert_eq!((number(&report["totals"], "open"), number(&report["totals"], "failed")), (1, 0), "{report}");
    let (status, error) = (&report["runs"][0]["status"], report["runs"][0]["error"].as_str().unwrap());
    assert_eq!(status, "open");
    assert!(error.starts_with("open: not finished: ") && error.contains("run the same command again"), "{error}");
    let id = report["runs"][0]["run_id"].as_str().unwrap();
    let listed = run(&place.folder, &["runs", "--sink", "my out", "--json"]).json();
    let shown = run(&place.folder, &["show", id, "--sink", "my out", "--json"]).json();
    assert_eq!((&listed["runs"][0]["status"], &shown["status"]), (&json!("open"), &json!("open")));

    // What is kept is named by a record: half of a part would keep the disk full.
    let own = place.folder.join("my out/_rowmill");
    let records: String = std::fs::read_dir(own.join(format!("runs/plain/{id}/slices")))
        .into_iter()
        .flatten()
        .map(|record| std::fs::read_to_string(record.unwrap().path()).unwrap())
        .collect();
    for upload in std::fs::read_dir(own.join("uploads")).into_iter().flatten() {
        let upload = upload.unwrap().file_name().into_string().unwrap();
        assert!(records.contains(&upload), "{upload} is left behind");
    }
    assert_eq!(std::fs::read_dir(own.join("tmp")).map_or(0, Iterator::count), 0);

    let nothing = run(&place.folder, &["redrive", "--sink", "my out"]);
    assert_eq!(nothing.code, 0, "{nothing:#?}");
    let told = format!("run {id} of {} is open, and has not failed", place.folder.join(month).display());
    assert!(nothing.stderr.contains(&told), "{nothing:#?}");
    let named = run(&place.folder, &["redrive", id, "--sink", "my out"]);
    assert!(named.code == 2 && named.stderr.contains("is open, and has not failed"), "{named:#?}");
    let told = run(&place.folder, &["redrive", "--sink", "my out", "--dataset", "my plain.toml"]);
    let again = commands(&told.stderr);
    assert_eq!(again.len(), 1, "{told:#?}");
    let done = place.paste(&format!("{} --json", again[0]));
    assert_eq!((done.code, statuses(&done)), (0, vec!["complete".to_owned()]), "{done:#?}");
    assert_eq!(done.json()["runs"][0]["run_id"], id);
}

#[test]
fn a_sink_without_room_for_a_run_says_what_to_do() {
    let place = Place::new(1_000);
    let none = cramped(&place.folder, 0, &["run", "--dataset", "my plain.toml", "--sink", "my out", "trips"]);
    assert_eq!(none.code, 1, "{none:#?}");
    assert!(none.stderr.contains("ulimit -f") && none.stderr.contains("then run the same command again"), "{none:#?}");
    assert_eq!(run(&place.folder, &["redrive", "--sink", "my out"]).code, 0);
}

#[test]
fn a_dry_redrive_shows_the_source_as_it_is_now() {
    let place = Place::new(1_000);
    std::fs::write(place.folder.join("x.parquet"), "not yet").unwrap();
    assert_eq!(place.run(&["x.parquet"]).code, 1);
    let good = place.folder.join("trips/fhvhv_tripdata_2019-06.parquet");
    std::fs::copy(&good, place.folder.join("x.parquet")).unwrap();
    let dry = run(&place.folder, &["redrive", "--dry-run", "--json", "--sink", "my out"]);
    assert_eq!(number(&dry.json()["runs"][0]["source"], "size"), std::fs::metadata(good).unwrap().len(), "{dry:#?}");
}

#[test]
fn commands_in_messages_work_when_they_are_pasted() {
    let place = Place::new(1_000);
    place.append("[[reports]]\nname = \"by_trip\"\ngroup_by = [\"trip_miles\"]\nmeasures = [{ name = \"rows\", expr = \"count(*)\" }]\n");
    let ran = place.run(&["trips"]);
    let more = ran.stdout.lines().find_map(|line| line.split_once(" more: ")).unwrap().1.to_owned();
    let report = place.paste(&more);
    assert!(report.code == 0 && report.stdout.lines().count() > 100, "{more}: {report:#?}");
    let unknown = run(&place.folder, &["show", "zzz", "--sink", "my out"]);
    let redrive = place.run(&["--intent", "redrive"]);
    let applied = ["apply", "my plain.toml", "--sink", "my out"];
    place.append_uri();
    assert_eq!(run(&place.folder, &applied).code, 0);
    place.append("# changed\n");
    let replaced = run(&place.folder, &applied);
    let command = replaced.stdout.lines().last().unwrap().trim();
    let rewritten = place.paste(&format!("{command} --json"));
    assert_eq!(statuses(&rewritten), vec!["complete"; 4], "{command}: {rewritten:#?}");
    for told in [unknown, redrive] {
        assert_eq!(told.code, 2, "{told:#?}");
        let command = commands(&told.stderr);
        assert_eq!(place.paste(command.first().unwrap()).code, 0, "{told:#?}");
    }
}
