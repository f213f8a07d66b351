//! Reading rows out of sources, pinned to one object version.

pub mod parquet;
mod source;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::indexing_slicing)]
pub(crate) mod testing;
pub mod text;

pub use source::SourceFile;
