//! The report for people.

use std::collections::BTreeMap;

use super::{Report, RunReport, Status};
use crate::drift::uncounted;
use crate::location::shown;
use crate::render::{Align, Table, bytes, count, length, plural, seconds};

impl Report {
    /// The report for people.
    pub fn text(&self) -> String {
        if self.runs.is_empty() {
            return String::new();
        }
        if self.dry_run {
            return self.intentions();
        }
        let mut text = self.runs_table();
        let sum = |of: fn(&RunReport) -> &BTreeMap<String, u64>| {
            let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
            for run in self.runs.iter().filter(|run| run.done_now()) {
                for (reason, rows) in of(run) {
                    *sums.entry(reason).or_default() += rows;
                }
            }
            sums
        };
        text.push_str(&reasons_table("quarantined, by reason", &sum(|run| &run.reasons)));
        text.push_str(&reasons_table("dropped, by expectation", &sum(|run| &run.dropped)));
        text.push_str(&reasons_table("kept with a warning", &sum(|run| &run.warnings)));
        text.push_str(&self.drift());
        text.push_str(&self.places());
        for run in self.runs.iter().filter(|run| run.done_now()) {
            for note in &run.notes {
                text.push_str(&format!("note: {}: {note}\n", shown(&run.source.uri)));
            }
        }
        text
    }

    /// What went wrong, for standard error: one line each.
    pub fn problems(&self) -> String {
        let mut text = String::new();
        for run in &self.runs {
            let Some(error) = &run.error else { continue };
            match run.status {
                Status::Failed | Status::Open | Status::Complete | Status::Skipped => {
                    text.push_str(&format!("error: {}\n", error_of(run, error)));
                }
                Status::Superseded | Status::Missing => text.push_str(&format!("note: {}\n", error_of(run, error))),
                // One line tells of all that Ctrl-C stopped.
                Status::Interrupted | Status::Planned => {}
            }
        }
        text
    }

    /// What a dry run would do.
    fn intentions(&self) -> String {
        let mut table = Table::new(&[("would", Align::Left), ("source", Align::Left), ("size", Align::Right)]);
        for run in &self.runs {
            let word = match run.status {
                Status::Planned => "ingest",
                Status::Skipped => "skip",
                other => other.word(),
            };
            table.row([word.to_owned(), shown(&run.source.uri).to_owned(), bytes(run.source.size)]);
        }
        table.text("")
    }

    fn runs_table(&self) -> String {
        let columns = ["read", "kept", "quarantined", "filtered", "parts", "size", "seconds"];
        let mut headings = vec![("status", Align::Left), ("source", Align::Left)];
        headings.extend(columns.map(|column| (column, Align::Right)));
        let mut table = Table::new(&headings);
        for run in &self.runs {
            let rows = &run.rows;
            table.row([
                run.status.word().to_owned(),
                shown(&run.source.uri).to_owned(),
                count(rows.read),
                count(rows.kept),
                count(rows.quarantined),
                count(rows.filtered),
                length(run.parts.len()),
                bytes(run.parts.iter().map(|part| part.bytes).sum()),
                seconds(run.duration_ms),
            ]);
        }
        if self.runs.len() > 1 {
            let (rows, done) = (&self.totals.rows, || self.runs.iter().filter(|run| run.done_now()));
            table.row([
                "total".to_owned(),
                plural(done().count(), "run") + " now",
                count(rows.read),
                count(rows.kept),
                count(rows.quarantined),
                count(rows.filtered),
                length(done().map(|run| run.parts.len()).sum()),
                bytes(done().flat_map(|run| &run.parts).map(|part| part.bytes).sum()),
            ]);
        }
        table.text("")
    }

    /// How sources differ from the dataset's file. What was cast without a loss is for `show`.
    fn drift(&self) -> String {
        let mut sources: BTreeMap<&str, usize> = BTreeMap::new();
        let mut unfit: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for run in self.runs.iter().filter(|run| run.done_now()) {
            for line in uncounted(&run.drift, &run.coerced) {
                *sources.entry(line).or_default() += 1;
            }
            for cast in run.coerced.iter().filter(|cast| cast.unfit > 0) {
                let sums = unfit.entry(cast.words()).or_default();
                *sums = (sums.0 + cast.unfit, sums.1 + cast.rows);
            }
        }
        let mut text = String::new();
        if !sources.is_empty() {
            let mut table =
                Table::new(&[("sources", Align::Right), ("how they differ from the contract", Align::Left)]);
            for (line, sources) in &sources {
                table.row([length(*sources), (*line).to_owned()]);
            }
            text.push_str(&format!("\n{}", table.text("")));
        }
        if !unfit.is_empty() {
            let mut table = Table::new(&[("rows", Align::Right), ("of", Align::Right), ("did not fit", Align::Left)]);
            for (words, (rows, of)) in unfit {
                table.row([count(rows), count(of), words]);
            }
            text.push_str(&format!("\n{}", table.text("")));
        }
        text
    }

    /// The folders of what readers see.
    fn places(&self) -> String {
        let mut text = String::new();
        let parts = self.runs.iter().flat_map(|run| run.parts.iter().map(|part| part.uri.as_str()));
        let quarantine = self.runs.iter().flat_map(|run| run.quarantine.iter().map(|part| part.uri.as_str()));
        for (what, uris) in [("parts", parts.collect::<Vec<_>>()), ("quarantine", quarantine.collect())] {
            if let Some(folder) = common_folder(&uris) {
                text.push_str(&format!("{what} in {}\n", shown(folder)));
            }
        }
        if text.is_empty() { text } else { format!("\n{text}") }
    }
}

/// The error, behind its source where it does not name it.
fn error_of(run: &RunReport, error: &str) -> String {
    if error.contains(&run.source.uri) { error.to_owned() } else { format!("{}: {error}", run.source.uri) }
}

fn reasons_table(title: &str, reasons: &BTreeMap<&str, u64>) -> String {
    if reasons.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[("rows", Align::Right), (title, Align::Left)]);
    for (reason, rows) in reasons {
        table.row([count(*rows), (*reason).to_owned()]);
    }
    format!("\n{}", table.text(""))
}

/// The longest folder that holds all of them.
fn common_folder<'a>(uris: &[&'a str]) -> Option<&'a str> {
    let (first, rest) = uris.split_first()?;
    let mut folder = parent(first);
    while !rest.iter().all(|uri| uri.starts_with(folder)) {
        folder = parent(folder.trim_end_matches('/'));
        if folder.is_empty() {
            return None;
        }
    }
    Some(folder)
}

fn parent(uri: &str) -> &str {
    uri.rfind('/').and_then(|slash| uri.get(..=slash)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_folder_holds_every_file() {
        assert_eq!(common_folder(&[]), None);
        assert_eq!(common_folder(&["file:///a/b/c"]), Some("file:///a/b/"));
        assert_eq!(common_folder(&["file:///a/b/c/1", "file:///a/b/d/1"]), Some("file:///a/b/"));
        assert_eq!(common_folder(&["file:///a/bb/1", "file:///a/b/1"]), Some("file:///a/"));
    }
}
