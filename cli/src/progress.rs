//! The progress bar: on a terminal only.

use std::collections::HashSet;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rowmill::pipeline::embedded::Progress;

/// One bar over the slices of all runs, on standard error. Where that is no terminal, nothing is drawn.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    runs: usize,
    ended: usize,
    planned: HashSet<String>,
}

impl Bar {
    /// A bar for so many runs.
    pub fn new(runs: usize) -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} slices, {msg} [{elapsed}]") {
            bar.set_style(style);
        }
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        let mut bar = Self { bar, runs, ended: 0, planned: HashSet::new() };
        bar.tell();
        bar
    }

    /// Takes note of what happened.
    pub fn watch(&mut self, progress: &Progress) {
        match progress {
            Progress::Planned { run_id, slices } => {
                self.planned.insert(run_id.clone());
                self.bar.inc_length(u64::try_from(*slices).unwrap_or(u64::MAX));
            }
            Progress::Recorded { run_id } => {
                // A source of one slice is cleaned with its plan.
                if self.planned.insert(run_id.clone()) {
                    self.bar.inc_length(1);
                }
                self.bar.inc(1);
            }
            Progress::Ended(_) | Progress::GaveUp { .. } => self.ended += 1,
        }
        self.tell();
    }

    fn tell(&mut self) {
        self.bar.set_message(format!("{} of {} runs ended", self.ended.min(self.runs), self.runs));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
