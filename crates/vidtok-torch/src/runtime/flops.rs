//! Counting the floating-point operations that layers execute, for programs that measure.

#![allow(unsafe_code)] // A call of the shim.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::shim;

/// Operations besides convolutions, which the shim counts.
static EXECUTED: AtomicU64 = AtomicU64::new(0);

/// Floating-point operations that this crate's convolutions and matrix products have executed in this process so far,
/// on all threads. A multiplication and its addition are two operations. Backward passes are not counted.
#[must_use]
pub fn flops_executed() -> u64 {
    // SAFETY: it reads a counter.
    let multiply_adds = unsafe { shim::vidtok_executed_multiply_adds() };
    EXECUTED.load(Relaxed) + 2 * multiply_adds.unsigned_abs()
}

/// Adds executed operations.
pub(crate) fn count(flops: i64) {
    EXECUTED.fetch_add(flops.unsigned_abs(), Relaxed);
}
