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
