//! The protocol's promises, over memory storage and hand-made slices: no Parquet is needed to lose or double a row.

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
mod publish;
mod races;
mod retry;
#[cfg(feature = "process")]
mod text;
