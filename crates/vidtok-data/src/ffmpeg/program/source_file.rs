//! What every ffmpeg that reads a video needs: checks of the file, options, and errors that name it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use vidtok_core::VideoError;

/// A path as an argument for ffmpeg. Without the prefix, `a:b.mp4` would be a protocol and `-a.mp4` an option.
pub(crate) fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// Options before every input, so that a playlist cannot open network connections.
pub(crate) const NO_CONNECTIONS: [&str; 2] = ["-protocol_whitelist", "file,pipe"];

/// The options before every video input.
pub(crate) fn input_options() -> [&'static str; 4] {
    let [option, value] = NO_CONNECTIONS;
    // The filters count frames, so they must not be rebuilt where the size or colours change.
    [option, value, "-reinit_filter", "0"]
}

/// Refuses a path that is not a regular file with content, before ffmpeg guesses.
pub(crate) fn check_file(path: &Path) -> Result<(), VideoError> {
    let io_error = |source| VideoError::Io { path: path.to_owned(), source };
    let meta = fs::metadata(path).map_err(io_error)?;
    if meta.is_dir() {
        return Err(io_error(io::ErrorKind::IsADirectory.into()));
    }
    if !meta.is_file() {
        return Err(io_error(io::Error::other("not a regular file")));
    }
    if meta.len() == 0 {
        return Err(decode_error(path, "the file is empty"));
    }
    Ok(())
}

pub(crate) fn decode_error(path: &Path, message: impl Into<String>) -> VideoError {
    VideoError::Decode { path: path.to_owned(), message: message.into() }
}

/// The number of bytes of one RGB frame.
pub(crate) fn frame_bytes(width: i64, height: i64) -> usize {
    let pixels = width.max(0) as usize * height.max(0) as usize;
    pixels * 3
}
