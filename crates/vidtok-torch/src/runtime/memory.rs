//! How the allocator treats large pieces of memory.

#![allow(unsafe_code)] // A call of the shim.

use tch::Device;

use crate::shim;

/// From now on large tensors on the CPU take blocks that others have freed, and blocks have huge pages.
///
/// By default the C library maps every large tensor anew, and the system fills each of its pages with zeros when it is
/// first touched: an eighth to a quarter of the time of a pass. Smaller ones, up to 32 MiB, come from a heap with gaps,
/// which has held twice what was in use. With this, what is kept and what is in use never exceed what was in use at
/// once, so the process holds no more than it needs at its peak, and what it once needed until it ends.
///
/// For a whole process: call it once, at the start of a program. On Linux; elsewhere it does nothing.
pub fn reuse_freed_memory() {
    // SAFETY: it gives libtorch an allocator that lives for ever; blocks of the one before go back to that.
    if let Err(error) = shim::check(unsafe { shim::vidtok_reuse_freed_memory() }) {
        panic!("{error}");
    }
}

/// Memory that a GPU has free, in bytes; `None` for the CPU, and where libtorch does not tell.
#[must_use]
pub fn free_device_memory(device: Device) -> Option<u64> {
    let Device::Cuda(index) = device else { return None };
    let mut bytes = 0;
    // SAFETY: the number lives during the call.
    shim::check(unsafe { shim::vidtok_cuda_free_memory(i8::try_from(index).ok()?, &raw mut bytes) }).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_tells_nothing() {
        assert_eq!(free_device_memory(Device::Cpu), None);
        assert_eq!(free_device_memory(Device::Cuda(100)), None);
    }
}
