//! A run that is killed or interrupted resumes, and nobody can tell from what readers see.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use common::{Ran, number, rowmill, run, trips, visible};

fn arguments<'a>(sink: &'a str, intent: &'a str) -> [&'a str; 9] {
    ["run", "--json", "--dataset", "fhvhv.toml", "--intent", intent, "--sink", sink, "trips"]
}

fn start(folder: &Path, sink: &str, intent: &str) -> Child {
    let mut command = rowmill(folder);
    command.args(arguments(sink, intent)).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// A number below `bound`, another one each time.
fn random_below(bound: u32) -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.subsec_micros() % bound.max(1)
}

/// Each round kills the same run up to three times, at random moments, before it is left in peace.
#[test]
fn a_run_killed_at_random_moments_ends_with_the_bytes_of_one_that_was_not() {
    let rounds: u32 = std::env::var("ROWMILL_KILL_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    let folder = trips(60_000);
    let began = Instant::now();
    assert_eq!(run(folder.path(), &arguments("calm", "")).code, 0);
    let whole = began.elapsed();
    let calm = visible(&folder.path().join("calm"));
    assert!(calm.len() > 8);
    for round in 0..rounds {
        let sink = format!("killed-{round}");
        for _ in 0..3 {
            let mut child = start(folder.path(), &sink, "");
            let wait = whole.mul_f64(f64::from(random_below(1_000)) / 1_000.0);
            sleep(wait);
            child.kill().unwrap();
            child.wait().unwrap();
            let seen = visible(&folder.path().join(&sink));
            for (path, bytes) in &seen {
                assert!(calm[path] == *bytes, "round {round}: {} is torn after {wait:?}", path.display());
            }
        }
        let ran = run(folder.path(), &arguments(&sink, ""));
        assert_eq!(ran.code, 0, "round {round}: {ran:#?}");
        let seen = visible(&folder.path().join(&sink));
        assert!(calm == seen, "round {round}: {:?}", seen.keys());
        let open = folder.path().join(&sink).join("_rowmill/open");
        assert_eq!(std::fs::read_dir(open).map_or(0, Iterator::count), 0, "round {round}: a run is left open");
    }
}

#[test]
fn ctrl_c_exits_130_and_the_same_command_resumes() {
    let folder = trips(60_000);
    let began = Instant::now();
    assert_eq!(run(folder.path(), &arguments("calm", "")).code, 0);
    let whole = began.elapsed();
    let child = start(folder.path(), "out", "");
    sleep(whole.mul_f64(0.4));
    let pressed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(pressed.success());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{ran:#?}");
    assert!(ran.stderr.contains("run the same command again to resume"), "{ran:#?}");
    assert!(ran.json()["runs"].as_array().unwrap().iter().any(|run| run["status"] == "interrupted"));
    let resumed = run(folder.path(), &arguments("out", ""));
    assert_eq!(resumed.code, 0, "{resumed:#?}");
    assert!(visible(&folder.path().join("calm")) == visible(&folder.path().join("out")));
}

#[test]
fn an_interrupted_reprocess_goes_on_as_the_same_run() {
    let folder = trips(60_000);
    let began = Instant::now();
    assert_eq!(run(folder.path(), &arguments("out", "")).code, 0);
    let whole = began.elapsed();
    let mut child = start(folder.path(), "out", "reprocess");
    sleep(whole.mul_f64(0.5));
    child.kill().unwrap();
    child.wait().unwrap();
    let open: Vec<_> = std::fs::read_dir(folder.path().join("out/_rowmill/open")).unwrap().collect();
    let open: Vec<String> = open.into_iter().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!open.is_empty(), "killed too late to tell");
    let resumed = run(folder.path(), &arguments("out", "reprocess"));
    assert_eq!(resumed.code, 0, "{resumed:#?}");
    let report = resumed.json();
    let ids: Vec<&str> = report["runs"].as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap()).collect();
    assert!(open.iter().all(|id| ids.contains(&id.as_str())), "{open:?} in {ids:?}");
}

#[test]
fn two_processes_on_one_sink_publish_once() {
    let folder = trips(30_000);
    assert_eq!(run(folder.path(), &arguments("calm", "")).code, 0);
    let both = [start(folder.path(), "out", ""), start(folder.path(), "out", "")];
    for child in both {
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert_eq!(number(&ran.json()["totals"], "failed"), 0);
    }
    assert!(visible(&folder.path().join("calm")) == visible(&folder.path().join("out")));
}
