//! The process's libtorch: its CUDA half, memory, operation counts and error messages.

pub(crate) mod cuda;
pub(crate) mod flops;
pub(crate) mod generator;
pub(crate) mod gpu_kernels;
pub(crate) mod loaded;
pub(crate) mod many;
pub(crate) mod memory;
pub(crate) mod panic_message;
