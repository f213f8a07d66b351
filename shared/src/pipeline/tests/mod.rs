//! The protocol's promises, over memory storage and hand-made slices: no Parquet is needed to lose or double a row.

mod archives;
mod copied;
mod deadline;
#[cfg(feature = "process")]
mod embedded_retry;
mod fixture;
mod heal;
mod model;
mod notices;
mod open;
#[cfg(feature = "process")]
#[allow(clippy::cast_possible_wrap, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
mod partitions;
mod prune;
mod publish;
mod races;
#[cfg(feature = "process")]
#[allow(clippy::cast_precision_loss)]
mod reports;
mod retry;
mod small;
#[cfg(feature = "process")]
mod text;
mod turns;
