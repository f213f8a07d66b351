//! Compressing pages, with one context for all pages of a column.

use std::io;

use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};

/// A level that looks for nothing but long repetitions and leaves the rest as it is.
const FAST_LEVEL: i32 = -50;

/// A codec that pages of flat columns are written with.
pub(super) enum Codec {
    None,
    Snappy(Box<snap::raw::Encoder>),
    /// With the level asked for.
    Zstd(zstd::bulk::Compressor<'static>, i32),
}

impl Codec {
    /// Whether flat columns can be written with it; others are left to the parquet crate.
    pub fn knows(compression: Compression) -> bool {
        matches!(compression, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_))
    }

    /// The codec, ready to compress.
    pub fn new(compression: Compression) -> Result<Self> {
        match compression {
            Compression::UNCOMPRESSED => Ok(Self::None),
            Compression::SNAPPY => Ok(Self::Snappy(Box::new(snap::raw::Encoder::new()))),
            Compression::ZSTD(level) => {
                let level = level.compression_level();
                zstd::bulk::Compressor::new(level).map(|compressor| Self::Zstd(compressor, level)).map_err(failed)
            }
            other => Err(ParquetError::NYI(format!("flat columns with {other}"))),
        }
    }

    /// Gives up looking for what is not there: from here on the pages are framed, and hardly compressed.
    pub fn hurry(&mut self) -> Result<()> {
        match self {
            Self::Zstd(compressor, _) => compressor.set_compression_level(FAST_LEVEL).map_err(failed),
            Self::None | Self::Snappy(_) => Ok(()),
        }
    }

    /// Compresses at the level asked for again.
    pub fn take_time(&mut self) -> Result<()> {
        match self {
            Self::Zstd(compressor, level) => compressor.set_compression_level(*level).map_err(failed),
            Self::None | Self::Snappy(_) => Ok(()),
        }
    }

    /// Compresses `bytes`; the answer lies in `scratch` or is `bytes` itself.
    pub fn compress<'a>(&mut self, bytes: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        match self {
            Self::None => Ok(bytes),
            Self::Snappy(encoder) => {
                scratch.resize(snap::raw::max_compress_len(bytes.len()), 0);
                let length = encoder.compress(bytes, scratch).map_err(|error| ParquetError::External(error.into()))?;
                scratch.truncate(length);
                Ok(scratch)
            }
            Self::Zstd(compressor, _) => {
                scratch.clear();
                scratch.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
                compressor.compress_to_buffer(bytes, scratch).map_err(failed)?;
                Ok(scratch)
            }
        }
    }
}

fn failed(error: io::Error) -> ParquetError {
    ParquetError::General(format!("zstd: {error}"))
}
