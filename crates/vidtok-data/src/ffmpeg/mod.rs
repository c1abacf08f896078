//! Video in and out through an ffmpeg program that runs as a child process.
//!
//! A process of its own costs one copy of the pixels through a pipe and buys isolation: a decoder that crashes on a
//! broken file cannot take the trainer with it, and nothing has to be linked.

pub(crate) mod container;
pub(crate) mod conversion;
pub(crate) mod ivf;
pub(crate) mod locate;
pub(crate) mod messages;
pub(crate) mod picture;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod reader;
pub(crate) mod stop;
pub(crate) mod timeline;
pub(crate) mod writer;

use std::ffi::OsString;
use std::path::Path;

/// How ffmpeg is given a file name: without the prefix it would take `a:b.mp4` for a protocol and `-a.mp4` for an
/// option.
fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// Bytes of one RGB frame.
fn frame_bytes(width: i64, height: i64) -> usize {
    let pixels = width.max(0) as usize * height.max(0) as usize;
    pixels * 3
}
