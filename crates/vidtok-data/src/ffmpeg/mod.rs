//! Video in and out through an ffmpeg program that runs as a child process.
//!
//! A process of its own costs one copy of the pixels through a pipe and buys isolation: a decoder that crashes on a
//! broken file cannot take the trainer with it, and nothing has to be linked.

mod container;
mod conversion;
mod ivf;
mod locate;
mod messages;
mod picture;
mod probe;
mod process;
mod reader;
mod stop;
mod timeline;
mod writer;

pub use locate::Ffmpeg;
pub(crate) use picture::Picture;
pub use reader::VideoReader;
pub use stop::Stop;
pub use timeline::Timeline;
pub use writer::{Destination, VideoQuality, VideoWriter, WriteOptions, save_png};

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
