//! The process's libtorch: memory, operation counts and error messages.

pub(crate) mod flops;
pub(crate) mod generator;
pub(crate) mod memory;
pub(crate) mod panic_message;
