//! How many floating-point operations the layers have executed, for programs that measure.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static EXECUTED: AtomicU64 = AtomicU64::new(0);

/// Floating-point operations that convolutions and matrix products of this crate have executed in this process so far,
/// on all threads. A multiplication and its addition are two. Backward passes are not counted.
#[must_use]
pub fn flops_executed() -> u64 {
    EXECUTED.load(Relaxed)
}

/// Adds operations that were executed: twice the multiplications, where each has its addition.
pub(crate) fn count(flops: i64) {
    EXECUTED.fetch_add(flops.unsigned_abs(), Relaxed);
}
