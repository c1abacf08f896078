//! Where commands read clips from and write them to.

pub(crate) mod clip;
pub(crate) mod pipeline;
pub(crate) mod standard;
