//! The protocol's promises, over memory storage and hand-made slices: no Parquet is needed to lose or double a row.

mod fixture;
mod heal;
mod model;
mod open;
mod publish;
mod races;
