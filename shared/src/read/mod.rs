//! Reading rows out of sources, pinned to one object version.

pub mod parquet;
mod source;
#[cfg(test)]
pub(crate) mod testing;

pub use source::SourceFile;
