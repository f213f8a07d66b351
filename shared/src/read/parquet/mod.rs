//! Parquet sources: footer, pages, rows.
//!
//! Everything a file says of itself is checked before it is believed: lengths against the file's size, counts against
//! each other, page sizes against bounds. What the checks miss and the decoder panics on becomes an
//! [`Error::Source`](crate::Error::Source) as well.

mod batches;
mod blocks;
mod coded;
mod codes;
mod columns;
mod delta;
mod distinct;
mod footer;
mod held;
mod nulls;
mod packed;
mod pages;
mod runs;
mod schema;
mod shared_pages;
mod slice;
mod snappy;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
mod tests;
mod thrift;
mod walk;

pub use footer::{Footer, FooterLimits};
pub use held::HeldRowGroup;
pub use shared_pages::read_again;
pub use slice::{ReadOptions, SliceReader};
pub use walk::{find_pages, read_from_start};
