//! What must hold of dataset files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

mod folders;
mod layout;
mod overlaps;
mod parsing;
mod places;
mod refusals;
mod shipped;
mod sources;
mod value_refusals;

use super::Dataset;

/// The least that a file says.
const MINIMAL: &str = r#"name = "trips"

[source]
format = "parquet"

[output]
prefix = "trips/"
"#;

/// The least file with more lines at the end of `[source]`: they begin at line 5.
fn in_source(lines: &str) -> String {
    MINIMAL.replace("format = \"parquet\"", &format!("format = \"parquet\"\n{lines}"))
}

/// The least file with more lines at the end of `[output]`, or behind it: they begin at line 8.
fn in_output(lines: &str) -> String {
    format!("{MINIMAL}{lines}\n")
}

fn parse(text: &str) -> Dataset {
    Dataset::parse(text, "trips.toml").unwrap()
}

/// What a wrong file is told, without the name of the kind of error.
fn refusal(text: &str) -> String {
    let error = Dataset::parse(text, "trips.toml").expect_err("the file is wrong");
    assert!(error.is_permanent());
    error.to_string().strip_prefix("dataset: trips.toml:").expect("a dataset error with its origin").to_owned()
}
