//! Whole videos in order, for evaluations and token datasets.

pub(crate) mod ahead;
pub(crate) mod prepared;
pub(crate) mod regroup;
