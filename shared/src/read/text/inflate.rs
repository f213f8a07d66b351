//! Plain bytes out of a source that may be compressed, streamed in bounded memory.

use bytes::Bytes;

use super::fetch::Chunks;
use super::gzip::Gunzip;
use super::unzstd::Unzstd;
use crate::{Error, Result};

/// How a source is compressed, told by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// `.gz`: gzip, of any number of members (RFC 1952, section 2.2).
    Gzip,
    /// `.zst`: Zstandard, of any number of frames (RFC 8878, section 3).
    Zstd,
}

impl Packing {
    /// By the key's extension, whatever its case.
    pub fn of(key: &str) -> Self {
        let extension = key.rsplit_once('.').map_or("", |(_, extension)| extension);
        match extension.to_ascii_lowercase().as_str() {
            "gz" => Self::Gzip,
            "zst" => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// A stream of plain bytes.
#[derive(Debug)]
pub(super) struct Inflow {
    unpack: Unpack,
    input: Input,
    /// Plain bytes given.
    given: u64,
    limits: Limits,
}

#[derive(Debug)]
enum Unpack {
    Plain,
    Gzip(Box<Gunzip>),
    Zstd(Box<Unzstd>),
}

/// Who is read, and how far it may swell.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// The source, for messages.
    pub uri: String,
    /// Plain bytes per packed byte.
    pub expansion: u64,
}

/// Plain bytes that any source may have, however few its packed ones are.
const EXPANSION_FLOOR: u64 = 1 << 20;

/// Packed bytes in hand.
#[derive(Debug)]
pub(super) struct Input {
    chunks: Chunks,
    /// Bytes in hand; some behind the place reached are kept, for a decoder that reads ahead.
    bytes: Vec<u8>,
    at: usize,
    ended: bool,
    /// Bytes taken from the chunks.
    taken: u64,
}

/// Bytes before the place reached that stay in hand.
const LOOK_BACK: usize = 16;

impl Input {
    pub fn new(chunks: Chunks) -> Self {
        Self { chunks, bytes: Vec::new(), at: 0, ended: false, taken: 0 }
    }

    /// What is in hand from the place reached.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// What lies up to [`LOOK_BACK`] bytes before the place reached, and behind it.
    pub fn around(&self) -> (&[u8], usize) {
        (&self.bytes, self.at)
    }

    pub fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.bytes.len());
    }

    /// Moves to a place that [`around`](Self::around) showed.
    pub fn jump(&mut self, at: usize) {
        self.at = at.min(self.bytes.len());
    }

    /// Whether no more bytes will come.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Takes in another chunk; false where there is none.
    pub fn more(&mut self) -> Result<bool> {
        let Some(chunk) = self.next_chunk()? else { return Ok(false) };
        let cut = self.at.saturating_sub(LOOK_BACK);
        self.bytes.drain(..cut);
        self.at -= cut;
        self.bytes.extend_from_slice(&chunk);
        Ok(true)
    }

    /// Whether so many bytes are in hand, once all that can be had was asked for.
    pub fn have(&mut self, bytes: usize) -> Result<bool> {
        while self.rest().len() < bytes {
            if !self.more()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        let chunk = self.chunks.next()?;
        match &chunk {
            Some(chunk) => self.taken += u64::try_from(chunk.len()).unwrap_or(u64::MAX),
            None => self.ended = true,
        }
        Ok(chunk)
    }
}

impl Inflow {
    /// A stream over a source's packed bytes.
    pub fn new(chunks: Chunks, packing: Packing, limits: Limits) -> Result<Self> {
        let unpack = match packing {
            Packing::Plain => Unpack::Plain,
            Packing::Gzip => Unpack::Gzip(Box::default()),
            Packing::Zstd => Unpack::Zstd(Box::new(Unzstd::new(&limits.uri)?)),
        };
        Ok(Self { unpack, input: Input::new(chunks), given: 0, limits })
    }

    /// Appends some bytes; false at the end. A damaged source is an error, and what came before it still came.
    pub fn fill(&mut self, into: &mut Vec<u8>) -> Result<bool> {
        let before = into.len();
        let more = match &mut self.unpack {
            Unpack::Plain => match self.input.next_chunk()? {
                Some(chunk) => {
                    into.extend_from_slice(&chunk);
                    true
                }
                None => false,
            },
            Unpack::Gzip(gunzip) => gunzip.fill(&mut self.input, into, &self.limits.uri)?,
            Unpack::Zstd(unzstd) => unzstd.fill(&mut self.input, into, &self.limits.uri)?,
        };
        self.given += u64::try_from(into.len().saturating_sub(before)).unwrap_or(u64::MAX);
        self.check_expansion()?;
        Ok(more)
    }

    /// The object's bytes that what was given came from.
    pub fn used(&self) -> u64 {
        self.input.taken.saturating_sub(u64::try_from(self.input.rest().len()).unwrap_or(0))
    }

    fn check_expansion(&self) -> Result<()> {
        let allowed = self.input.taken.saturating_mul(self.limits.expansion).max(EXPANSION_FLOOR);
        if matches!(self.unpack, Unpack::Plain) || self.given <= allowed {
            return Ok(());
        }
        Err(Error::Limit {
            what: format!("{}: decompressed bytes per compressed byte", self.limits.uri),
            value: self.given.div_ceil(self.input.taken.max(1)),
            limit: self.limits.expansion,
            remedy: "if the file is what it should be, raise source.expansion".to_owned(),
        })
    }
}
