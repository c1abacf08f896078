//! Memory: how much is free, and how to cut the work on a clip to fit it.

pub(crate) mod free;
pub(crate) mod plan;
