//! The progress bar, as a terminal shows it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::process::Command;

use common::{Ran, run, trips};

const RUN: [&str; 6] = ["run", "--dataset", "fhvhv.toml", "--sink", "out", "trips"];

#[test]
fn a_bar_with_rows_and_bytes_moves_on_a_terminal_while_a_slice_is_cleaned() {
    let folder = trips(400_000);
    let dataset = folder.path().join("fhvhv.toml");
    // One slice for each file: nothing is recorded before the end.
    let text = std::fs::read_to_string(&dataset).unwrap();
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("row_group_rows")).collect();
    std::fs::write(&dataset, text.join("\n")).unwrap();
    let command = format!("{} {}", env!("CARGO_BIN_EXE_rowmill"), RUN.join(" "));
    let script = Command::new("script").args(["-qec", &command, "/dev/null"]).current_dir(folder.path()).output();
    let Ok(output) = script else {
        eprintln!("skipped: there is no `script` that makes a terminal");
        return;
    };
    let ran = Ran::of(output);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let drawn: Vec<&str> = ran.stdout.split(['\r', '\n']).filter(|line| line.contains(" rows, ")).collect();
    let midway = |line: &&&str| line.contains(" MB, 0/4 runs") && !line.contains(" 0 rows, ");
    assert!(drawn.iter().find(midway).is_some(), "{drawn:#?}");
}

#[test]
fn nothing_is_drawn_in_a_pipe() {
    let folder = trips(1_000);
    let ran = run(folder.path(), &RUN);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
}
