//! The progress bar: on a terminal only.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rowmill::pipeline::embedded::Progress;
use rowmill::pipeline::meter::Meter;
use tokio::task::JoinHandle;

use crate::render::{bytes, count, length};

/// How often the bar is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// What a bar expects.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    /// Runs.
    pub runs: usize,
    /// Bytes of their sources.
    pub bytes: u64,
}

/// One bar over the sources of all runs, on standard error. It moves while a slice is cleaned, not only when one ends.
/// Where standard error is no terminal, nothing is drawn.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    /// Takes rows and bytes from the meter; `None` where nothing is drawn.
    following: Option<JoinHandle<()>>,
    expected: Expected,
    ended: usize,
    planned: HashSet<String>,
    slices: usize,
    recorded: usize,
}

impl Bar {
    /// A bar for these runs, whose slices report to `meter`.
    pub fn new(expected: Expected, meter: Arc<Meter>) -> Self {
        let bar = ProgressBar::new(expected.bytes.max(1));
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {msg}, {prefix} [{elapsed}]") {
            bar.set_style(style);
        }
        let (ended, planned, slices, recorded) = (0, HashSet::new(), 0, 0);
        let mut shown = Self { bar, following: None, expected, ended, planned, slices, recorded };
        shown.tell();
        if !shown.bar.is_hidden() {
            shown.bar.enable_steady_tick(TICK);
            shown.following = Some(tokio::spawn(follow(shown.bar.clone(), meter, expected.bytes)));
        }
        shown
    }

    /// Takes note of what happened.
    pub fn watch(&mut self, progress: &Progress) {
        match progress {
            Progress::Planned { run_id, slices } => {
                self.planned.insert(run_id.clone());
                self.slices += slices;
            }
            Progress::Recorded { run_id } => {
                // A source of one slice is cleaned with its plan.
                if self.planned.insert(run_id.clone()) {
                    self.slices += 1;
                }
                self.recorded += 1;
            }
            Progress::Ended(_) | Progress::GaveUp { .. } => self.ended += 1,
        }
        self.tell();
    }

    fn tell(&mut self) {
        let ended = length(self.ended.min(self.expected.runs));
        let runs = format!("{ended}/{} runs", length(self.expected.runs));
        self.bar.set_prefix(match self.slices {
            // Nothing is planned yet, or the sources are a slice each.
            0 => runs,
            slices => format!("{}/{} slices, {runs}", length(self.recorded), length(slices)),
        });
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(following) = &self.following {
            following.abort();
        }
        self.bar.finish_and_clear();
    }
}

async fn follow(bar: ProgressBar, meter: Arc<Meter>, total: u64) {
    loop {
        bar.set_position(meter.bytes().min(total));
        bar.set_message(cleaned(&meter, total));
        tokio::time::sleep(TICK).await;
    }
}

/// `1,234,567 rows, 12.3 MB of 45.6 MB`.
fn cleaned(meter: &Meter, total: u64) -> String {
    format!("{} rows, {} of {}", count(meter.rows()), bytes(meter.bytes().min(total)), bytes(total))
}
