//! What is known of video files, so that each needs to be looked at once only.
//!
//! An exact number of frames takes the decoding of all of them. It is kept in a file of one line a video, readable by
//! people: `{"path":"/clips/a.mp4","size":5120,"mtime_ns":...,"picture":{},"frames":250,"fps":"30000/1001","width":..,
//! "height":..}`, where `picture` holds what is unusual of its pixels. A video whose size or time has changed is looked at
//! again, and of several lines the last counts. Only good videos are listed: whatever kept one from being read may have
//! gone when the next run begins.
//!
//! The file may come with the data, so it is not believed: numbers that no video has are passed over, and a video that
//! turns out not to be what its line says is looked at again before it is judged.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use vidtok_core::{FrameRate, FrameSource, FrameTimes, VideoError, VideoInfo};

use crate::clips::quarantine::Fault;
use crate::error::LoadError;
use crate::ffmpeg::locate::Ffmpeg;
use crate::ffmpeg::picture::Picture;
use crate::file_stamp::FileStamp;
use crate::input::{InputOptions, InputReader};
use crate::json_lines::JsonLines;

/// The most pixels of a frame: about what ffmpeg decodes at most.
const MOST_PIXELS: i64 = 1 << 28;
/// The most frames: more than a year of them at 100 a second.
const MOST_FRAMES: u64 = 1 << 32;
/// The rates that are possible: from a frame a day to one each tick of a clock of nanoseconds.
const RATES: std::ops::RangeInclusive<f64> = 1e-5..=1e9;

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

    /// What is known of a video, if it has not changed since; nothing has been checked.
    pub(crate) fn recall(&self, path: &Path) -> Option<(VideoInfo, Picture)> {
        let stamp = FileStamp::at(path).ok()?;
        let known = self.known().get(key(path)?.as_str()).cloned()?;
        if known.stamp == stamp { known.described() } else { None }
    }

    /// Describes a video by decoding it, and remembers that.
    pub(crate) fn look(
        &self,
        ffmpeg: &Ffmpeg,
        path: &Path,
        options: &InputOptions,
    ) -> Result<(VideoInfo, Picture), Fault> {
        let io_error = |source| VideoError::Io { path: path.to_owned(), source };
        // Before the look: should the file change meanwhile, the next run looks again.
        let stamp =
            options.reach.patiently(path, || ffmpeg.stop().is_stopped(), || FileStamp::at(path).map_err(io_error))?;
        let video = InputReader::open(ffmpeg, path, options)?;
        let (info, picture) = (video.info().clone(), video.picture().clone());
        if let Some(path) = key(path) {
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

/// The name of a video; none if it is no text, which cannot stand in the file: such a video is looked at in each run.
fn key(path: &Path) -> Option<String> {
    std::path::absolute(path).ok()?.to_str().map(str::to_owned)
}

impl Known {
    fn new(stamp: FileStamp, info: &VideoInfo, picture: &Picture) -> Self {
        let VideoInfo { width, height, frame_rate, frames, times } = info.clone();
        Self { stamp, frames, fps: frame_rate.to_string(), width, height, times, picture: Some(picture.clone()) }
    }

    /// None if no video is so, or an earlier version has written less.
    fn described(self) -> Option<(VideoInfo, Picture)> {
        let Self { frames, width, height, times, .. } = self;
        let frame_rate: FrameRate = self.fps.parse().ok()?;
        let has_size = width > 0 && height > 0 && width.checked_mul(height).is_some_and(|pixels| pixels <= MOST_PIXELS);
        let all_timed = times.as_ref().is_none_or(|times| times.frames() == frames);
        let has_frames = (1..=MOST_FRAMES).contains(&frames) && all_timed && RATES.contains(&frame_rate.as_f64());
        let info = VideoInfo { width, height, frame_rate, frames, times };
        self.picture.filter(|_| has_size && has_frames).map(|picture| (info, picture))
    }
}
