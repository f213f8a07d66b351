//! Compressing pages, with one context for the pages of all columns that a thread encodes.

use std::io;

use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use zstd::zstd_safe::{CParameter, ParamSwitch};

/// A level that looks for nothing but long repetitions and leaves the rest as it is.
const FAST_LEVEL: i32 = -50;

/// What a column asks of a codec.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wanted {
    pub compression: Compression,
    pub effort: Effort,
}

/// How much zstd does; other codecs know no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// What the level says: repetitions are looked for, and what is left is written in as few bits as it is frequent.
    Level,
    /// The latter alone, in half the time.
    Frequencies,
    /// Neither: pages are framed, and hardly compressed.
    Least,
}

/// Whether flat columns can be written with a codec; others are left to the parquet crate.
pub(super) fn knows(compression: Compression) -> bool {
    matches!(compression, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_))
}

/// A codec's context and the bytes it made last.
#[derive(Default)]
pub(super) struct Press {
    snappy: Option<Box<snap::raw::Encoder>>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    compressed: Vec<u8>,
}

impl Press {
    /// Bytes of the memory kept for what is compressed.
    pub fn bytes(&self) -> usize {
        self.compressed.capacity()
    }

    /// Compresses `bytes`.
    pub fn compress<'a>(&'a mut self, bytes: &'a [u8], wanted: Wanted) -> Result<&'a [u8]> {
        match wanted.compression {
            Compression::UNCOMPRESSED => Ok(bytes),
            Compression::SNAPPY => {
                let encoder = self.snappy.get_or_insert_with(|| Box::new(snap::raw::Encoder::new()));
                // What lies in the buffer is written over: only what is new has to be cleared.
                let bound = snap::raw::max_compress_len(bytes.len());
                if self.compressed.len() < bound {
                    self.compressed.resize(bound, 0);
                }
                let length = encoder.compress(bytes, &mut self.compressed);
                let length = length.map_err(|error| ParquetError::External(error.into()))?;
                Ok(self.compressed.get(..length).unwrap_or_default())
            }
            Compression::ZSTD(level) => {
                let (level, literals) = match wanted.effort {
                    Effort::Level => (level.compression_level(), ParamSwitch::Auto),
                    Effort::Frequencies => (FAST_LEVEL, ParamSwitch::Enable),
                    Effort::Least => (FAST_LEVEL, ParamSwitch::Auto),
                };
                let compressor = match &mut self.zstd {
                    Some(compressor) => compressor,
                    none => none.insert(zstd::bulk::Compressor::new(level).map_err(failed)?),
                };
                compressor.set_compression_level(level).map_err(failed)?;
                compressor.set_parameter(CParameter::LiteralCompressionMode(literals)).map_err(failed)?;
                self.compressed.clear();
                self.compressed.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
                compressor.compress_to_buffer(bytes, &mut self.compressed).map_err(failed)?;
                Ok(&self.compressed)
            }
            other => Err(ParquetError::NYI(format!("flat columns with {other}"))),
        }
    }
}

fn failed(error: io::Error) -> ParquetError {
    ParquetError::General(format!("zstd: {error}"))
}
