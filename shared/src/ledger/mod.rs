//! The run's state: JSON objects in the sink under `_rowmill/`.

mod counts;

pub use counts::RowCounts;
