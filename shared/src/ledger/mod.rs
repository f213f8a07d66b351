//! The run's state: JSON objects in the sink under `_rowmill/`.

mod counts;
pub mod identity;
pub mod keys;
mod notices;
mod prefixes;
pub mod records;
mod store;
pub mod transition;

pub use counts::RowCounts;
pub use identity::{Purpose, Run, Source};
pub use records::{Coerced, Failure, Outcome, Plan, Pointer, ReportError, SliceDone, SliceRecord, SliceResult, Status};
pub(crate) use store::parse;
pub use store::{Ledger, Stamped};
