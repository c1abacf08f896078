//! Random numbers from a seed that leave libtorch's default generator as it was.

#![allow(unsafe_code)] // Calls of the shim.

use tch::Tensor;

use crate::shim;

/// Runs `draw` with libtorch's default CPU generator seeded as `tch::manual_seed` does, and then restores the
/// generator's earlier state, also after a panic. GPU generators are left alone.
///
/// The generator is shared by all threads, so no other thread should draw from it meanwhile.
pub fn with_seed<T>(seed: i64, draw: impl FnOnce() -> T) -> T {
    // SAFETY: C++ writes a new tensor to the pointer that `tensor` passes.
    let _restore = Restore(shim::tensor(|state| unsafe { shim::vidtok_generator_seed(seed, state) }));
    draw()
}

/// Restores a state of the generator when dropped.
struct Restore(Tensor);

impl Drop for Restore {
    fn drop(&mut self) {
        // SAFETY: the tensor lives during the call. The state is the generator's own, so setting it cannot fail.
        let _ = shim::check(unsafe { shim::vidtok_generator_restore(self.0.as_ptr()) });
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use tch::{Device, Kind};

    use super::*;

    fn numbers() -> Vec<f32> {
        Tensor::randn([20], (Kind::Float, Device::Cpu)).try_into().unwrap()
    }

    /// One test, because tests that run beside each other share the generator.
    #[test]
    fn a_seed_draws_manual_seeds_numbers_and_the_generator_goes_on_where_it_was() {
        let expected = with_seed(3, numbers);
        let (seeded, following) = with_seed(7, || {
            let first = numbers();
            let inner = with_seed(3, numbers);
            assert!(catch_unwind(AssertUnwindSafe(|| with_seed(5, || panic!("in the middle")))).is_err());
            ((first, inner), numbers())
        });
        assert_eq!(seeded.1, expected);
        let uninterrupted = with_seed(7, || (numbers(), numbers()));
        assert_eq!((seeded.0, following), uninterrupted);
    }
}
