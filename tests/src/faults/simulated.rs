//! The protocol simulated: the real use cases over a sink and queues in memory, one line for each fault and race that came up.

use std::ops::Range;

use rowmill::simulation;

use super::report::{Line, Report};

/// What a simulation counts that is no fault: how runs ended, and what is asked for anyway.
const NO_FAULTS: [&str; 7] =
    ["prune asked", "relist", "run complete", "run failed", "run superseded", "sweep", "test subset asked"];

/// Simulates these seeds. A line's runs and rows are those of the seeds in which its fault came up, and a seed that breaks a
/// promise counts in the column of the promise.
pub fn simulated(seeds: Range<u64>) -> Report {
    report(&simulation::run(seeds))
}

fn report(found: &simulation::Report) -> Report {
    let line = |name: &str, tally: &simulation::Tally| Line {
        injected: tally.injected,
        runs: tally.runs,
        rows: tally.rows,
        lost: tally.lost,
        duplicated: tally.duplicated,
        early: tally.early,
        ..Line::new(format!("simulated: {name}"))
    };
    let faults = found.faults.iter().filter(|(name, _)| !NO_FAULTS.contains(&name.as_str()));
    let mut report = Report { lines: faults.map(|(name, tally)| line(name, tally)).collect(), ..Report::default() };
    let note = format!("{} seeds", found.seeds);
    report.lines.push(Line { note: Some(note), ..line("all of them", &found.all) });
    let broken = |failed: &simulation::Failed| {
        format!("ROWMILL_SEED={}: {:?}: {}", failed.seed, failed.broken.promise, failed.broken.problem)
    };
    report.problems = found.failures.iter().map(broken).collect();
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_that_came_up_has_a_line_and_a_broken_promise_is_told() {
        let mut found = simulation::run(0..20);
        let told = report(&found);
        assert!(told.lines.iter().any(|line| line.fault == "simulated: crash"), "{}", told.table());
        assert!(told.lines.iter().any(|line| line.fault == "simulated: crash before process: put slice record"));
        assert!(!told.lines.iter().any(|line| line.fault.ends_with("relist")));
        assert_eq!(told.broken(), [""; 0]);

        let broken = simulation::Broken { promise: simulation::Promise::Early, problem: "a part".into() };
        found.failures.push(simulation::Failed { seed: 7, broken });
        assert_eq!(report(&found).broken(), ["ROWMILL_SEED=7: Early: a part"]);
    }
}
