//! Distributed training: ranks, process groups, and the launcher's environment variables.

pub(crate) mod launch;
pub(crate) mod process_group;
