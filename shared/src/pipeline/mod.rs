//! The three use cases: [`check`], [`process`](mod@process), [`finalize`](mod@finalize); and the sweep that keeps them going.

pub mod archive;
pub mod check;
pub mod close;
mod context;
pub mod convert;
pub mod deadline;
pub mod finalize;
pub mod heal;
pub mod listing;
pub mod message;
pub mod meter;
pub mod names;
pub mod notices;
mod occupied;
pub mod open;
pub mod process;
mod prune;
pub(crate) mod publish;
pub mod refresh;
pub mod request;
pub mod retry;
pub mod verify;

#[cfg(feature = "process")]
mod begun;
#[cfg(feature = "process")]
mod csv_faults;
#[cfg(feature = "process")]
pub mod embedded;
#[cfg(feature = "process")]
pub mod formats;
#[cfg(feature = "process")]
mod partitions;
#[cfg(feature = "process")]
mod prepared;
#[cfg(feature = "process")]
mod slice;
#[cfg(feature = "process")]
pub mod text;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

pub use context::{Context, Limits};
