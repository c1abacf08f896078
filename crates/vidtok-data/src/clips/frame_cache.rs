//! Room for decoded frames in memory, given to those that come first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are left.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicU64,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(bytes) })
    }

    /// Room for so many bytes, if there is as much. Dropping it gives it back.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<Room> {
        let take = |left: u64| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Room { bytes, budget: Arc::clone(self) })
    }
}

/// A part of a [`Budget`].
#[derive(Debug)]
pub(crate) struct Room {
    bytes: u64,
    budget: Arc<Budget>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// Frames that are kept, and the room that they take.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) frames: Vec<u8>,
    pub(crate) _room: Room,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_while_there_is_some_and_comes_back() {
        let budget = Budget::new(10);
        let first = budget.take(6).unwrap();
        assert!(budget.take(5).is_none());
        let second = budget.take(4).unwrap();
        assert!(budget.take(1).is_none());
        drop(first);
        assert!(budget.take(6).is_some());
        drop(second);
        assert!(budget.take(10).is_some());
    }
}
