//! Processes that share a training step: who they are, and how a launcher tells them.

pub(crate) mod launch;
pub(crate) mod process_group;
