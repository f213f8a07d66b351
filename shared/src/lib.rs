//! Rowmill: files that land in S3 become clean, uniform Parquet, published exactly once.
//!
//! The crate holds the three use cases ([`pipeline`]) and what they stand on. Pure decisions (decoding events,
//! planning slices, conforming rows, ledger transitions) take values and return values; reads and writes go through
//! the traits of [`storage`] and [`queue`], so that the same code runs on Lambda over S3 and SQS and on one machine
//! over a folder and an in-process queue.
//!
//! Features keep functions small: `aws` links S3 and SQS, `process` links Arrow, Parquet and SQL.

pub mod clock;
pub mod cost;
pub mod dataset;
pub mod error;
pub mod event;
#[cfg(any(feature = "failpoints", test))]
pub mod failing;
pub mod ledger;
pub mod notify;
pub mod pipeline;
pub mod plan;
pub mod queue;
pub mod storage;
pub mod telemetry;
pub mod write;

#[cfg(feature = "process")]
pub mod clean;
#[cfg(feature = "process")]
pub mod coded;
#[cfg(feature = "aws")]
pub mod deployed;
#[cfg(feature = "process")]
mod lanes;
#[cfg(feature = "process")]
pub mod read;
#[cfg(feature = "process")]
pub mod reports;
#[cfg(feature = "process")]
pub mod selected;

#[cfg(any(test, feature = "simulation"))]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)]
pub mod simulation;

pub use error::{Error, Result};
