//! What is counted in a dataset: statistics of each shard, and their totals in the manifest.

pub(crate) mod manifest;
pub(crate) mod statistics;
