//! A body that is read on from where the last read stopped: for servers that send a file whole, whatever range is asked for.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use hyper::body::Incoming;

use super::client::{Client, Failed};
use crate::storage::ObjectVersion;

/// How often a file may be begun again because an earlier byte is asked for: a reader of text begins twice.
pub(super) const MAX_REWINDS: u32 = 4;

/// The body in hand, and how often one was begun again.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    pub flow: Option<Flow>,
    pub rewinds: u32,
}

/// A file on its way.
#[derive(Debug)]
pub(super) struct Flow {
    pub key: String,
    pub version: ObjectVersion,
    body: Incoming,
    /// The file's byte that `rest` begins at.
    at: u64,
    /// What came and was not asked for yet.
    rest: Bytes,
}

impl Flow {
    pub fn new(key: &str, version: &ObjectVersion, body: Incoming) -> Self {
        Self { key: key.to_owned(), version: version.clone(), body, at: 0, rest: Bytes::new() }
    }

    /// Whether it can still tell the byte `start` of this very file.
    pub fn reaches(&self, key: &str, version: &ObjectVersion, start: u64) -> bool {
        self.key == key && self.version == *version && self.at <= start
    }

    /// Reads a range that does not begin before where this stands. What lies between is let go by.
    pub async fn read(&mut self, client: &Client, range: &Range<u64>) -> Result<Bytes, Failed> {
        let mut taken = BytesMut::new();
        while self.at < range.end {
            if self.rest.is_empty() {
                match client.next(&mut self.body).await? {
                    Some(bytes) => self.rest = bytes,
                    None => return Err(Failed::passing(format!("its body ended at byte {}", self.at))),
                }
            }
            let until = if self.at < range.start { range.start } else { range.end };
            let wanted = usize::try_from(until - self.at).unwrap_or(usize::MAX).min(self.rest.len());
            let piece = self.rest.split_to(wanted);
            if self.at >= range.start {
                taken.extend_from_slice(&piece);
            }
            self.at += u64::try_from(wanted).unwrap_or(0);
        }
        Ok(taken.freeze())
    }
}
