//! What the tests of faults show: one line for each fault.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::audit::Audited;

/// One fault, and what became of the runs that met it.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// What was done to them.
    pub fault: String,
    /// How often that happened, as what injects it has counted.
    pub injected: u64,
    /// Runs that met it.
    pub runs: u64,
    /// Source rows looked for in what those runs published.
    pub rows: u64,
    /// Source rows found nowhere.
    pub lost: u64,
    /// Rows found more often than the source has them.
    pub duplicated: u64,
    /// Objects seen before every slice of their run was recorded, or that no outcome names.
    pub early: u64,
    /// The digest of each run's rows, by source.
    pub digests: BTreeMap<String, String>,
    /// What else was measured.
    pub note: Option<String>,
}

impl Line {
    /// A line with nothing in it.
    pub fn new(fault: impl Into<String>) -> Self {
        Self { fault: fault.into(), ..Self::default() }
    }

    /// Adds one run.
    pub fn add(&mut self, source: &str, audited: &Audited) {
        self.runs += 1;
        self.rows += audited.rows;
        self.lost += audited.lost;
        self.duplicated += audited.duplicated;
        self.digests.insert(source.to_owned(), audited.digest.clone());
    }

    fn holds(&self) -> bool {
        self.injected > 0 && self.runs > 0 && (self.lost, self.duplicated, self.early) == (0, 0, 0)
    }
}

/// All lines, and what else went wrong.
#[derive(Debug, Default)]
pub struct Report {
    /// One for each fault.
    pub lines: Vec<Line>,
    /// Broken promises that no column tells.
    pub problems: Vec<String>,
    /// What the proxy that injects faults has logged.
    pub fired: Vec<Value>,
}

impl Report {
    /// Takes over another one.
    pub fn extend(&mut self, other: Self) {
        self.lines.extend(other.lines);
        self.problems.extend(other.problems);
        self.fired.extend(other.fired);
    }

    /// What breaks a promise: empty where all is well. A fault that was never injected shows nothing, and counts.
    pub fn broken(&self) -> Vec<String> {
        let lines = self.lines.iter().filter(|line| !line.holds());
        let mut broken: Vec<String> = lines.map(|line| format!("{}: {}", line.fault, counts(line))).collect();
        broken.extend(self.problems.iter().cloned());
        if self.lines.is_empty() {
            broken.push("no fault was injected".to_owned());
        }
        broken
    }

    /// For people.
    pub fn table(&self) -> String {
        let width = self.lines.iter().map(|line| line.fault.chars().count()).max().unwrap_or(0).max(5);
        let mut table = format!(
            "{:width$}  {:>8}  {:>5}  {:>8}  {:>5}  {:>10}  {:>5}\n",
            "fault", "injected", "runs", "rows", "lost", "duplicated", "early"
        );
        for Line { fault, injected, runs, rows, lost, duplicated, early, note, .. } in &self.lines {
            let note = note.as_ref().map(|note| format!("  {note}")).unwrap_or_default();
            let _ = writeln!(
                table,
                "{fault:width$}  {injected:>8}  {runs:>5}  {rows:>8}  {lost:>5}  {duplicated:>10}  {early:>5}{note}"
            );
        }
        for problem in &self.problems {
            let _ = writeln!(table, "problem: {problem}");
        }
        table
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let line = |line: &Line| {
            json!({
                "fault": line.fault, "injected": line.injected, "runs": line.runs, "rows": line.rows,
                "lost": line.lost, "duplicated": line.duplicated, "early": line.early,
                "digests": line.digests, "note": line.note,
            })
        };
        json!({
            "faults": self.lines.iter().map(line).collect::<Vec<_>>(),
            "problems": self.problems,
            "fired": self.fired,
        })
    }
}

fn counts(line: &Line) -> String {
    let Line { injected, runs, lost, duplicated, early, .. } = line;
    format!("injected {injected} times, {runs} runs, {lost} rows lost, {duplicated} duplicated, {early} objects early")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Line {
        Line { injected: 1, runs: 1, rows: 10, ..Line::new("a fault") }
    }

    #[test]
    fn each_broken_promise_is_told_and_so_is_a_fault_that_never_happened() {
        let broken = |line| Report { lines: vec![line], ..Report::default() }.broken().len();
        assert_eq!(broken(good()), 0);
        assert_eq!(broken(Line { lost: 1, ..good() }), 1);
        assert_eq!(broken(Line { duplicated: 1, ..good() }), 1);
        assert_eq!(broken(Line { early: 1, ..good() }), 1);
        assert_eq!(broken(Line { injected: 0, ..good() }), 1);
        assert_eq!(broken(Line { runs: 0, ..good() }), 1);
        assert_eq!(Report::default().broken().len(), 1);
    }
}
