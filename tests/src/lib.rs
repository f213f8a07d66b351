//! What the end-to-end tests share.

pub mod conformance;
pub mod embedded;
pub mod months;
pub mod stack;
pub mod trips;
