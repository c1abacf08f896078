//! Descriptions of video files, so that each video is probed only once.
//!
//! An exact frame count requires decoding all frames. The index keeps it in a file with one readable line per video:
//! `{"path":"/clips/a.mp4","size":5120,"mtime_ns":..,"picture":{},"frames":250,"fps":"25","width":..,"height":..}`,
//! where `picture` holds the unusual properties of its pixels. A video whose size or modification time has changed is
//! probed again; of several lines for one video, the last counts. Only good videos are listed, since the cause of an
//! error may be gone in the next run.
//!
//! The file may come with the data, so it is not trusted: impossible values are skipped, and a video that contradicts
//! its line is probed again before it is skipped.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use vidtok_core::{FrameRate, FrameSource, FrameTimes, VideoError, VideoInfo};

use crate::clips::skipped::ClipError;
use crate::error::LoadError;
use crate::ffmpeg::program::locate::Ffmpeg;
use crate::ffmpeg::read::stream_format::StreamFormat;
use crate::input::file_stamp::FileStamp;
use crate::input::{InputOptions, InputReader};
use crate::json_lines::JsonLines;

/// The most pixels of a frame, about ffmpeg's own limit.
const MOST_PIXELS: i64 = 1 << 28;
/// The most frames of a video: more than a year at 100 frames per second.
const MOST_FRAMES: u64 = 1 << 32;
/// Possible frame rates: from one frame per day to one per nanosecond.
const RATES: std::ops::RangeInclusive<f64> = 1e-5..=1e9;

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    path: String,
    #[serde(flatten)]
    known: Known,
}

/// The description of a file, with its stamp at that time.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    #[serde(flatten)]
    stamp: FileStamp,
    /// `None` in lines of versions that did not record it.
    #[serde(rename = "picture")]
    format: Option<StreamFormat>,
    frames: u64,
    fps: String,
    width: i64,
    height: i64,
    /// The frame times, if the rate is not constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<FrameTimes>,
}

/// Descriptions of videos by absolute path, optionally also in a file.
#[derive(Debug)]
pub(crate) struct Index {
    known: Mutex<HashMap<String, Known>>,
    file: Option<JsonLines>,
}

impl Index {
    /// Reads the file, or creates an empty one.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, LoadError> {
        let mut known = HashMap::new();
        let mut take = |entry: Entry| drop(known.insert(entry.path, entry.known));
        let file = path.map(|path| JsonLines::open(path, &mut take)).transpose()?;
        Ok(Self { known: Mutex::new(known), file })
    }

    /// The recorded description of a video, unverified; `None` if the video has changed since.
    pub(crate) fn recall(&self, path: &Path) -> Option<(VideoInfo, StreamFormat)> {
        let stamp = FileStamp::at(path).ok()?;
        let known = self.known().get(key(path)?.as_str()).cloned()?;
        if known.stamp == stamp { known.described() } else { None }
    }

    /// Probes a video and records its description.
    pub(crate) fn probe(
        &self,
        ffmpeg: &Ffmpeg,
        path: &Path,
        options: &InputOptions,
    ) -> Result<(VideoInfo, StreamFormat), ClipError> {
        let io_error = |source| VideoError::Io { path: path.to_owned(), source };
        // Taken before probing: should the file change meanwhile, the next run probes again.
        let stamp = options.retry.run(path, || ffmpeg.stop().is_stopped(), || FileStamp::at(path).map_err(io_error))?;
        let video = InputReader::open(ffmpeg, path, options)?;
        let (info, format) = (video.info().clone(), video.format().clone());
        if let Some(path) = key(path) {
            let entry = Entry { path, known: Known::new(stamp, &info, &format) };
            if let Some(file) = &self.file {
                file.append(&entry)?;
            }
            self.known().insert(entry.path, entry.known);
        }
        Ok((info, format))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of a video in the index. A path that is not UTF-8 has none and is probed in each run.
fn key(path: &Path) -> Option<String> {
    std::path::absolute(path).ok()?.to_str().map(str::to_owned)
}

impl Known {
    fn new(stamp: FileStamp, info: &VideoInfo, format: &StreamFormat) -> Self {
        let VideoInfo { width, height, frame_rate, frames, times } = info.clone();
        Self { stamp, frames, fps: frame_rate.to_string(), width, height, times, format: Some(format.clone()) }
    }

    /// The description; `None` if its values are impossible or an earlier version recorded less.
    fn described(self) -> Option<(VideoInfo, StreamFormat)> {
        let Self { frames, width, height, times, .. } = self;
        let frame_rate: FrameRate = self.fps.parse().ok()?;
        let has_size = width > 0 && height > 0 && width.checked_mul(height).is_some_and(|pixels| pixels <= MOST_PIXELS);
        let all_timed = times.as_ref().is_none_or(|times| times.frames() == frames);
        let has_frames = (1..=MOST_FRAMES).contains(&frames) && all_timed && RATES.contains(&frame_rate.as_f64());
        let info = VideoInfo { width, height, frame_rate, frames, times };
        self.format.filter(|_| has_size && has_frames).map(|format| (info, format))
    }
}
