//! What can go wrong with a video, whatever backend reads or writes it.

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
        /// What the system said.
        source: std::io::Error,
    },
    /// The file cannot be looked at, together with what lies beside it: a drive or a network is away. It may be whole.
    #[error("{}: cannot be reached: {source}", path.display())]
    Unreachable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program that decodes and encodes video cannot be run, or failed for a reason that it does not seek in the
    /// video: it was killed, or the system ran out of something.
    #[error("the video program {} failed: {source}", program.display())]
    Backend {
        /// The program.
        program: PathBuf,
        /// What the system or the program said.
        source: std::io::Error,
    },
    /// The file is not a video that the backend can decode, or it is damaged.
    #[error("{}: cannot decode: {message}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What the backend said, on one line.
        message: String,
    },
    /// The frames cannot be encoded.
    #[error("{}: cannot encode: {message}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What the backend said, on one line.
        message: String,
    },
    /// The file holds no frame.
    #[error("{}: the video has no frames", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A frame past the end was asked for.
    #[error("{}: frame {index} does not exist, the video has {frames}", path.display())]
    NoSuchFrame {
        /// The file.
        path: PathBuf,
        /// The frame that was asked for, from 0.
        index: u64,
        /// The number of frames.
        frames: u64,
    },
}
