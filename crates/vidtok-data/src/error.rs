//! What can go wrong in making clips.

use std::io;
use std::path::PathBuf;

use vidtok_core::VideoError;

/// Clips cannot be made. A single video that cannot be used is no such error: it is set aside.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Videos cannot be read for a reason that lies in none of them.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// There is nothing to take clips from.
    #[error("there are no videos to take clips from")]
    NoVideos,
    /// All videos had to be set aside.
    #[error("none of {videos} video(s) can be used; the first of them: {path}: {reason}")]
    NoneUsable {
        /// How many there are.
        videos: usize,
        /// The first in the list.
        path: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// A clip of nothing was asked for.
    #[error("clips of {frames} frames of {height}x{width}, shorter side {shorter_side}: each must be at least 1")]
    EmptyClip {
        /// Frames in a clip.
        frames: usize,
        /// Rows.
        height: i64,
        /// Columns.
        width: i64,
        /// What the shorter side of a video is resized to.
        shorter_side: i64,
    },
    /// A batch of no clips was asked for.
    #[error("batches of 0 clips: there must be at least 1")]
    EmptyBatch,
    /// A batch was to be shared by processes that cannot have equal parts of it.
    #[error("a batch of {batch} clips has no equal parts for {count} processes")]
    UnevenBatch {
        /// Clips in the batch.
        batch: usize,
        /// How many there are.
        count: usize,
    },
    /// Nothing can be chosen by these weights.
    #[error("weights {weights:?}: they must be numbers from 0 on, and one above 0")]
    Weights {
        /// The weights.
        weights: Vec<f64>,
    },
    /// No video is long enough to keep clips apart.
    #[error(
        "none of {videos} video(s) is long enough to hold out {clips} clip(s) and still to train on: that takes \
         {needed:.2} s, and the longest has {longest:.2} s; hold out fewer clips (data.held_out, 0 for none), take \
         shorter ones (data.frames, or a higher data.sample_fps), or measure on other videos (validation.videos)"
    )]
    NothingHeldOut {
        /// Clips that were to be held out of each video.
        clips: usize,
        /// Videos that can be used.
        videos: usize,
        /// Seconds of the one that comes closest.
        longest: f64,
        /// Seconds that it would need.
        needed: f64,
    },
    /// The index or the list of what was set aside cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// A thread that makes clips panicked.
    #[error("a thread that makes clips ended early: {message}")]
    Panicked {
        /// What it said, on one line.
        message: String,
    },
    /// The loader that the clips were for is gone.
    #[error("the making of clips was stopped")]
    Stopped,
}
