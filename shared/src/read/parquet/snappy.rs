//! Pages compressed with Snappy, decompressed into memory that is used again: the parquet crate takes new memory for each
//! page, and clears it first.

use bytes::{Bytes, BytesMut};
use parquet::column::page::Page;

use super::columns::implausible;

/// Decompresses the pages of one chunk.
#[derive(Default)]
pub(super) struct Unpacker {
    decoder: snap::raw::Decoder,
    /// The memory of the last pages of rows: a decoder may read one until it has the next.
    lent: [Bytes; 2],
}

impl Unpacker {
    /// A page as it lies in the file, decompressed.
    pub fn unpack(&mut self, mut page: Page) -> Result<Page, String> {
        match &mut page {
            // Kept as long as the chunk is read.
            Page::DictionaryPage { buf, .. } => {
                let mut memory = vec![0; length_of(buf)?];
                self.decompress(buf, &mut memory)?;
                *buf = memory.into();
            }
            Page::DataPage { buf, .. } => *buf = self.behind(buf, 0)?,
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, is_compressed: true, .. } => {
                let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
                *buf = self.behind(buf, usize::try_from(levels).unwrap_or(usize::MAX))?;
            }
            Page::DataPageV2 { .. } => {}
        }
        Ok(page)
    }

    /// The first bytes as they are, and what is behind them decompressed.
    fn behind(&mut self, page: &Bytes, plain: usize) -> Result<Bytes, String> {
        let (plain, compressed) = page.split_at_checked(plain).ok_or("a page ends within its levels")?;
        let length = plain.len().saturating_add(length_of(compressed)?);
        // Where both are still read, the memory of the older one is left to its reader.
        let [newer, older] = std::mem::take(&mut self.lent);
        let (free, kept) = if newer.is_unique() { (newer, older) } else { (older, newer) };
        let mut memory = free.try_into_mut().unwrap_or_else(|_| BytesMut::new());
        if memory.len() < length {
            memory.resize(length, 0);
        }
        if let Some((first, rest)) =
            memory.get_mut(..length).and_then(|memory| memory.split_at_mut_checked(plain.len()))
        {
            first.copy_from_slice(plain);
            self.decompress(compressed, rest)?;
        }
        let memory = memory.freeze();
        self.lent = [memory.clone(), kept];
        Ok(memory.slice(..length))
    }

    fn decompress(&mut self, compressed: &[u8], memory: &mut [u8]) -> Result<(), String> {
        // A page of nulls may have no bytes at all.
        if !compressed.is_empty() {
            self.decoder
                .decompress(compressed, memory)
                .map_err(|error| format!("a page cannot be decompressed: {error}"))?;
        }
        Ok(())
    }
}

/// Bytes that are claimed to come out.
fn length_of(compressed: &[u8]) -> Result<usize, String> {
    if compressed.is_empty() {
        return Ok(0);
    }
    let length = snap::raw::decompress_len(compressed);
    let length = length.map_err(|error| format!("a page cannot be decompressed: {error}"))?;
    match u64::try_from(length).ok().and_then(|claim| implausible(compressed.len(), claim)) {
        Some(problem) => Err(problem),
        None => Ok(length),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use parquet::basic::Encoding;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(bytes).unwrap()
    }

    fn page(bytes: Vec<u8>) -> Page {
        Page::DataPage {
            buf: bytes.into(),
            num_values: 1,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }
    }

    fn page_2(bytes: Vec<u8>, levels: u32, is_compressed: bool) -> Page {
        Page::DataPageV2 {
            buf: bytes.into(),
            num_values: 1,
            encoding: Encoding::PLAIN,
            num_nulls: 0,
            num_rows: 1,
            def_levels_byte_len: levels,
            rep_levels_byte_len: 0,
            is_compressed,
            statistics: None,
        }
    }

    #[test]
    fn pages_come_out_as_they_were_whatever_their_order_and_length() {
        let mut unpacker = Unpacker::default();
        for length in [100, 70_000, 3, 0, 1_000] {
            let bytes: Vec<u8> = (0..length).map(|at: u32| (at % 7).try_into().unwrap()).collect();
            assert_eq!(unpacker.unpack(page(packed(&bytes))).unwrap().buffer(), &bytes);
            let behind_levels = [&[9, 8][..], &packed(&bytes)].concat();
            let found = unpacker.unpack(page_2(behind_levels, 2, true)).unwrap();
            assert_eq!(found.buffer(), &[&[9, 8][..], &bytes].concat());
        }
        assert_eq!(unpacker.unpack(page_2(vec![9, 8, 7], 2, false)).unwrap().buffer(), &[9, 8, 7][..]);
        assert!(unpacker.unpack(page(Vec::new())).unwrap().buffer().is_empty());
    }

    #[test]
    fn the_memory_of_a_page_is_used_again_once_nobody_reads_it() {
        let mut unpacker = Unpacker::default();
        let mut unpack = |byte: u8| unpacker.unpack(page(packed(&[byte; 5_000]))).unwrap();
        let place = |page: &Page| page.buffer().as_ptr();
        let first = unpack(1);
        let first_place = place(&first);
        drop(first);
        let second = unpack(2);
        assert_eq!(place(&second), first_place);
        // The second is read while the third is asked for, the third while the fourth is.
        let third = unpack(3);
        assert_ne!(place(&third), first_place);
        assert_eq!((second.buffer()[0], third.buffer()[0]), (2, 3));
        drop(second);
        let fourth = unpack(4);
        assert_eq!(place(&fourth), first_place);
        let fifth = unpack(5);
        assert_eq!([&third, &fourth, &fifth].map(|page| page.buffer()[4_999]), [3, 4, 5]);
    }

    #[test]
    fn what_cannot_be_a_page_is_told() {
        let told = |page| Unpacker::default().unpack(page).err().unwrap();
        assert!(told(page(vec![200, 1, 2, 3])).contains("a page cannot be decompressed"));
        // A claim of nearly 4 GiB.
        assert!(told(page(vec![255, 255, 255, 255, 15, 0])).contains("claims to become"));
        assert!(told(page_2(vec![1], 2, true)).contains("ends within its levels"));
    }
}
