//! Memory: what is free, and how much of a clip is processed at a time.

pub(crate) mod free;
pub(crate) mod plan;
