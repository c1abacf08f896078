//! The ffmpeg program: finding it, running it, stopping it, and its messages.

pub(crate) mod locate;
pub(crate) mod messages;
pub(crate) mod process;
pub(crate) mod source_file;
pub(crate) mod stop;
pub(crate) mod tone_mapper;
