//! Collective operations between processes, and the OpenMP runtimes that they load.

pub(crate) mod openmp;
pub(crate) mod process_group;
