//! Videos as evaluations take them: in order, at one rate and size, in windows or whole.

use tch::Tensor;
use vidtok_core::{FrameRate, FrameSource, VideoError};

use crate::transform::fit;
use crate::{Ffmpeg, VideoReader, interval};

/// Frames of the source that are read at a time.
const READ: usize = 16;

/// What an evaluation takes of each video.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationRule {
    /// Every n-th frame is taken, to come close to this rate; `None`: all.
    pub sample_fps: Option<f64>,
    /// `[height, width]`: the shorter side is resized to the height, the middle cut out, as for training.
    pub size: [i64; 2],
    /// At most so many frames, from the first on; `None`: all.
    pub max_frames: Option<usize>,
}

/// The frames of one video, in order.
#[derive(Debug)]
pub struct EvaluationVideo {
    reader: VideoReader,
    rule: EvaluationRule,
    stride: u64,
    frames: usize,
    /// Source frames that were read.
    read: u64,
    given: usize,
    /// Prepared frames that were not given yet, `[1, 3, t, h, w]`.
    ready: Vec<Tensor>,
}

impl EvaluationVideo {
    /// Opens a video and looks at all of it.
    ///
    /// # Errors
    /// As [`VideoReader::open`].
    pub fn open(ffmpeg: &Ffmpeg, path: &std::path::Path, rule: &EvaluationRule) -> Result<Self, VideoError> {
        let reader = VideoReader::open(ffmpeg, path)?;
        let info = reader.info();
        let stride = rule.sample_fps.map_or(1, |fps| interval(info.frame_rate.as_f64(), fps)).max(1);
        let all = info.frames.div_ceil(stride) as usize;
        let frames = rule.max_frames.map_or(all, |max| all.min(max));
        Ok(Self { reader, rule: rule.clone(), stride, frames, read: 0, given: 0, ready: Vec::new() })
    }

    /// Frames that are taken in all.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Frames per second of those.
    #[must_use]
    pub fn frame_rate(&self) -> FrameRate {
        let rate = self.reader.info().frame_rate;
        if self.stride == 1 { rate } else { FrameRate::from_f64(rate.as_f64() / self.stride as f64).unwrap_or(rate) }
    }

    /// The next frames, `count` unless the video ends: `[1, 3, t, h, w]` in [-1, 1], or `None` at the end.
    ///
    /// # Errors
    /// If the file is damaged or shorter than it said.
    pub fn next(&mut self, count: usize) -> Result<Option<Tensor>, VideoError> {
        let count = count.min(self.frames - self.given);
        if count == 0 {
            return Ok(None);
        }
        let mut have: usize = self.ready.iter().map(|part| part.size()[2] as usize).sum();
        while have < count {
            let Some(frames) = self.reader.next_frames(READ)? else { break };
            let skipped = (self.stride - self.read % self.stride) % self.stride;
            let t = frames.size()[0];
            self.read += t as u64;
            let taken = frames.slice(0, (skipped as i64).min(t), None, self.stride as i64);
            if taken.size()[0] > 0 {
                have += taken.size()[0] as usize;
                self.ready.push(fit(&taken, self.rule.size));
            }
        }
        if have == 0 {
            return Ok(None);
        }
        let ready = Tensor::cat(&std::mem::take(&mut self.ready), 2);
        let count = count.min(have) as i64;
        let rest = ready.size()[2] - count;
        if rest > 0 {
            self.ready.push(ready.narrow(2, count, rest));
        }
        self.given += count as usize;
        Ok(Some(ready.narrow(2, 0, count)))
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
