//! What is known of video files, so that each needs to be looked at once only.
//!
//! An exact number of frames takes the decoding of all of them. It is kept in a file of one line a video, readable by
//! people: `{"path":"/clips/a.mp4","size":5120,"mtime_ns":...,"picture":{},"frames":250,"fps":"30000/1001","width":..,
//! "height":..}`, where `picture` holds what is unusual of its pixels. A video whose size or time has changed is looked at
//! again, and of several lines the last counts. Only good videos are listed: whatever kept one from being read may have
//! gone when the next run begins.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use vidtok_core::{FrameSource, FrameTimes, VideoError, VideoInfo};

use crate::LoadError;
use crate::ffmpeg::{Ffmpeg, Picture, VideoReader};
use crate::json_lines::JsonLines;
use crate::quarantine::Fault;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    path: String,
    #[serde(flatten)]
    known: Known,
}

/// What is known of a file, and how it looked then.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    #[serde(flatten)]
    stamp: FileStamp,
    /// None in lines of a version that did not look for it.
    picture: Option<Picture>,
    frames: u64,
    fps: String,
    width: i64,
    height: i64,
    /// Where the rate is not constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<FrameTimes>,
}

/// What tells a file from what it was before: one that is written again gets another stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Bytes.
    pub size: u64,
    /// When it was written, in nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// Descriptions of videos by their absolute paths; in a file too if there is one.
#[derive(Debug)]
pub(crate) struct Index {
    known: Mutex<HashMap<String, Known>>,
    file: Option<JsonLines>,
}

impl Index {
    /// Reads the file, or makes an empty one.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, LoadError> {
        let mut known = HashMap::new();
        let mut take = |entry: Entry| drop(known.insert(entry.path, entry.known));
        let file = path.map(|path| JsonLines::open(path, &mut take)).transpose()?;
        Ok(Self { known: Mutex::new(known), file })
    }

    /// Describes a video, decoding it if it is new or has changed.
    pub(crate) fn look(&self, ffmpeg: &Ffmpeg, path: &Path) -> Result<(VideoInfo, Picture), Fault> {
        let io_error = |source| VideoError::Io { path: path.to_owned(), source };
        // Before the look: should the file change meanwhile, the next run looks again.
        let stamp = FileStamp::of(&path.metadata().map_err(io_error)?);
        // A name that is no text cannot stand in the file; such a video is looked at in each run.
        let key = std::path::absolute(path).map_err(io_error)?.to_str().map(str::to_owned);
        let known = key.as_ref().and_then(|key| self.known().get(key).cloned());
        if let Some(described) = known.filter(|known| known.stamp == stamp).and_then(Known::described) {
            return Ok(described);
        }
        let video = VideoReader::open(ffmpeg, path)?;
        let (info, picture) = (video.info().clone(), video.picture().clone());
        if let Some(path) = key {
            let entry = Entry { path, known: Known::new(stamp, &info, &picture) };
            if let Some(file) = &self.file {
                file.append(&entry)?;
            }
            self.known().insert(entry.path, entry.known);
        }
        Ok((info, picture))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn new(stamp: FileStamp, info: &VideoInfo, picture: &Picture) -> Self {
        let VideoInfo { width, height, frame_rate, frames, times } = info.clone();
        Self { stamp, frames, fps: frame_rate.to_string(), width, height, times, picture: Some(picture.clone()) }
    }

    /// None if somebody has written what cannot be, or an earlier version less.
    fn described(self) -> Option<(VideoInfo, Picture)> {
        let Self { frames, width, height, times, .. } = self;
        let frame_rate = self.fps.parse().ok()?;
        let all_timed = times.as_ref().is_none_or(|times| times.frames() == frames);
        let info = VideoInfo { width, height, frame_rate, frames, times };
        self.picture.filter(|_| frames > 0 && width > 0 && height > 0 && all_timed).map(|picture| (info, picture))
    }
}

impl FileStamp {
    /// The stamp of a file that looks so.
    #[must_use]
    pub fn of(file: &Metadata) -> Self {
        let mtime_ns = file.mtime().saturating_mul(1_000_000_000).saturating_add(file.mtime_nsec());
        Self { size: file.len(), mtime_ns }
    }
}
