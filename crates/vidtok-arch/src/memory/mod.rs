//! Estimates of the memory that a pass of the networks needs.

pub(crate) mod inference;
pub(crate) mod training;
