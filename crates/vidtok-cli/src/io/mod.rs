//! Where commands read clips from and where they write them to.

pub(crate) mod clip;
pub(crate) mod output;
pub(crate) mod pipeline;
pub(crate) mod standard;
