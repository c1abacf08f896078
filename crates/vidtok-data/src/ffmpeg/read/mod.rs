//! From a video file to RGB frames.

pub(crate) mod conversion;
pub(crate) mod probe;
pub(crate) mod read_options;
pub(crate) mod reader;
pub(crate) mod stream_format;
