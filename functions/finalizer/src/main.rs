//! Placeholder until the use case is wired.
fn main() {}
