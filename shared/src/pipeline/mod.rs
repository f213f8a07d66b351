//! The three use cases: check, process, finalize.
