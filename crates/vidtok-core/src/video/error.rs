//! Errors of reading and writing videos, for all backends.

use std::path::PathBuf;

/// An error of a [`FrameSource`](crate::FrameSource) or [`FrameSink`](crate::FrameSink).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VideoError {
    /// The file cannot be opened, created or renamed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file and its folder cannot be reached, because a drive or the network is away. The file itself may be whole.
    #[error("{}: cannot be reached: {source}", path.display())]
    Unreachable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The program that decodes and encodes video cannot be run, or failed for a reason other than the video: it was
    /// killed, or the system ran out of a resource.
    #[error("the video program {} failed: {source}", program.display())]
    Backend {
        /// The program.
        program: PathBuf,
        /// The error of the system or the program.
        source: std::io::Error,
    },
    /// The file is damaged, or not a video that the backend can decode.
    #[error("{}: cannot decode: {message}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The backend's message, on one line.
        message: String,
    },
    /// The frames cannot be encoded.
    #[error("{}: cannot encode: {message}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The backend's message, on one line.
        message: String,
    },
    /// The video has no frames.
    #[error("{}: the video has no frames", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A frame past the end was requested.
    #[error("{}: frame {index} does not exist, the video has {frames}", path.display())]
    NoSuchFrame {
        /// The file.
        path: PathBuf,
        /// The requested frame, from 0.
        index: u64,
        /// The number of frames.
        frames: u64,
    },
}
