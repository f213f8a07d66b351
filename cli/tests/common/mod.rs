//! Helpers: the built command, sample trips, the bytes that readers see.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The command, in a folder, without the machine's AWS settings.
pub fn rowmill(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rowmill"));
    command.current_dir(folder).env_remove("ROWMILL_LOG");
    command
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output as exactly one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

pub fn run(folder: &Path, arguments: &[&str]) -> Ran {
    Ran::of(rowmill(folder).args(arguments).output().unwrap())
}

/// A folder with `fhvhv.toml` and `trips/`, as the demo makes them; its output is removed.
pub fn trips(rows: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["demo", "--rows", &rows.to_string(), "--keep", "."]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    std::fs::remove_dir_all(folder.path().join("out")).unwrap();
    folder
}

/// A dataset that changes nothing but row groups.
pub fn plain_dataset(folder: &Path) -> PathBuf {
    let path = folder.join("plain.toml");
    std::fs::write(
        &path,
        "name = \"plain\"\n[source]\nformat = \"parquet\"\n[output]\nprefix = \"plain/\"\nrow_group_rows = 1000\n",
    )
    .unwrap();
    path
}

/// What readers see below a sink: every file outside `_rowmill`, with its bytes.
pub fn visible(sink: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![sink.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name == "_rowmill") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(sink).unwrap().to_path_buf();
                files.insert(below, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

pub fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} in {value}"))
}
