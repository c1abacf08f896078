//! Memory, operation counts and error texts of the libtorch that this process runs.

pub(crate) mod flops;
pub(crate) mod generator;
pub(crate) mod memory;
pub(crate) mod panic_message;
