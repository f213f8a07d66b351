//! Reports: figures over the rows that a dataset keeps, by group, over all that is published.
//!
//! The rows are never read for it. While a processor cleans a slice, its kept rows go through the accumulators of
//! DataFusion's aggregates (`Collector`); their partial states, the slice's *figures* ([`figures::Figures`]), lie in the
//! ledger beside its record. Figures of slices are merged in the slices' order into those of the run, and those of the
//! published runs, in the order of their sources' keys, into the dataset's reports ([`merge`]). So a report does not
//! depend on who finished first. Counts, extremes and whole sums are exact; sums of floats depend on the split into
//! slices in their last digits, approximate percentiles a little more.
//!
//! | report | is |
//! |---|---|
//! | `group_by` | columns, or SQL over a row such as `date_trunc('hour', pickup)` |
//! | `measures` | SQL over aggregates: `round(avg(tip), 2)`; outside of aggregates, groups may be named |
//! | `where` | SQL over a row: others are not counted |
//! | `having` | SQL over groups, measures and aggregates: other groups are not told |
//!
//! `arg_max(x, y)` is `x` of the row with the largest `y` that is not null, `arg_min` of that with the smallest; of
//! several such rows the first, by source and place in it. A sum of whole numbers that does not fit 64 bits is an error,
//! and no other number. Rows for which a report's SQL fails (a division by zero) are left out of this report, counted, and
//! told. Rows of the result are sorted by their groups.

mod collect;
mod compile;
mod extract;
pub mod figures;
mod keys;
pub mod merge;
mod output;
mod refresh;
mod tally;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::cast_precision_loss)]
mod tests;

pub(crate) use collect::Collector;
pub use compile::{Report, validate, validate_for};
pub(crate) use extract::is_aggregate;
pub use output::{Column, Shown};
pub use refresh::Reports;

/// Groups of one report, in a slice, a run or a dataset.
pub const MAX_GROUPS: usize = 100_000;

/// The error of a report with too many groups.
fn too_many_groups() -> String {
    format!("more than {MAX_GROUPS} groups: group by something coarser, or leave rows out with `where`")
}
