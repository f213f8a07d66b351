//! Large buffers, used again by the whole process: the kernel clears every page of a fresh one, which took up to a third
//! of the time of copying row groups (and far more where the machine's host had taken the pages back).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Smaller buffers come from the heap, which keeps what is freed by itself.
const LARGE_BYTES: usize = 1 << 20;
/// No more is kept than this: what two slices read and send at once.
const KEPT_BYTES: usize = 64 << 20;

static KEPT: Mutex<Kept> = Mutex::new(Kept { buffers: VecDeque::new(), bytes: 0 });

/// Buffers that nobody uses, the one kept longest first.
#[derive(Debug)]
struct Kept {
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Kept {
    fn all() -> MutexGuard<'static, Self> {
        KEPT.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The smallest buffer of `capacity` bytes or more, unless it is more than twice as large.
    fn take(&mut self, capacity: usize) -> Option<Vec<u8>> {
        let fits = |(at, buffer): (usize, &Vec<u8>)| {
            let held = buffer.capacity();
            (held >= capacity && held / 2 <= capacity).then_some((held, at))
        };
        let (held, at) = self.buffers.iter().enumerate().filter_map(fits).min()?;
        self.bytes = self.bytes.saturating_sub(held);
        self.buffers.remove(at)
    }

    /// Keeps a buffer, in the place of the ones kept longest.
    fn put(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.bytes = self.bytes.saturating_add(buffer.capacity());
        self.buffers.push_back(buffer);
        while self.bytes > KEPT_BYTES {
            let Some(oldest) = self.buffers.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(oldest.capacity());
        }
    }
}

/// A buffer that is kept for others once it is dropped, or once the last of the [`Bytes`] made of it is.
#[derive(Debug, Default)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// An empty buffer that holds `capacity` bytes without growing.
    pub fn with_capacity(capacity: usize) -> Self {
        let kept = if capacity >= LARGE_BYTES { Kept::all().take(capacity) } else { None };
        Self(kept.unwrap_or_else(|| Vec::with_capacity(capacity)))
    }

    /// What it holds.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// Bytes that are not copied: they hold the buffer.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.0.capacity() >= LARGE_BYTES {
            Kept::all().put(std::mem::take(&mut self.0));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kept(capacities: &[usize]) -> Kept {
        let mut kept = Kept { buffers: VecDeque::new(), bytes: 0 };
        capacities.iter().for_each(|capacity| kept.put(Vec::with_capacity(*capacity)));
        kept
    }

    #[test]
    fn the_smallest_that_is_large_enough_is_taken_and_none_that_is_far_too_large() {
        let mut kept = kept(&[9 << 20, 2 << 20, 3 << 20]);
        assert_eq!(kept.take((1 << 20) + 1).unwrap().capacity(), 2 << 20);
        assert_eq!(kept.take((1 << 20) + 1), None, "three million would waste more than they save");
        assert_eq!(kept.take(3 << 20).unwrap().capacity(), 3 << 20);
        assert_eq!(kept.take(10 << 20), None);
        assert_eq!(kept.bytes, 9 << 20);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_makes_room() {
        let mut kept = kept(&[32 << 20, 16 << 20, 16 << 20, 20 << 20]);
        assert_eq!(kept.bytes, 52 << 20);
        assert_eq!(kept.take(32 << 20), None);
        assert!(kept.take(20 << 20).is_some());
    }

    #[test]
    fn bytes_hold_their_buffer_and_the_next_user_finds_it_empty() {
        let mut buffer = Buffer::with_capacity(LARGE_BYTES);
        buffer.bytes_mut().extend_from_slice(&[7; 100]);
        let bytes = buffer.freeze();
        let part = bytes.slice(10..20);
        drop(bytes);
        // Other tests may use the process's buffers meanwhile: none may be this one.
        let mut other = Buffer::with_capacity(LARGE_BYTES);
        assert!(other.as_ref().is_empty());
        other.bytes_mut().resize(100, 1);
        assert_eq!(part.as_ref(), [7; 10]);
    }
}
