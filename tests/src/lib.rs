//! What the end-to-end tests share.

pub mod conformance;
pub mod embedded;
pub mod fhvhv;
pub mod months;
pub mod random;
pub mod stack;
pub mod trips;
