//! The dictionary in the making: distinct values in the order of their first use.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::kind::Kind;
use super::statistics::Range;

/// A value as it is looked up: fixed-width ones as their bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Bits(u64),
    Bytes(&'a [u8]),
}

/// Distinct values of one column in one row group.
#[derive(Debug)]
pub(super) struct Entries {
    kind: Kind,
    /// Values of bytes as the PLAIN encoding has them, and where each ends.
    plain: Vec<u8>,
    ends: Vec<usize>,
    /// Values of fixed width.
    bits: Vec<u64>,
    bits_places: HashMap<u64, u32, RandomState>,
    bytes_places: HashMap<Box<[u8]>, u32, RandomState>,
}

impl Entries {
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            plain: Vec::new(),
            ends: Vec::new(),
            bits: Vec::new(),
            bits_places: HashMap::default(),
            bytes_places: HashMap::default(),
        }
    }

    pub fn len(&self) -> usize {
        if matches!(self.kind, Kind::Bytes { .. }) { self.ends.len() } else { self.bits.len() }
    }

    /// The dictionary page's body: every value as the PLAIN encoding has it.
    pub fn plain(&self) -> Cow<'_, [u8]> {
        let Some(width) = self.kind.width() else { return Cow::Borrowed(&self.plain) };
        let mut plain = Vec::with_capacity(self.bits.len().saturating_mul(width));
        self.bits.iter().for_each(|bits| push_bits(*bits, self.kind, &mut plain));
        Cow::Owned(plain)
    }

    /// Bytes of the dictionary page's body.
    pub fn plain_bytes(&self) -> usize {
        match self.kind.width() {
            Some(width) => self.bits.len().saturating_mul(width),
            None => self.plain.len(),
        }
    }

    /// The code of a value of bytes. A new one gets the next.
    pub fn code_of_bytes(&mut self, bytes: &[u8]) -> u32 {
        if let Some(code) = self.bytes_places.get(bytes) {
            return *code;
        }
        let next = self.next();
        push_bytes(bytes, &mut self.plain);
        self.ends.push(self.plain.len());
        self.bytes_places.insert(bytes.into(), next);
        next
    }

    /// The fixed-width value of a code.
    pub fn bits(&self, code: u32) -> u64 {
        self.bits.get(usize::try_from(code).unwrap_or(usize::MAX)).copied().unwrap_or_default()
    }

    /// The code of a fixed-width value, where it was remembered.
    pub fn remembered(&self, bits: u64) -> Option<u32> {
        self.bits_places.get(&bits).copied()
    }

    /// Adds a fixed-width value that is not among them, and answers its code. It is not remembered.
    pub fn add_bits(&mut self, bits: u64) -> u32 {
        let next = self.next();
        self.bits.push(bits);
        next
    }

    /// Keeps the code of a fixed-width value for later.
    pub fn remember(&mut self, bits: u64, code: u32) {
        self.bits_places.insert(bits, code);
    }

    fn next(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    /// Takes the values that are marked, in the order of their codes, into a range.
    pub fn include_in(&self, range: &mut Range, marks: &[bool]) {
        if !matches!(self.kind, Kind::Bytes { .. }) {
            return range.include_marked(&self.bits, marks);
        }
        let marked = (0u32..).zip(marks).filter(|(_, is_marked)| **is_marked);
        marked.for_each(|(code, _)| range.include(self.value(code)));
    }

    /// The value of a code.
    pub fn value(&self, code: u32) -> Value<'_> {
        if !matches!(self.kind, Kind::Bytes { .. }) {
            return Value::Bits(self.bits(code));
        }
        let code = usize::try_from(code).unwrap_or(usize::MAX);
        let start = code.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(code).copied().unwrap_or(start);
        // Each has four bytes of length before it.
        Value::Bytes(self.plain.get(start.saturating_add(4)..end).unwrap_or_default())
    }
}

/// Appends a value in the PLAIN encoding.
pub(super) fn push(value: Value<'_>, kind: Kind, plain: &mut Vec<u8>) {
    match value {
        Value::Bits(bits) => push_bits(bits, kind, plain),
        Value::Bytes(bytes) => push_bytes(bytes, plain),
    }
}

fn push_bits(bits: u64, kind: Kind, plain: &mut Vec<u8>) {
    plain.extend(bits.to_le_bytes().into_iter().take(kind.width().unwrap_or(0)));
}

fn push_bytes(bytes: &[u8], plain: &mut Vec<u8>) {
    // Arrow's strings are shorter than a page may be: `FlatColumn::write` refuses longer ones.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    plain.extend_from_slice(&length.to_le_bytes());
    plain.extend_from_slice(bytes);
}
