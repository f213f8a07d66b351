//! The bytes of one upload part, as they are gathered.

use bytes::Bytes;

use crate::storage::DIRECT_BYTES;

/// Bytes that begin in memory where local storage can write them past the page cache.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// The bytes, after what is left over before the first boundary.
    memory: Vec<u8>,
    start: usize,
}

impl Piece {
    /// An empty piece that holds `capacity` bytes without moving.
    pub fn with_capacity(capacity: usize) -> Self {
        // Memory that is not touched costs nothing; growing does.
        let mut memory: Vec<u8> = Vec::with_capacity(capacity.saturating_add(DIRECT_BYTES));
        let address = memory.as_ptr().addr();
        let start = address.next_multiple_of(DIRECT_BYTES).saturating_sub(address);
        memory.resize(start, 0);
        Self { memory, start }
    }

    /// Bytes that it holds.
    pub fn len(&self) -> usize {
        self.memory.len().saturating_sub(self.start)
    }

    /// Adds bytes at the end.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.memory.extend_from_slice(bytes);
    }

    /// The bytes, not copied.
    pub fn freeze(self) -> Bytes {
        Bytes::from(self.memory).slice(self.start..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_piece_begins_at_a_boundary_and_holds_what_it_was_given() {
        for capacity in [1, 100, 5 << 20, 8 << 20] {
            let mut piece = Piece::with_capacity(capacity);
            assert_eq!(piece.len(), 0);
            let half = vec![7; capacity / 2];
            piece.extend(&half);
            piece.extend(&vec![8; capacity - half.len()]);
            assert_eq!(piece.len(), capacity);
            let bytes = piece.freeze();
            assert_eq!(bytes.as_ptr().addr() % DIRECT_BYTES, 0);
            assert_eq!(bytes.iter().filter(|byte| **byte == 7).count(), half.len());
            assert_eq!(bytes.len(), capacity);
        }
    }
}
