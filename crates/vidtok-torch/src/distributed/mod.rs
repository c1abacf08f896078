//! Collective operations between processes, and the OpenMP runtimes of this process.

pub(crate) mod openmp;
pub(crate) mod process_group;
