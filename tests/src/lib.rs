//! What the end-to-end tests share.

pub mod command;
pub mod conformance;
pub mod embedded;
pub mod faults;
pub mod months;
pub mod stack;
pub mod trips;
