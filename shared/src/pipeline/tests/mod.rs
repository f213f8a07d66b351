//! The protocol's promises, over memory storage and hand-made slices: no Parquet is needed to lose or double a row.

mod deadline;
mod fixture;
mod heal;
mod model;
mod open;
#[cfg(feature = "process")]
#[allow(clippy::cast_possible_wrap, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
mod partitions;
mod publish;
mod races;
#[cfg(feature = "process")]
#[allow(clippy::cast_precision_loss)]
mod reports;
#[cfg(feature = "process")]
mod text;
