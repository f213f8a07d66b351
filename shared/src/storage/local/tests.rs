//! What a folder must bear beyond the conformance suite: killed processes, hostile names, links, other programs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::storage::EntryKind;

fn storage() -> (TempDir, LocalStorage) {
    let folder = tempfile::tempdir().unwrap();
    let storage = LocalStorage::new(folder.path().join("sink"));
    (folder, storage)
}

fn body(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn upload(storage: &LocalStorage, key: &str, bodies: &[&'static str]) -> (String, Vec<UploadedPart>) {
    let id = storage.begin_upload(key, &BTreeMap::new()).await.unwrap();
    let mut parts = Vec::new();
    for (number, text) in (1..).zip(bodies) {
        parts.push(storage.put_part(key, &id, number, body(text)).await.unwrap());
    }
    (id, parts)
}

fn upload_folder(storage: &LocalStorage, id: &str) -> PathBuf {
    storage.root.own(keys::UPLOADS).join(id)
}

/// What a process killed between the marker and the rename leaves.
fn undo_rename(storage: &LocalStorage, key: &str, id: &str) {
    let folder = upload_folder(storage, id);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("index"), format!("{{\"format\":1,\"key\":\"{key}\"}}\n")).unwrap();
    fs::rename(storage.root.object(key).unwrap(), folder.join("data")).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn completing_renames_the_uploaded_file_and_copies_nothing() {
    use std::os::unix::fs::MetadataExt;
    let (_folder, storage) = storage();
    let (id, parts) = upload(&storage, "out/part.parquet", &["one ", "two ", "three"]).await;
    let data = fs::metadata(upload_folder(&storage, &id).join("data")).unwrap();
    storage.complete_upload("out/part.parquet", &id, &parts).await.unwrap();
    let object = fs::metadata(storage.root.object("out/part.parquet").unwrap()).unwrap();
    assert_eq!(object.ino(), data.ino());
    assert_eq!(&storage.get("out/part.parquet", 100).await.unwrap().unwrap().bytes[..], b"one two three");
}

#[tokio::test]
async fn a_completion_killed_before_its_rename_is_made_up_for() {
    let (_folder, storage) = storage();
    let (id, parts) = upload(&storage, "part", &["rows"]).await;
    let first = storage.complete_upload("part", &id, &parts).await.unwrap();
    undo_rename(&storage, "part", &id);
    assert_eq!(storage.head("part").await.unwrap(), None);
    assert_eq!(storage.complete_upload("part", &id, &parts).await.unwrap(), first);
    let etag = storage.head("part").await.unwrap().unwrap().version.etag;
    assert_eq!(first, CompleteOutcome::Completed { etag });
}

#[tokio::test]
async fn a_completion_killed_before_its_rename_may_still_be_aborted_and_then_never_happens() {
    let (_folder, storage) = storage();
    let (id, parts) = upload(&storage, "part", &["rows"]).await;
    storage.complete_upload("part", &id, &parts).await.unwrap();
    undo_rename(&storage, "part", &id);
    assert_eq!(storage.abort_upload("part", &id).await.unwrap(), AbortOutcome::Aborted);
    assert_eq!(storage.complete_upload("part", &id, &parts).await.unwrap(), CompleteOutcome::Gone);
    assert_eq!(storage.head("part").await.unwrap(), None);
}

#[tokio::test]
async fn a_part_whose_writer_was_killed_half_way_is_uploaded_again() {
    use std::io::Write;
    let (_folder, storage) = storage();
    let (id, mut parts) = upload(&storage, "part", &["one "]).await;
    let append = |name: &str, bytes: &[u8]| {
        let path = upload_folder(&storage, &id).join(name);
        fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
    };
    append("data", b"a longer beginning of the second part");
    append("index", b"{\"number\":2,\"etag\":\"cut");
    parts.push(storage.put_part("part", &id, 2, body("two")).await.unwrap());
    storage.complete_upload("part", &id, &parts).await.unwrap();
    assert_eq!(&storage.get("part", 100).await.unwrap().unwrap().bytes[..], b"one two");
}

#[tokio::test]
async fn garbage_of_killed_processes_is_collected_and_what_is_in_use_is_not() {
    let (_folder, storage) = storage();
    let (open, _) = upload(&storage, "open", &["rows"]).await;
    let (completed, parts) = upload(&storage, "completed", &["rows"]).await;
    storage.complete_upload("completed", &completed, &parts).await.unwrap();
    let temp = storage.root.own(keys::TMP).join("left-behind");
    fs::write(&temp, "half").unwrap();
    fs::create_dir(upload_folder(&storage, "begun-and-killed")).unwrap();

    let none = storage.collect_garbage(Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(none, Collected::default());
    assert!(upload_folder(&storage, &open).exists() && temp.exists());

    tokio::time::sleep(Duration::from_millis(20)).await;
    let all = storage.collect_garbage(Duration::ZERO).await.unwrap();
    assert_eq!(all, Collected { temporary: 1, uploads: 2, markers: 1 });
    assert!(names(&storage.root.own(keys::UPLOADS)).is_empty());
    assert!(names(&storage.root.own(keys::TMP)).is_empty());
    assert_eq!(storage.complete_upload("open", &open, &parts).await.unwrap(), CompleteOutcome::Gone);
    assert!(storage.head("completed").await.unwrap().is_some());
}

#[tokio::test]
async fn nothing_temporary_is_left_by_writes_that_ended() {
    let (_folder, storage) = storage();
    storage.put("a", body("1")).await.unwrap();
    storage.put_if("a", PutIf::Absent, body("2")).await.unwrap();
    storage.put_if("a", PutIf::Matches("wrong"), body("3")).await.unwrap();
    let (id, _) = upload(&storage, "a", &["rows"]).await;
    storage.abort_upload("a", &id).await.unwrap();
    assert!(names(&storage.root.own(keys::TMP)).is_empty());
    assert!(names(&storage.root.own(keys::UPLOADS)).is_empty());
}

#[tokio::test]
async fn writes_do_not_follow_links_out_of_the_folder() {
    let (folder, storage) = storage();
    storage.put("inside", body("x")).await.unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "keep").unwrap();
    symlink(&outside, storage.root.path().join("link")).unwrap();
    symlink(outside.join("secret"), storage.root.path().join("file-link")).unwrap();

    let refused = |result: StorageResult<()>| assert!(matches!(result, Err(StorageError::BadKey { .. })), "{result:?}");
    refused(storage.put("link/new", body("x")).await.map(drop));
    refused(storage.put("link/deep/new", body("x")).await.map(drop));
    refused(storage.put_if("link/new", PutIf::Absent, body("x")).await.map(drop));
    refused(storage.delete("link/secret").await);
    refused(storage.begin_upload("link/new", &BTreeMap::new()).await.map(drop));
    assert_eq!(names(&outside), ["secret"]);

    storage.put("file-link", body("replaced")).await.unwrap();
    assert_eq!(fs::read(outside.join("secret")).unwrap(), b"keep", "the link was replaced, not what it named");
}

#[tokio::test]
async fn keys_that_no_path_can_have_are_refused_by_every_call() {
    let (folder, storage) = storage();
    let long = "n".repeat(256);
    for key in ["../escaped", "a/../../escaped", "/etc/x", "a//b", "a/", "", ".", "nul\0", &long, "_rowmill/uploads/x"]
    {
        assert!(matches!(storage.put(key, body("x")).await, Err(StorageError::BadKey { .. })), "{key:?}");
        assert!(matches!(storage.head(key).await, Err(StorageError::BadKey { .. })), "{key:?}");
        assert!(matches!(storage.delete(key).await, Err(StorageError::BadKey { .. })), "{key:?}");
        let begun = storage.begin_upload(key, &BTreeMap::new()).await;
        assert!(matches!(begun, Err(StorageError::BadKey { .. })), "{key:?}");
    }
    let deep = vec!["folder"; 1_000].join("/");
    assert!(matches!(storage.put(&deep, body("x")).await, Err(StorageError::BadKey { .. })));
    assert!(matches!(storage.list("../", None).await, Err(StorageError::BadKey { .. })));
    assert!(names(folder.path()).is_empty());
}

#[tokio::test]
async fn a_file_and_a_folder_of_one_name_are_refused_and_not_mixed_up() {
    let (_folder, storage) = storage();
    storage.put("a/b", body("x")).await.unwrap();
    for write in
        [storage.put("a", body("y")).await.map(drop), storage.put_if("a", PutIf::Absent, body("y")).await.map(drop)]
    {
        assert!(matches!(write, Err(StorageError::BadKey { .. })), "{write:?}");
    }
    assert!(matches!(storage.put("a/b/c", body("y")).await, Err(StorageError::BadKey { .. })));
    assert_eq!(storage.head("a").await.unwrap(), None);
    assert_eq!(storage.head("a/b/c").await.unwrap(), None);
    storage.delete("a").await.unwrap();
    assert_eq!(storage.delete_if("a/b/c", "x").await.unwrap(), DeleteOutcome::Gone);
    assert!(storage.head("a/b").await.unwrap().is_some());
}

#[tokio::test]
async fn deleting_removes_the_folders_it_empties_but_never_the_root() {
    let (_folder, storage) = storage();
    storage.put("a/b/c/d", body("x")).await.unwrap();
    storage.put("a/e", body("x")).await.unwrap();
    storage.delete("a/b/c/d").await.unwrap();
    assert_eq!(names(&storage.root.path().join("a")), ["e"]);
    storage.delete("a/e").await.unwrap();
    assert_eq!(names(storage.root.path()), ["_rowmill"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_and_deletes_in_one_folder_at_once_do_not_pull_it_from_under_each_other() {
    let (_folder, storage) = storage();
    let mut tasks = Vec::new();
    for task in 0..6 {
        let storage = storage.clone();
        tasks.push(tokio::spawn(async move {
            let key = format!("shared/deep/{task}");
            for _ in 0..25 {
                let outcome = storage.put_if(&key, PutIf::Absent, body("x")).await.unwrap();
                assert!(matches!(outcome, PutOutcome::Written { .. }));
                storage.delete(&key).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn an_object_that_another_program_changes_is_another_version() {
    let (_folder, storage) = storage();
    storage.put("source.csv", body("a,b\n1,2\n")).await.unwrap();
    let before = storage.head("source.csv").await.unwrap().unwrap().version;
    let path = storage.root.object("source.csv").unwrap();
    fs::write(&path, "a,b\n3,4\n").unwrap();
    fs::File::open(&path).unwrap().set_modified(SystemTime::now() + Duration::from_millis(10)).unwrap();
    let read = storage.get_range("source.csv", &before, 0..4).await;
    assert!(matches!(read, Err(StorageError::Changed { .. })));
    assert_eq!(storage.delete_if("source.csv", &before.etag).await.unwrap(), DeleteOutcome::Changed);
    assert_eq!(storage.put_if("source.csv", PutIf::Matches(&before.etag), body("x")).await.unwrap(), PutOutcome::Lost);
}

#[tokio::test]
async fn a_listing_skips_what_is_no_object_and_reading_a_pipe_does_not_hang() {
    let (_folder, storage) = storage();
    storage.put("data/a.csv", body("x")).await.unwrap();
    let data = storage.root.path().join("data");
    rustix::fs::mkfifoat(rustix::fs::CWD, data.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    symlink(data.join("a.csv"), data.join("b.csv")).unwrap();
    symlink(&data, data.join("circle")).unwrap();
    symlink("nowhere", data.join("dangling")).unwrap();
    let page = storage.list("", None).await.unwrap();
    let keys: Vec<&str> = page.objects.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(keys, ["data/a.csv", "data/b.csv"]);
    assert!(storage.get("data/pipe", 10).await.unwrap().is_none());
    assert_eq!(storage.head("data/pipe").await.unwrap(), None);
}

#[tokio::test]
async fn a_path_says_what_lies_there_and_where_its_links_lead() {
    let (_folder, storage) = storage();
    storage.put("data/a.csv", body("x")).await.unwrap();
    let root = storage.root.path();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    for (to, link) in [("data", "link"), ("data/a.csv", "a"), ("nowhere", "dangling"), ("circle", "circle")] {
        symlink(to, root.join(link)).unwrap();
    }
    symlink("/dev/null", root.join("null")).unwrap();
    for (key, real_key, kind) in [
        ("data/a.csv", "data/a.csv", EntryKind::File),
        ("a", "data/a.csv", EntryKind::File),
        ("link/a.csv", "data/a.csv", EntryKind::File),
        ("link/", "data", EntryKind::Folder),
        ("", "", EntryKind::Folder),
        ("pipe", "pipe", EntryKind::Pipe),
        ("null", "null", EntryKind::Device),
        ("dangling", "dangling", EntryKind::DanglingLink),
        ("circle", "circle", EntryKind::DanglingLink),
    ] {
        let entry = Entry { real_key: real_key.to_owned(), kind };
        assert_eq!(storage.entry(key).await.unwrap(), Some(entry), "{key}");
    }
    assert_eq!(storage.entry("nothing").await.unwrap(), None);
    assert_eq!(storage.entry("data/a.csv/b").await.unwrap(), None);
}

#[test]
fn an_error_says_in_words_what_failed() {
    let error = |operation| StorageError::Failed {
        operation,
        uri: "file:///data/x.json".to_owned(),
        problem: "No space left on device".to_owned(),
    };
    assert_eq!(error("put_if").to_string(), "could not write /data/x.json: No space left on device");
    for (operation, words) in
        [("get_range", "could not read "), ("head", "could not look up "), ("list", "could not list ")]
    {
        assert!(error(operation).to_string().starts_with(words));
    }
}

#[tokio::test]
async fn the_machine_is_a_bucket_whose_keys_are_absolute_paths_without_their_slash() {
    let (_folder, storage) = storage();
    storage.put("trip data/a.csv", body("rows")).await.unwrap();
    let machine = LocalStores::default().open("file://").await.unwrap();
    let uri = storage.uri("trip data/a.csv");
    let key = uri.strip_prefix("file:///").unwrap();
    assert_eq!(machine.uri(key), uri);
    let (mine, there) =
        (storage.head("trip data/a.csv").await.unwrap().unwrap(), machine.head(key).await.unwrap().unwrap());
    assert_eq!(mine.version, there.version);
    assert!(LocalStores::default().open("s3://bucket").await.is_err());
}

#[tokio::test]
async fn looking_into_a_folder_makes_nothing_there() {
    let (folder, storage) = storage();
    storage.head("a/b").await.unwrap();
    storage.list("a/", None).await.unwrap();
    storage.delete("a/b").await.unwrap();
    storage.collect_garbage(Duration::ZERO).await.unwrap();
    storage.abort_upload("a", "01ARZ3NDEKTSV4RRFFQ69G5FAV").await.unwrap();
    assert!(names(folder.path()).is_empty());
}
