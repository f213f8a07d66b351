//! Zstandard frames, one after the other (RFC 8878).

use std::fmt;

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::inflate::Input;
use crate::{Error, Result};

/// Bytes that one step may give.
const BLOCK_BYTES: usize = 256 << 10;
/// The largest window that a frame may ask for: 2^27 bytes, what `zstd` itself allows unless told otherwise.
const MAX_WINDOW_LOG: u32 = 27;

/// A decoder of frames.
pub(super) struct Unzstd {
    decoder: Decoder<'static>,
    output: Vec<u8>,
    /// Whether a frame has begun and not ended.
    open: bool,
}

impl fmt::Debug for Unzstd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Unzstd")
    }
}

impl Unzstd {
    pub fn new(uri: &str) -> Result<Self> {
        let wrong = |error: std::io::Error| Error::Internal(format!("{uri}: zstd: {error}"));
        let mut decoder = Decoder::new().map_err(wrong)?;
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).map_err(wrong)?;
        Ok(Self { decoder, output: vec![0; BLOCK_BYTES], open: false })
    }

    /// Appends some bytes; false at the end.
    pub fn fill(&mut self, input: &mut Input, into: &mut Vec<u8>, uri: &str) -> Result<bool> {
        let damaged = |what: &str| Error::source(uri, format!("{what}: the file is damaged, deliver it again"));
        loop {
            if input.rest().is_empty() && !input.more()? && !self.open {
                return Ok(false);
            }
            let (taken, given, hint) = {
                let mut from = InBuffer::around(input.rest());
                let mut to = OutBuffer::around(self.output.as_mut_slice());
                let hint = self.decoder.run(&mut from, &mut to);
                (from.pos(), to.pos(), hint)
            };
            let hint = hint.map_err(|error| damaged(&format!("bad zstd data ({error})")))?;
            input.advance(taken);
            into.extend_from_slice(self.output.get(..given).unwrap_or_default());
            self.open = hint != 0;
            if !self.open {
                self.decoder.reinit().map_err(|error| Error::Internal(format!("{uri}: zstd: {error}")))?;
            }
            if given > 0 {
                return Ok(true);
            }
            if taken == 0 && input.ended() {
                return Err(damaged("the zstd data is cut off"));
            }
        }
    }
}
