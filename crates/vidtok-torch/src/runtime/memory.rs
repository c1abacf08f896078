//! How libtorch allocates memory, and how much.

#![allow(unsafe_code)] // Calls of the shim.

use tch::Device;

use crate::shim;

/// Makes large tensors on the CPU reuse freed blocks, in huge pages.
///
/// By default the C library maps every large tensor anew, and the system fills each page with zeros at its first use,
/// which takes an eighth to a quarter of the time of a pass. Smaller tensors, up to 32 MiB, come from a heap with gaps,
/// which has held twice the memory in use. With this allocator, freed and used blocks together never exceed the peak of
/// the used blocks. The process keeps that memory until it ends.
///
/// The setting is for the whole process: call this once, at the start of a program. It has an effect on Linux only.
pub fn reuse_freed_memory() {
    // SAFETY: the new allocator lives forever; blocks of the old one are still freed by the old one.
    if let Err(error) = shim::check(unsafe { shim::vidtok_reuse_freed_memory() }) {
        panic!("{error}");
    }
}

/// The most memory in bytes that tensors on the CPU have used at the same time since [`reset_peak_memory`].
///
/// Counts blocks of at least 256 KiB, after [`reuse_freed_memory`]; without it, returns 0.
#[must_use]
pub fn peak_memory() -> u64 {
    // SAFETY: it reads a counter.
    unsafe { shim::vidtok_peak_memory() }
}

/// Starts a new [`peak_memory`] from the memory that is in use now, and returns the latter in bytes.
pub fn reset_peak_memory() -> u64 {
    // SAFETY: it sets a counter.
    unsafe { shim::vidtok_reset_peak_memory() }
}

/// The free memory of a GPU in bytes. `None` for the CPU, and for devices that libtorch does not know.
#[must_use]
pub fn free_device_memory(device: Device) -> Option<u64> {
    let Device::Cuda(index) = device else { return None };
    let mut bytes = 0;
    // SAFETY: `bytes` lives during the call.
    shim::check(unsafe { shim::vidtok_cuda_free_memory(i8::try_from(index).ok()?, &raw mut bytes) }).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_and_a_missing_gpu_have_no_free_memory_count() {
        assert_eq!(free_device_memory(Device::Cpu), None);
        assert_eq!(free_device_memory(Device::Cuda(100)), None);
    }
}
