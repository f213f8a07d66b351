//! How timestamps are written: as codes, as differences or plain, whichever the first page shows to be best.
//!
//! Trips of a day share their seconds, so that codes and a dictionary are small; hours in order are smallest as
//! differences; and where times jump but repeat shortly after, a codec makes the most of plain ones, in ten times the time.

use parquet::errors::Result;

use super::chunk::Pages;
use super::codec::Press;
use super::entries::Entries;
use super::kind::Kind;
use super::recent::Recent;
use super::{code_width, deltas, hybrid};

/// Of a page, one value in so many is written both plain and as differences to compare the two.
const SAMPLE: usize = 8;
/// Fewer values are all looked at.
const LEAST: usize = 8_192;

/// What a first page shows.
pub(super) struct Choice {
    /// Whether differences are better than plain values.
    pub as_deltas: bool,
    /// The page's codes and their dictionary, where those are better than either.
    pub codes: Option<Codes>,
}

/// A page's codes.
pub(super) struct Codes {
    pub entries: Entries,
    pub recent: Recent,
    pub codes: Vec<u32>,
}

impl Choice {
    /// Compares what `words`, the values of a first page, would take.
    pub fn of(words: &[u64], kind: Kind, pages: &Pages, press: &mut Press) -> Result<Self> {
        let sample = words.get(..words.len() / SAMPLE).filter(|sample| sample.len() >= LEAST).unwrap_or(words);
        let scaled = |bytes: usize| bytes.saturating_mul(words.len()) / sample.len().max(1);
        let (mut body, mut differences) = (Vec::new(), Vec::new());
        plain_words(sample, &mut body);
        let plain = scaled(pages.size_of(&body, press)?);
        body.clear();
        deltas::encode(sample, &mut differences, &mut body);
        let deltas = scaled(pages.size_of(&body, press)?);
        // Differences are far cheaper to write and to read, so they may be a little larger.
        let as_deltas = deltas.saturating_mul(5) <= plain.saturating_mul(7);
        let least = if as_deltas { deltas } else { plain };
        let mut entries = Entries::new(kind);
        let mut recent = Recent::of_times(words);
        let mut codes = Vec::with_capacity(words.len());
        for word in words {
            codes.push(recent.code(*word, &mut entries));
            // Values that hardly repeat fill dictionaries for nothing.
            if entries.len() > words.len() / 2 {
                return Ok(Self { as_deltas, codes: None });
            }
        }
        body.clear();
        hybrid::encode(&codes, code_width(&entries), &mut body);
        let coded = pages.size_of(&body, press)?.saturating_add(pages.size_of(&entries.plain(), press)?);
        // As cheap as differences, and the dictionary serves the pages to come.
        let is_better = coded.saturating_mul(3) <= least.saturating_mul(4);
        Ok(Self { as_deltas, codes: is_better.then_some(Codes { entries, recent, codes }) })
    }
}

/// Appends values of eight bytes in the PLAIN encoding.
pub(super) fn plain_words(words: &[u64], body: &mut Vec<u8>) {
    let start = body.len();
    body.resize(start + words.len() * 8, 0);
    let (slots, _) = body.get_mut(start..).unwrap_or_default().as_chunks_mut::<8>();
    slots.iter_mut().zip(words).for_each(|(slot, bits)| *slot = bits.to_le_bytes());
}
