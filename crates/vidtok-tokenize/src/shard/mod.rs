//! Files of tokens. A shard is written at once, and read in any range of a video's latent frames.
//!
//! The part file of a finished video has the format of a safetensors shard with one video.

pub(crate) mod assemble;
pub(crate) mod reader;
pub(crate) mod safetensors;
pub(crate) mod stored;
mod webdataset;
