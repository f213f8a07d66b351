//! What the end-to-end tests share.

pub mod archive;
pub mod command;
pub mod conformance;
pub mod embedded;
pub mod events;
pub mod faults;
pub mod fhvhv;
pub mod months;
pub mod random;
pub mod stack;
pub mod trips;
pub mod yellow;
