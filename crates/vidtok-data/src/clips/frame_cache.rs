//! Memory for decoded frames, reserved first come, first served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes that are still free.
#[derive(Debug)]
pub(crate) struct CacheBudget {
    left: AtomicU64,
}

impl CacheBudget {
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(bytes) })
    }

    /// Reserves bytes if enough are free. Dropping the reservation frees them.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let take = |left: u64| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Reservation { bytes, budget: Arc::clone(self) })
    }
}

/// Reserved bytes of a [`CacheBudget`].
#[derive(Debug)]
pub(crate) struct Reservation {
    bytes: u64,
    budget: Arc<CacheBudget>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// Decoded frames in memory, with the reservation for them.
#[derive(Debug)]
pub(crate) struct CachedFrames {
    pub(crate) frames: Vec<u8>,
    pub(crate) _reservation: Reservation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_reserved_while_free_and_returned_on_drop() {
        let budget = CacheBudget::new(10);
        let first = budget.reserve(6).unwrap();
        assert!(budget.reserve(5).is_none());
        let second = budget.reserve(4).unwrap();
        assert!(budget.reserve(1).is_none());
        drop(first);
        assert!(budget.reserve(6).is_some());
        drop(second);
        assert!(budget.reserve(10).is_some());
    }
}
