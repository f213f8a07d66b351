//! The figures, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::digest::Content;
use crate::measure::Cost;

/// One program on one case.
#[derive(Debug)]
pub struct Entry {
    /// The program.
    pub name: &'static str,
    /// Its costs, one a round.
    pub costs: Vec<Cost>,
    /// What it wrote.
    pub content: Content,
}

/// One case.
#[derive(Debug)]
pub struct CaseReport {
    /// The case.
    pub case: String,
    /// Trips in its file.
    pub source_rows: u64,
    /// Bytes of its file.
    pub source_bytes: u64,
    /// Rowmill first.
    pub entries: Vec<Entry>,
    /// The programs that failed, and how.
    pub failed: BTreeMap<&'static str, String>,
}

/// A figure's name, with its unit, and how to take it.
type Figure = (&'static str, fn(&Cost) -> f64);

/// The figures that are compared.
const FIGURES: [Figure; 3] =
    [("wall_s", |cost| cost.wall_s), ("cpu_s", |cost| cost.cpu_s), ("peak_mib", |cost| cost.peak_mib)];

/// The middle one; of an even number, the mean of the two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.len() % 2, middle) {
        (1, _) => values[middle],
        (_, 0) => f64::NAN,
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

impl Entry {
    fn median(&self, of: fn(&Cost) -> f64) -> f64 {
        median(self.costs.iter().map(of).collect())
    }

    #[expect(clippy::cast_precision_loss, reason = "bytes of a file")]
    fn bytes(&self) -> f64 {
        self.content.bytes as f64
    }

    fn json(&self) -> Value {
        let rounds = |of: fn(&Cost) -> f64| self.costs.iter().map(of).map(rounded).collect::<Vec<_>>();
        json!({
            "name": self.name,
            "wall_s": rounded(self.median(|cost| cost.wall_s)),
            "cpu_s": rounded(self.median(|cost| cost.cpu_s)),
            "peak_mib": rounded(self.median(|cost| cost.peak_mib)),
            "output_bytes": self.content.bytes,
            "rows": self.content.rows,
            "digest": self.content.digest(),
            "rounds": {"wall_s": rounds(|cost| cost.wall_s), "cpu_s": rounds(|cost| cost.cpu_s),
                       "peak_mib": rounds(|cost| cost.peak_mib)},
        })
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

impl CaseReport {
    /// Rowmill's figure over the best peer's, by figure; the output's bytes over the peers' median. Empty without peers.
    pub fn ratios(&self) -> BTreeMap<&'static str, f64> {
        let Some((rowmill, peers)) = self.entries.split_first() else { return BTreeMap::new() };
        if peers.is_empty() {
            return BTreeMap::new();
        }
        let best = |of| peers.iter().map(|peer| peer.median(of)).fold(f64::INFINITY, f64::min);
        let mut ratios: BTreeMap<_, _> =
            FIGURES.into_iter().map(|(name, of)| (name, rounded(rowmill.median(of) / best(of)))).collect();
        let bytes = median(peers.iter().map(Entry::bytes).collect());
        ratios.insert("output_bytes", rounded(rowmill.bytes() / bytes));
        ratios
    }

    /// Those whose rows or sums are not Rowmill's, with the columns that differ.
    pub fn disagreements(&self) -> Vec<String> {
        let Some((rowmill, peers)) = self.entries.split_first() else { return Vec::new() };
        let differing = peers.iter().filter(|peer| peer.content.digest() != rowmill.content.digest());
        let told = differing.map(|peer| {
            format!(
                "{}: {} wrote {} rows where {} wrote {}; columns that differ: {}",
                self.case,
                peer.name,
                peer.content.rows,
                rowmill.name,
                rowmill.content.rows,
                peer.content.differences(&rowmill.content).join(", ")
            )
        });
        told.collect()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "case": self.case,
            "source_rows": self.source_rows,
            "source_bytes": self.source_bytes,
            "results": self.entries.iter().map(Entry::json).collect::<Vec<_>>(),
            "ratios": self.ratios(),
            "failed": self.failed,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("\n{}: {} rows, {} bytes\n", self.case, self.source_rows, self.source_bytes);
        let columns = ("", "wall s", "least to most", "CPU s", "peak MiB", "output bytes", "rows", "digest");
        let (a, b, c, d, e, f, g, h) = columns;
        let _ = writeln!(text, "{a:10} {b:>8} {c:>17} {d:>8} {e:>9} {f:>14} {g:>12} {h:>16}");
        for entry in &self.entries {
            let walls: Vec<f64> = entry.costs.iter().map(|cost| cost.wall_s).collect();
            let least = walls.iter().copied().fold(f64::INFINITY, f64::min);
            let most = walls.iter().copied().fold(0.0, f64::max);
            let _ = writeln!(
                text,
                "{:10} {:8.2} {:>17} {:8.2} {:9.0} {:14} {:12} {:>16}",
                entry.name,
                median(walls),
                format!("{least:.2} to {most:.2}"),
                entry.median(|cost| cost.cpu_s),
                entry.median(|cost| cost.peak_mib),
                entry.content.bytes,
                entry.content.rows,
                entry.content.digest(),
            );
        }
        for (name, why) in &self.failed {
            let _ = writeln!(text, "{name:10} failed: {why}");
        }
        let ratios = self.ratios();
        if !ratios.is_empty() {
            let shown = |name: &str| ratios.get(name).copied().unwrap_or(f64::NAN);
            let _ = writeln!(
                text,
                "Rowmill / best peer: wall {:.3}, CPU {:.3}, peak memory {:.3}; output / peers' median {:.3}",
                shown("wall_s"),
                shown("cpu_s"),
                shown("peak_mib"),
                shown("output_bytes")
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &'static str, walls: &[f64], bytes: u64, rows: u64) -> Entry {
        let costs = walls.iter().map(|&wall_s| Cost { wall_s, cpu_s: 2.0 * wall_s, peak_mib: 100.0 }).collect();
        Entry { name, costs, content: Content { rows, bytes, columns: BTreeMap::new() } }
    }

    fn report(entries: Vec<Entry>) -> CaseReport {
        CaseReport { case: "clean".into(), source_rows: 10, source_bytes: 100, entries, failed: BTreeMap::new() }
    }

    #[test]
    fn the_median_is_the_middle_one_or_the_mean_of_the_two() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn ratios_are_to_the_best_peer_and_bytes_to_the_peers_median() {
        let report = report(vec![
            entry("rowmill", &[1.0, 9.0, 1.0], 90, 10),
            entry("a", &[4.0], 100, 10),
            entry("b", &[2.0], 200, 10),
            entry("c", &[8.0], 80, 10),
        ]);
        let ratios = report.ratios();
        assert_eq!((ratios["wall_s"], ratios["peak_mib"], ratios["output_bytes"]), (0.5, 1.0, 0.9));
        assert!(report.text().contains("wall 0.500"), "{}", report.text());
    }

    #[test]
    fn a_peer_that_wrote_other_rows_is_named() {
        let report = report(vec![entry("rowmill", &[1.0], 90, 10), entry("a", &[4.0], 100, 11)]);
        assert_eq!(report.disagreements(), ["clean: a wrote 11 rows where rowmill wrote 10; columns that differ: "]);
    }

    #[test]
    fn the_json_has_the_figures_that_were_promised() {
        let json = report(vec![entry("rowmill", &[1.0], 90, 10)]).json();
        let result = json["results"][0].as_object().unwrap();
        for name in ["name", "wall_s", "cpu_s", "peak_mib", "output_bytes", "rows", "digest"] {
            assert!(result.contains_key(name), "{name}");
        }
        assert_eq!(json["case"], "clean");
    }
}
