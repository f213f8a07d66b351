//! What a webhook hears of `rowmill run`: a server on this machine takes its place.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Ran, plain_dataset, rowmill, trips};
use serde_json::Value;

/// Answers each request with the next status (the last one again and again), and keeps what was posted.
struct Server {
    url: String,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Server {
    fn answering(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/services/T0/B0/hush", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&heard);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut reader = BufReader::new(stream.unwrap());
                let (mut length, mut line) = (0, String::new());
                while reader.read_line(&mut line).unwrap() > 2 {
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let status = statuses[number.min(statuses.len() - 1)];
                if status == 200 {
                    keep.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                }
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { url, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|posted| posted["text"].as_str().unwrap().to_owned()).collect()
    }

    fn run(&self, folder: &Path, arguments: &[&str]) -> Ran {
        let run = ["run", "--json", "--sink", "out"];
        let mut command = rowmill(folder);
        command.args(run).args(arguments).env("ROWMILL_WEBHOOK_URL", &self.url).env("ROWMILL_LOG", "trace");
        Ran::of(command.output().unwrap())
    }
}

fn no_notices(folder: &Path) -> bool {
    std::fs::read_dir(folder.join("out/_rowmill/notices")).map_or(true, |mut entries| entries.next().is_none())
}

#[test]
fn a_run_is_told_of_with_its_rows_reasons_and_time_and_a_skipped_one_is_not() {
    let folder = trips(8_000);
    let server = Server::answering(&[200]);
    let ran = server.run(folder.path(), &["--dataset", "fhvhv.toml", "trips"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let heard = server.heard();
    assert_eq!(heard.len(), 4);
    assert!(heard.iter().all(|text| text.starts_with("✅ fhvhv: ") && text.ends_with(" is complete")), "{heard:?}");
    let posted = server.heard.lock().unwrap()[0].to_string();
    for fact in ["*rows*", " read, ", "*reasons*", "*output*", "*time*", "_tripdata_"] {
        assert!(posted.contains(fact), "{fact}: {posted}");
    }
    assert!(!ran.stderr.contains("hush") && !ran.stdout.contains("hush"), "the URL is a secret");
    assert!(no_notices(folder.path()));
    let again = server.run(folder.path(), &["--dataset", "fhvhv.toml", "trips"]);
    assert_eq!((again.code, server.heard().len()), (0, 4));

    let run_id = ran.json()["runs"][0]["run_id"].as_str().unwrap().to_owned();
    let shown = common::run(folder.path(), &["show", &run_id, "--sink", "out"]);
    assert!(shown.stdout.contains("told") && shown.stdout.contains("webhook at 20"), "{}", shown.stdout);
    assert!(shown.stdout.contains("took") && shown.stdout.contains(" s of work in "), "{}", shown.stdout);
}

#[test]
fn a_failed_run_is_told_of_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    plain_dataset(folder.path());
    std::fs::write(folder.path().join("a & b.parquet"), "no parquet at all").unwrap();
    let server = Server::answering(&[200]);
    let ran = server.run(folder.path(), &["--dataset", "plain.toml", "a & b.parquet"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert_eq!(server.heard(), ["❌ plain: a &amp; b.parquet failed"]);
    let blocks = server.heard.lock().unwrap()[0]["blocks"].to_string();
    assert!(blocks.contains("> ") && blocks.contains("Parquet") && blocks.contains("rowmill redrive"), "{blocks}");
}

#[test]
fn a_webhook_that_fails_at_first_is_told_in_the_end_and_the_run_is_complete_whatever_it_answers() {
    let folder = trips(2_000);
    let server = Server::answering(&[503, 500, 200]);
    let ran = server.run(folder.path(), &["--dataset", "fhvhv.toml", "trips/fhvhv_tripdata_2025-01.parquet"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(server.heard().len(), 1);
    assert!(no_notices(folder.path()));
}

#[test]
fn what_a_webhook_did_not_take_is_left_to_the_next_command() {
    let folder = trips(2_000);
    let down = Server::answering(&[503]);
    let arguments = ["--dataset", "fhvhv.toml", "trips"];
    let ran = down.run(folder.path(), &arguments);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("the next command tries again"), "{}", ran.stderr);
    assert!(!no_notices(folder.path()) && !ran.stderr.contains("hush"), "{}", ran.stderr);
    thread::sleep(std::time::Duration::from_secs(9));
    let up = Server::answering(&[200]);
    assert_eq!(up.run(folder.path(), &arguments).code, 0);
    assert_eq!(up.heard().len(), 4);
    assert!(no_notices(folder.path()));
}

#[test]
fn a_trial_is_not_told_of_and_a_dataset_may_want_failures_alone() {
    let folder = trips(2_000);
    let server = Server::answering(&[200]);
    let arguments = ["--dataset", "fhvhv.toml", "--intent", "test_subset", "trips"];
    assert_eq!(server.run(folder.path(), &arguments).code, 0);
    let path = folder.path().join("fhvhv.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\n[notify]\non = [\"failed\"]\n")).unwrap();
    assert_eq!(server.run(folder.path(), &["--dataset", "fhvhv.toml", "trips"]).code, 0);
    assert_eq!(server.heard(), Vec::<String>::new());
}

#[test]
fn a_url_without_tls_to_another_machine_is_refused_without_being_repeated() {
    let folder = tempfile::tempdir().unwrap();
    plain_dataset(folder.path());
    let mut command = rowmill(folder.path());
    command.args(["run", "--dataset", "plain.toml", "x.parquet"]).env("ROWMILL_WEBHOOK_URL", "http://example.org/hush");
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("ROWMILL_WEBHOOK_URL") && ran.stderr.contains("https://"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("example.org"), "{}", ran.stderr);
}
