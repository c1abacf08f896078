//! How the allocator treats large pieces of memory.

#![allow(unsafe_code)] // A call of the shim.

use tch::Device;

use crate::shim;

/// Lets this process keep the memory that it frees, for the next tensor of that size.
///
/// By default the C library (glibc) maps every large tensor anew and gives it back at once, and the system fills each
/// page with zeros when it is first touched. In a training step, which takes the same tensors each time, that is a
/// quarter of the time. Call it once, at the start of a program that goes on for a while; elsewhere it does nothing.
pub fn keep_freed_memory() {
    // SAFETY: it sets parameters of the allocator, which locks them itself, and touches no memory of ours.
    unsafe { shim::vidtok_keep_freed_memory() }
}

/// Gives every large piece of memory back as soon as it is freed, so that what this process holds is what it uses.
///
/// By default the C library (glibc) keeps pieces of up to 32 MiB in a heap with gaps, which has held twice what a pass
/// through a network uses. Giving back costs some time for each tensor. Call it once, at the start of a program that
/// must stay within a limit; elsewhere it does nothing.
pub fn return_freed_memory() {
    // SAFETY: as above.
    unsafe { shim::vidtok_return_freed_memory() }
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
    use tch::{Kind, Tensor};

    use super::*;

    #[test]
    fn a_device_that_is_not_there_tells_nothing() {
        assert_eq!(free_device_memory(Device::Cpu), None);
        assert_eq!(free_device_memory(Device::Cuda(100)), None);
    }

    #[test]
    fn tensors_are_as_before() {
        for change in [keep_freed_memory, return_freed_memory] {
            change();
            for _ in 0..3 {
                let x = Tensor::ones([1 << 22], (Kind::Float, Device::Cpu));
                assert_eq!(x.sum(Kind::Double).double_value(&[]), f64::from(1 << 22));
            }
        }
    }
}
