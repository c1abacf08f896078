//! Videos whole and in order, at one rate and size: as evaluations and token datasets take them.

use std::path::Path;

use tch::Tensor;
use vidtok_core::{FrameRate, FrameSource, FrameTimes, PixelAspect, VideoError, VideoInfo};

use crate::ffmpeg::locate::Ffmpeg;
use crate::input::notice::Notice;
use crate::input::{InputOptions, InputReader};
use crate::sampling::Sampling;
use crate::transform::{prepare, resized_size};
use crate::videos::regroup::Regroup;

/// Frames that are read at a time at most ...
const READ: i64 = 16;
/// ... and bytes of them, but at least one frame.
const READ_BYTES: i64 = 16 << 20;

/// What is taken of each video, and how it is brought to one size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preparation {
    /// Frames are taken to come close to this rate, as [`Sampling`] says; `None`: all.
    pub sample_fps: Option<f64>,
    /// The shorter side is resized to this (bilinear, antialiased); `None`: as it is.
    pub shorter_side: Option<i64>,
    /// `[height, width]` that are cut out of the middle; what is smaller gets a border of black. `None`: all of it.
    pub crop: Option<[i64; 2]>,
    /// At most so many frames, from the first on; `None`: all.
    pub max_frames: Option<usize>,
    /// How videos are opened.
    pub input: InputOptions,
}

impl Preparation {
    /// The published one: the shorter side resized to the height of `size` (`[height, width]`), the middle cut out.
    #[must_use]
    pub fn fit(size: [i64; 2]) -> Self {
        Self { shorter_side: Some(size[0]), crop: Some(size), ..Self::default() }
    }

    /// `[height, width]` that frames of `size` are resized to, before the middle is cut out.
    #[must_use]
    pub fn resized(&self, size: [i64; 2]) -> [i64; 2] {
        self.shorter_side.map_or(size, |side| resized_size(size, side))
    }

    /// `[height, width]` that frames of `size` become.
    #[must_use]
    pub fn size(&self, size: [i64; 2]) -> [i64; 2] {
        self.crop.unwrap_or_else(|| self.resized(size))
    }
}

/// The most bytes that frames of `size` (`[height, width]`) take that are read at a time.
pub(crate) fn piece_bytes(size: [i64; 2]) -> u64 {
    (piece_frames(size) * frame_bytes(size)).unsigned_abs()
}

fn piece_frames(size: [i64; 2]) -> i64 {
    (READ_BYTES / frame_bytes(size).max(1)).clamp(1, READ)
}

/// Bytes of a frame as float32.
fn frame_bytes([height, width]: [i64; 2]) -> i64 {
    3 * size_of::<f32>() as i64 * height * width
}

/// The frames of one video, in order.
#[derive(Debug)]
pub struct PreparedVideo {
    reader: InputReader,
    preparation: Preparation,
    sampling: Sampling,
    /// What is taken, before it is resized.
    taken: VideoInfo,
    /// Source frames that were read.
    read: u64,
    given: usize,
    /// Frames that were not given yet.
    ready: Regroup,
}

impl PreparedVideo {
    /// Opens a video and looks at all of it.
    ///
    /// # Errors
    /// As [`InputReader::open`].
    pub fn open(ffmpeg: &Ffmpeg, path: &Path, preparation: &Preparation) -> Result<Self, VideoError> {
        let reader = InputReader::open(ffmpeg, path, &preparation.input)?;
        let info = reader.info();
        let sampling = Sampling::of(info, preparation.sample_fps);
        let taken = sampling.apply(info, preparation.sample_fps).ok_or_else(|| VideoError::Decode {
            path: path.to_owned(),
            message: format!("no frame rate is as slow as that of {} of its frames", sampling.count(info.frames)),
        })?;
        let taken = preparation.max_frames.map_or(taken.clone(), |max| taken.first(max as u64));
        let preparation = preparation.clone();
        Ok(Self { reader, preparation, sampling, taken, read: 0, given: 0, ready: Regroup::default() })
    }

    /// What the file holds.
    #[must_use]
    pub fn source(&self) -> &VideoInfo {
        self.reader.info()
    }

    /// Frames that are taken in all.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.taken.frames as usize
    }

    /// `[height, width]` of those.
    #[must_use]
    pub fn size(&self) -> [i64; 2] {
        let info = self.reader.info();
        self.preparation.size([info.height, info.width])
    }

    /// Frames per second of those.
    #[must_use]
    pub fn frame_rate(&self) -> FrameRate {
        self.taken.frame_rate
    }

    /// When each of those is shown, where their rate is not constant.
    #[must_use]
    pub fn times(&self) -> Option<&FrameTimes> {
        self.taken.times.as_ref()
    }

    /// The shape of their pixels, which the preparation does not change.
    #[must_use]
    pub fn pixel_aspect(&self) -> PixelAspect {
        self.reader.picture().pixel_aspect
    }

    /// What a user should know of how the frames are read.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        self.reader.notices()
    }

    /// The next frames, `count` unless the video ends: `[1, 3, t, h, w]` in [-1, 1], or `None` at the end.
    ///
    /// # Errors
    /// If the file is damaged or shorter than it said.
    pub fn next(&mut self, count: usize) -> Result<Option<Tensor>, VideoError> {
        let count = count.min(self.frames() - self.given);
        while self.ready.frames() < count as i64 {
            let Some(frames) = self.read()? else { break };
            self.ready.push(frames);
        }
        let frames = self.ready.take(count as i64);
        self.given += frames.as_ref().map_or(0, |frames| frames.size()[2] as usize);
        Ok(frames)
    }

    /// Those frames that are quickly at hand, at least one: `[1, 3, t, h, w]` in [-1, 1], or `None` at the end.
    pub(crate) fn next_piece(&mut self) -> Result<Option<Tensor>, VideoError> {
        self.next(self.piece())
    }

    /// Frames that are read at a time, few where those of the file are large or become so.
    fn piece(&self) -> usize {
        let info = self.reader.info();
        piece_frames([info.height, info.width]).min(piece_frames(self.size())) as usize
    }

    /// Prepared frames of the source's next ones, maybe none; `None` at the end.
    fn read(&mut self) -> Result<Option<Tensor>, VideoError> {
        let piece = self.piece();
        let Some(frames) = self.reader.next_frames(piece)? else { return Ok(None) };
        let start = self.read;
        self.read += frames.size()[0] as u64;
        let taken = self.sampling.take(&frames, start);
        Ok(Some(prepare(&taken, self.preparation.shorter_side, self.preparation.crop)))
    }

    /// The next window of `length` frames, the last frame repeated where the video ends early, and how many of them are
    /// no repetitions.
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
