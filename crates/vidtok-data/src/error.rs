//! The errors of making clips.

use std::any::Any;
use std::io;
use std::path::PathBuf;

use vidtok_core::VideoError;

/// Why clips cannot be made. A single bad video is not such an error: it is skipped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Reading failed for a reason that lies in no single video.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// The list of videos is empty.
    #[error("no videos to take clips from")]
    NoVideos,
    /// All videos are skipped.
    #[error("none of {videos} video(s) can be used; the first is {path}: {reason}")]
    NoneUsable {
        /// The number of videos.
        videos: usize,
        /// The first video of the list.
        path: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// A clip would have no pixels.
    #[error("clips of {frames} frames of {height}x{width}, shorter side {shorter_side}: expected at least 1 of each")]
    EmptyClip {
        /// Frames per clip.
        frames: usize,
        /// Rows.
        height: i64,
        /// Columns.
        width: i64,
        /// The size to which a video's shorter side is resized.
        shorter_side: i64,
    },
    /// A batch would have no clips.
    #[error("batches of 0 clips: expected at least 1")]
    EmptyBatch,
    /// A batch does not divide evenly among the processes.
    #[error("a batch of {batch} clips cannot be divided evenly among {processes} processes")]
    UnevenBatch {
        /// Clips per batch.
        batch: usize,
        /// The number of processes.
        processes: usize,
    },
    /// The weights of a mixture are invalid.
    #[error("weights {weights:?}: expected finite numbers of at least 0, one of them above 0")]
    Weights {
        /// The weights.
        weights: Vec<f64>,
    },
    /// No video is long enough to hold out clips.
    #[error(
        "none of {videos} video(s) is long enough to hold out {clips} clip(s) and still to train on: that takes \
         {needed:.2} s, and the longest has {longest:.2} s; hold out fewer clips (data.held_out, 0 for none), take \
         shorter ones (data.frames, or a higher data.sample_fps), or validate on other videos (validation.videos)"
    )]
    NothingHeldOut {
        /// Clips to hold out of each video.
        clips: usize,
        /// The number of usable videos.
        videos: usize,
        /// The duration of the video that comes closest, in seconds.
        longest: f64,
        /// The duration that it would need, in seconds.
        needed: f64,
    },
    /// The index or the list of skipped videos cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// A thread that makes clips panicked.
    #[error("a loader thread panicked: {message}")]
    Panicked {
        /// The first line of the panic's message.
        message: String,
    },
    /// The loader that needed the clips is gone.
    #[error("loading clips was stopped")]
    Stopped,
}

impl LoadError {
    /// The error for a thread that ended with this panic.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        let message = text.and_then(|text| text.lines().next()).unwrap_or("no message").to_owned();
        Self::Panicked { message }
    }
}
