//! The targets, one reader per file.

mod checkpoint;
mod config;
mod dataset;
mod encoded_clip;
mod index;
mod json_lines;
mod pickle;
mod saved_stream;
mod shard;
mod tensor_file;
mod tiny;

use crate::Target;

/// All targets.
pub const TARGETS: [Target; 12] = [
    pickle::TARGET,
    checkpoint::TARGET,
    tensor_file::TARGET,
    encoded_clip::TARGET,
    saved_stream::TARGET,
    shard::SAFETENSORS,
    shard::WEBDATASET,
    dataset::TARGET,
    config::MODEL,
    config::TRAINING,
    json_lines::TARGET,
    index::TARGET,
];
