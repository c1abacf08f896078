//! Video in and out through an ffmpeg program that runs as a child process.
//!
//! A separate process costs one copy of the pixels through a pipe and buys isolation: a decoder that crashes on a
//! broken file cannot take the trainer with it, and nothing has to be linked.
//!
//! Imports run downwards in this order: `writer`, `reader`; `probe`, `conversion`; `process`; `locate`; and the values
//! below them (`timeline`, `sound`, `container`, `pace`, `stream_format`, `tone_mapper`, `messages`, `stop`).

mod container;
mod conversion;
mod ivf;
pub(crate) mod locate;
mod messages;
pub(crate) mod notice;
mod pace;
mod probe;
mod process;
pub(crate) mod read_options;
pub(crate) mod reader;
mod sound;
mod source_file;
pub(crate) mod stop;
pub(crate) mod stream_format;
pub(crate) mod timeline;
mod tone_mapper;
pub(crate) mod write_options;
pub(crate) mod writer;
