//! Gzip members, one after the other (RFC 1952), each checked against its own CRC and length.

use std::fmt;

use crc_fast::{CrcAlgorithm, Digest};

use super::inflate::Input;
use crate::{Error, Result};

/// How far back a match may lie (RFC 1951, section 2).
const WINDOW_BYTES: usize = 32 << 10;
/// Bytes that one call of the decoder may give.
const BLOCK_BYTES: usize = 256 << 10;
/// What stands in for the zlib header that the decoder expects and gzip lacks: deflate, no dictionary (RFC 1950).
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];
/// Bytes that the decoder takes behind the compressed data: it expects a checksum of four there, and may have taken
/// more into its bit buffer of eight.
const CHECKSUM_BYTES: usize = 4;
const MAX_READ_AHEAD: usize = 7;

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;

/// A decoder of members.
#[derive(Debug, Default)]
pub(super) struct Gunzip {
    member: Option<Member>,
    seen: bool,
}

struct Member {
    decoder: fdeflate::Decompressor,
    output: Vec<u8>,
    filled: usize,
    crc: Digest,
    length: u32,
}

impl fmt::Debug for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Member({} bytes)", self.length)
    }
}

impl Gunzip {
    /// Appends some bytes; false at the end.
    pub fn fill(&mut self, input: &mut Input, into: &mut Vec<u8>, uri: &str) -> Result<bool> {
        let damaged = |what: &str| Error::source(uri, format!("{what}: the file is damaged, deliver it again"));
        loop {
            let member = match &mut self.member {
                Some(member) => member,
                None => {
                    if !input.have(1)? || (self.seen && only_padding(input)?) {
                        return Ok(false);
                    }
                    skip_header(input, &damaged)?;
                    self.seen = true;
                    self.member.insert(Member::new().map_err(|error| damaged(&error))?)
                }
            };
            let before = into.len();
            if member.step(input, into, &damaged)? {
                self.member = None;
            }
            if into.len() > before {
                return Ok(true);
            }
        }
    }
}

/// Whether nothing but zeros follows, as tapes and block devices leave it.
fn only_padding(input: &mut Input) -> Result<bool> {
    loop {
        if input.rest().iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        input.advance(input.rest().len());
        if !input.more()? {
            return Ok(true);
        }
    }
}

fn skip_header(input: &mut Input, damaged: &impl Fn(&str) -> Error) -> Result<()> {
    const FIXED: usize = 10;
    let cut_off = || damaged("the gzip header is cut off");
    if !input.have(FIXED)? {
        return Err(cut_off());
    }
    let flags = match input.rest() {
        [0x1f, 0x8b, 8, flags, ..] => *flags,
        _ => return Err(damaged("no gzip data, as .gz promises")),
    };
    input.advance(FIXED);
    if flags & FLAG_EXTRA != 0 {
        if !input.have(2)? {
            return Err(cut_off());
        }
        let [low, high, ..] = input.rest() else { return Err(cut_off()) };
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        if !input.have(2 + length)? {
            return Err(cut_off());
        }
        input.advance(2 + length);
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag == 0 {
            continue;
        }
        loop {
            if let Some(end) = memchr::memchr(0, input.rest()) {
                input.advance(end + 1);
                break;
            }
            input.advance(input.rest().len());
            if !input.more()? {
                return Err(cut_off());
            }
        }
    }
    if flags & FLAG_HEADER_CRC != 0 {
        if !input.have(2)? {
            return Err(cut_off());
        }
        input.advance(2);
    }
    Ok(())
}

impl Member {
    fn new() -> std::result::Result<Self, String> {
        let mut decoder = fdeflate::Decompressor::new();
        decoder.ignore_adler32();
        let mut output = vec![0; WINDOW_BYTES + BLOCK_BYTES];
        match decoder.read(&ZLIB_HEADER, &mut output, 0, false) {
            Ok((2, 0)) => {}
            other => return Err(format!("the decoder did not begin: {other:?}")),
        }
        Ok(Self { decoder, output, filled: 0, crc: Digest::new(CrcAlgorithm::Crc32IsoHdlc), length: 0 })
    }

    /// One step: some bytes out, or a chunk in. True at the member's end.
    fn step(&mut self, input: &mut Input, into: &mut Vec<u8>, damaged: &impl Fn(&str) -> Error) -> Result<bool> {
        if self.filled == self.output.len() {
            self.output.copy_within(BLOCK_BYTES.., 0);
            self.filled = WINDOW_BYTES;
        }
        let read = self.decoder.read(input.rest(), &mut self.output, self.filled, input.ended());
        let (taken, given) = read.map_err(|error| match error {
            fdeflate::DecompressionError::InsufficientInput => damaged("the gzip data is cut off"),
            error => damaged(&format!("bad gzip data ({error:?})")),
        })?;
        input.advance(taken);
        let fresh = self.output.get(self.filled..self.filled + given).unwrap_or_default();
        self.crc.update(fresh);
        // The trailer's length is modulo 2^32.
        self.length = self.length.wrapping_add(u32::try_from(given).unwrap_or(0));
        into.extend_from_slice(fresh);
        self.filled += given;
        if self.decoder.is_done() {
            return self.trailer(input, damaged).map(|()| true);
        }
        // Room is left, so it wants input. Where none comes, the next step tells it so, and it answers with an error.
        if self.filled < self.output.len() && !input.ended() {
            input.more()?;
        }
        Ok(false)
    }

    /// Finds the trailer (CRC-32, length), which the decoder has read into by some bytes, and passes it.
    fn trailer(&self, input: &mut Input, damaged: &impl Fn(&str) -> Error) -> Result<()> {
        const TRAILER_BYTES: usize = 8;
        input.have(TRAILER_BYTES - CHECKSUM_BYTES)?;
        let crc = u32::try_from(self.crc.finalize()).unwrap_or(0);
        let mut wanted = [0; TRAILER_BYTES];
        let (left, right) = wanted.split_at_mut(4);
        left.copy_from_slice(&crc.to_le_bytes());
        right.copy_from_slice(&self.length.to_le_bytes());
        let (bytes, at) = input.around();
        let found = (0..=MAX_READ_AHEAD).find_map(|ahead| {
            let start = at.checked_sub(CHECKSUM_BYTES + ahead)?;
            let end = start.checked_add(TRAILER_BYTES)?;
            (bytes.get(start..end)? == wanted).then_some(end)
        });
        match found {
            Some(end) => {
                input.jump(end);
                Ok(())
            }
            None => Err(damaged("the gzip data does not have the checksum that it states")),
        }
    }
}
