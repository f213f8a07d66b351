//! Parquet sources: footer, pages, rows.
//!
//! Everything a file says of itself is checked before it is believed: lengths against the file's size, counts against
//! each other, page sizes against bounds. What the checks miss and the decoder panics on becomes an
//! [`Error::Source`](crate::Error::Source) as well.

mod blocks;
mod columns;
mod footer;
mod pages;
mod schema;
mod slice;
mod thrift;
mod walk;

pub use footer::{Footer, FooterLimits};
pub use slice::{ReadOptions, SliceReader};
pub use walk::find_pages;
