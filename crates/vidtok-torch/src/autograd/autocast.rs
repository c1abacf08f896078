//! Mixed precision: libtorch's autocast, which tch offers for float16 on CUDA only.

#![allow(unsafe_code)] // Calls of the shim.

use std::ptr::null_mut;

use tch::{Device, Kind, TchError};

use crate::shim::{self, AutocastScope};

/// Runs `f` with convolutions and matrix products computed in `kind`, bfloat16 or half, on devices of the type of
/// `device`. Parameters and their gradients keep their own kind.
///
/// The setting is for this thread and ends with `f`, also if `f` panics. Calls may be nested. libtorch caches casts of
/// parameters until the outermost call ends, so parameters must not change inside.
///
/// # Errors
/// If the device is neither the CPU nor CUDA, or `kind` is neither bfloat16 nor half.
pub fn autocast<T>(device: Device, kind: Kind, f: impl FnOnce() -> T) -> Result<T, TchError> {
    let _scope = Scope::enter(device, kind)?;
    Ok(f())
}

/// Autocast in this thread, until dropped.
struct Scope(*mut AutocastScope);

impl Scope {
    fn enter(device: Device, kind: Kind) -> Result<Self, TchError> {
        let cuda = match device {
            Device::Cpu => false,
            Device::Cuda(_) => true,
            Device::Mps | Device::Vulkan => {
                return Err(TchError::Kind(format!("autocast on {device:?} is not supported; use the CPU or CUDA")));
            }
        };
        let bfloat16 = match kind {
            Kind::BFloat16 => true,
            Kind::Half => false,
            _ => return Err(TchError::Kind(format!("autocast to {kind:?} is not supported; use BFloat16 or Half"))),
        };
        let mut scope = null_mut();
        // SAFETY: `scope` can hold the pointer.
        shim::check(unsafe { shim::vidtok_autocast_enter(cuda, bfloat16, &raw mut scope) })?;
        Ok(Self(scope))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // SAFETY: the scope was made for us in this thread (a pointer is not Send) and is left once.
        unsafe { shim::vidtok_autocast_leave(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use tch::Tensor;

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// The kind of a matrix product.
    fn product_kind() -> Kind {
        let x = Tensor::ones([2, 2], CPU);
        x.matmul(&x).kind()
    }

    #[test]
    fn autocast_applies_inside_the_call_only() {
        for kind in [Kind::BFloat16, Kind::Half] {
            assert_eq!(autocast(Device::Cpu, kind, product_kind).unwrap(), kind);
            assert_eq!(product_kind(), Kind::Float);
        }
    }

    #[test]
    fn a_nested_call_restores_the_kind_of_the_outer_call() {
        let kinds = autocast(Device::Cpu, Kind::BFloat16, || {
            let inner = autocast(Device::Cpu, Kind::Half, product_kind).unwrap();
            [inner, product_kind()]
        });
        assert_eq!(kinds.unwrap(), [Kind::Half, Kind::BFloat16]);
        assert_eq!(product_kind(), Kind::Float);
    }

    #[test]
    fn a_panic_ends_autocast() {
        let panicking = || autocast(Device::Cpu, Kind::BFloat16, || panic!("on purpose"));
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
        assert_eq!(product_kind(), Kind::Float);
    }

    #[test]
    fn autocast_does_not_apply_to_other_threads() {
        let other = autocast(Device::Cpu, Kind::BFloat16, || std::thread::spawn(product_kind).join().unwrap());
        assert_eq!(other.unwrap(), Kind::Float);
    }

    #[test]
    fn unsupported_kinds_and_devices_are_errors() {
        for (device, kind) in [(Device::Cpu, Kind::Float), (Device::Cpu, Kind::Int64), (Device::Mps, Kind::Half)] {
            let error = autocast(device, kind, || panic!("never run")).unwrap_err();
            assert!(error.to_string().contains("is not supported"), "{error}");
        }
    }

    #[test]
    fn gradients_of_parameters_keep_the_kind_of_the_parameters() {
        let weight = Tensor::ones([4, 4], CPU).set_requires_grad(true);
        let y = autocast(Device::Cpu, Kind::BFloat16, || Tensor::ones([2, 4], CPU).matmul(&weight)).unwrap();
        assert_eq!(y.kind(), Kind::BFloat16);
        y.sum(Kind::Float).backward();
        assert_eq!(weight.grad().kind(), Kind::Float);
    }
}
