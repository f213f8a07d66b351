//! The dataset file: where sources come from, the contract, the expectations, the output.

mod spec;

pub use spec::*;
