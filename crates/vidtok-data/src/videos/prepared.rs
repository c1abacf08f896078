//! Whole videos in order, at one frame rate and size, as evaluations and token datasets need them.

use std::path::Path;

use tch::Tensor;
use vidtok_core::{FrameRate, FrameSource, FrameTimes, PixelAspect, VideoError, VideoInfo};

use crate::ffmpeg::notice::Notice;
use crate::ffmpeg::program::locate::Ffmpeg;
use crate::input::{InputOptions, InputReader};
use crate::sampling::Sampling;
use crate::transform::{prepare, resized_size};
use crate::videos::regroup::Regroup;

/// The most frames read at a time.
const READ: i64 = 16;
/// The most bytes of float32 frames read at a time, but at least one frame.
const READ_BYTES: i64 = 16 << 20;

/// Which frames of a video are taken, and how they are resized and cropped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preparation {
    /// The frame rate to approximate, see [`Sampling`]; `None` takes all frames.
    pub sample_fps: Option<f64>,
    /// The size to which the shorter side is resized (antialiased bilinear); `None` keeps it.
    pub shorter_side: Option<i64>,
    /// `[height, width]` of the centre crop; smaller frames are padded with black. `None` keeps the whole frame.
    pub crop: Option<[i64; 2]>,
    /// The most frames to take, from the first on; `None` takes all.
    pub max_frames: Option<usize>,
    /// How inputs are opened.
    pub input: InputOptions,
}

impl Preparation {
    /// The published preparation: resizes the shorter side to the height of `size` (`[height, width]`) and crops the
    /// centre.
    #[must_use]
    pub fn fit(size: [i64; 2]) -> Self {
        Self { shorter_side: Some(size[0]), crop: Some(size), ..Self::default() }
    }

    /// The size `[height, width]` of frames of `size` after resizing, before cropping.
    #[must_use]
    pub fn resized(&self, size: [i64; 2]) -> [i64; 2] {
        self.shorter_side.map_or(size, |side| resized_size(size, side))
    }

    /// The size `[height, width]` of frames of `size` after preparation.
    #[must_use]
    pub fn size(&self, size: [i64; 2]) -> [i64; 2] {
        self.crop.unwrap_or_else(|| self.resized(size))
    }
}

/// The most bytes of frames of `size` (`[height, width]`) that are read at a time, as float32.
pub(crate) fn chunk_bytes(size: [i64; 2]) -> u64 {
    (chunk_frames(size) * frame_bytes(size)).unsigned_abs()
}

fn chunk_frames(size: [i64; 2]) -> i64 {
    (READ_BYTES / frame_bytes(size).max(1)).clamp(1, READ)
}

/// Bytes of a frame as float32.
fn frame_bytes([height, width]: [i64; 2]) -> i64 {
    3 * size_of::<f32>() as i64 * height * width
}

/// The prepared frames of one video, in order.
#[derive(Debug)]
pub struct PreparedVideo {
    reader: InputReader,
    preparation: Preparation,
    sampling: Sampling,
    /// The taken frames, before resizing.
    taken: VideoInfo,
    /// Source frames read so far.
    read: u64,
    returned: usize,
    /// Prepared frames that were not returned yet.
    ready: Regroup,
}

impl PreparedVideo {
    /// Opens and probes a video.
    ///
    /// # Errors
    /// As [`InputReader::open`].
    pub fn open(ffmpeg: &Ffmpeg, path: &Path, preparation: &Preparation) -> Result<Self, VideoError> {
        let reader = InputReader::open(ffmpeg, path, &preparation.input)?;
        let info = reader.info();
        let sampling = Sampling::of(info, preparation.sample_fps);
        let taken = sampling.apply(info, preparation.sample_fps).ok_or_else(|| VideoError::Decode {
            path: path.to_owned(),
            message: format!("the rate of {} of its frames is too low to express", sampling.count(info.frames)),
        })?;
        let taken = preparation.max_frames.map_or(taken.clone(), |max| taken.first(max as u64));
        let preparation = preparation.clone();
        Ok(Self { reader, preparation, sampling, taken, read: 0, returned: 0, ready: Regroup::default() })
    }

    /// The source video.
    #[must_use]
    pub fn source(&self) -> &VideoInfo {
        self.reader.info()
    }

    /// The number of frames after sampling.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.taken.frames as usize
    }

    /// `[height, width]` of the prepared frames.
    #[must_use]
    pub fn size(&self) -> [i64; 2] {
        let info = self.reader.info();
        self.preparation.size([info.height, info.width])
    }

    /// The frame rate after sampling.
    #[must_use]
    pub fn frame_rate(&self) -> FrameRate {
        self.taken.frame_rate
    }

    /// The frame times after sampling, if the rate is not constant.
    #[must_use]
    pub fn times(&self) -> Option<&FrameTimes> {
        self.taken.times.as_ref()
    }

    /// The shape of a pixel, which the preparation does not change.
    #[must_use]
    pub fn pixel_aspect(&self) -> PixelAspect {
        self.reader.format().pixel_aspect
    }

    /// What users should know about how the video is read.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        self.reader.notices()
    }

    /// The next frames, `count` unless the video ends first: `[1, 3, t, h, w]` in [-1, 1], or `None` at the end.
    ///
    /// # Errors
    /// If the file is damaged or has fewer frames than probed.
    pub fn next(&mut self, count: usize) -> Result<Option<Tensor>, VideoError> {
        let count = count.min(self.frames() - self.returned);
        while self.ready.frames() < count as i64 {
            let Some(frames) = self.read()? else { break };
            self.ready.push(frames);
        }
        let frames = self.ready.take(count as i64);
        self.returned += frames.as_ref().map_or(0, |frames| frames.size()[2] as usize);
        Ok(frames)
    }

    /// The next chunk of frames, at least one frame: `[1, 3, t, h, w]` in [-1, 1], or `None` at the end.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<Tensor>, VideoError> {
        self.next(self.chunk())
    }

    /// Frames to read at a time: few if the source's or the prepared frames are large.
    fn chunk(&self) -> usize {
        let info = self.reader.info();
        chunk_frames([info.height, info.width]).min(chunk_frames(self.size())) as usize
    }

    /// Reads and prepares a chunk, which may contain no taken frame; `None` at the end.
    fn read(&mut self) -> Result<Option<Tensor>, VideoError> {
        let chunk = self.chunk();
        let Some(frames) = self.reader.next_frames(chunk)? else { return Ok(None) };
        let start = self.read;
        self.read += frames.size()[0] as u64;
        let taken = self.sampling.take(&frames, start);
        Ok(Some(prepare(&taken, self.preparation.shorter_side, self.preparation.crop)))
    }

    /// The next window of `length` frames, and how many of them are real: the last frame is repeated where the video
    /// ends early.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn next_window(&mut self, length: usize) -> Result<Option<(Tensor, usize)>, VideoError> {
        let Some(frames) = self.next(length)? else { return Ok(None) };
        let real = frames.size()[2];
        let missing = length as i64 - real;
        if missing == 0 {
            return Ok(Some((frames, length)));
        }
        let last = frames.narrow(2, real - 1, 1).expand([-1, -1, missing, -1, -1], false);
        Ok(Some((Tensor::cat(&[&frames, &last], 2), real as usize)))
    }
}
