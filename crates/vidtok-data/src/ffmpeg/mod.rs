//! Video in and out through an ffmpeg program that runs as a child process.
//!
//! A separate process costs one copy of the pixels through a pipe and buys isolation: a decoder that crashes on a
//! broken file cannot take the trainer with it, and nothing has to be linked.
//!
//! `program/` finds and runs ffmpeg. `read/` and `writer.rs` use it. What a video has besides pixels, its
//! frame times and sound, is in `timeline.rs`, `pace.rs` and `sound.rs`.

pub(crate) mod container;
pub(crate) mod ivf;
pub(crate) mod notice;
pub(crate) mod pace;
pub(crate) mod program;
pub(crate) mod read;
pub(crate) mod sound;
pub(crate) mod timeline;
pub(crate) mod write_options;
pub(crate) mod writer;
