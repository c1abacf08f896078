//! Videos as sequences of frames: the traits that readers and writers implement.

pub(crate) mod error;
pub(crate) mod frame_times;
pub(crate) mod pixel_aspect;
pub(crate) mod pixels;
pub(crate) mod tensor_bytes;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use tch::Tensor;

use crate::video::error::VideoError;
use crate::video::frame_times::FrameTimes;

/// Frames per second as an exact fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameRate {
    num: u32,
    den: u32,
}

/// The text is not a frame rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a frame rate: expected a positive number or a fraction such as 30000/1001")]
pub struct ParseFrameRateError {
    text: String,
}

impl FrameRate {
    /// `num / den` frames per second; `None` unless both are positive.
    #[must_use]
    pub const fn new(num: u32, den: u32) -> Option<Self> {
        if num > 0 && den > 0 { Some(Self { num, den }) } else { None }
    }

    /// The nearest fraction with a denominator of 1 or 1000; `None` unless `fps` is positive, finite and below 1e6.
    #[must_use]
    pub fn from_f64(fps: f64) -> Option<Self> {
        if !(fps.is_finite() && fps < 1e6) {
            return None;
        }
        let whole = fps.fract() == 0.0;
        let den = if whole { 1 } else { 1000 };
        Self::new((fps * f64::from(den)).round() as u32, den)
    }

    /// Frames per second.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// The numerator (frames) and the denominator (seconds), as they were given.
    #[must_use]
    pub fn fraction(self) -> (u32, u32) {
        (self.num, self.den)
    }

    /// The exact rate of every n-th frame, in lowest terms; `None` if `n` is 0 or the fraction overflows.
    #[must_use]
    pub fn every(self, n: u32) -> Option<Self> {
        if n == 1 {
            return Some(self);
        }
        Self::reduced(u64::from(self.num), u64::from(self.den) * u64::from(n))
    }

    /// `num / den` in lowest terms; `None` if one of them is 0 or too large.
    pub(crate) fn reduced(num: u64, den: u64) -> Option<Self> {
        let (mut divisor, mut rest) = (num.max(1), den);
        while rest > 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        Self::new(u32::try_from(num / divisor).ok()?, u32::try_from(den / divisor).ok()?)
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.den {
            1 => write!(f, "{}", self.num),
            _ => write!(f, "{}/{}", self.num, self.den),
        }
    }
}

impl FromStr for FrameRate {
    type Err = ParseFrameRateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.split_once('/') {
            Some((num, den)) => num.parse().ok().zip(den.parse().ok()).and_then(|(num, den)| Self::new(num, den)),
            None => match text.parse() {
                Ok(whole) => Self::new(whole, 1),
                Err(_) => text.parse().ok().and_then(Self::from_f64),
            },
        };
        parsed.ok_or_else(|| ParseFrameRateError { text: text.to_owned() })
    }
}

/// A video's properties, which are known before its frames are read.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoInfo {
    /// Width in pixels, as displayed (after rotation).
    pub width: i64,
    /// Height in pixels, as displayed (after rotation).
    pub height: i64,
    /// Average frames per second.
    pub frame_rate: FrameRate,
    /// The exact number of frames.
    pub frames: u64,
    /// Each frame's time, if the rate is not constant.
    pub times: Option<FrameTimes>,
}

impl VideoInfo {
    /// The properties of the video's first `frames` frames, or of the whole video if it has fewer.
    #[must_use]
    pub fn first(&self, frames: u64) -> Self {
        let frames = self.frames.min(frames);
        let times = self.times.as_ref().and_then(|times| times.select(0..frames));
        Self { frames, times, ..self.clone() }
    }
}

/// A video that can be read.
pub trait FrameSource {
    /// Size, rate and number of frames.
    fn info(&self) -> &VideoInfo;

    /// The file, for messages.
    fn path(&self) -> &Path;

    /// The next frames in order, at most `max` of them: uint8 `[t, h, w, 3]` RGB with 1 <= t <= `max`, or `None` at
    /// the end.
    ///
    /// # Errors
    /// If the file is damaged or ends before [`VideoInfo::frames`] frames.
    fn next_frames(&mut self, max: usize) -> Result<Option<Tensor>, VideoError>;

    /// The frames with these indices (from 0, not descending, repeats allowed): uint8 `[t, h, w, 3]` RGB.
    ///
    /// The pixels are the same as those that [`next_frames`](Self::next_frames) returns at these indices, and its position
    /// does not change.
    ///
    /// # Errors
    /// If an index lies past the end or the file is damaged.
    fn frames_at(&self, indices: &[u64]) -> Result<Tensor, VideoError>;
}

/// A video that is being written. It has its final name only after [`finish`](Self::finish).
pub trait FrameSink {
    /// Appends frames: uint8 `[t, h, w, 3]` RGB of the size that the sink was created for.
    ///
    /// # Errors
    /// If the backend refuses them or has ended.
    fn write(&mut self, frames: &Tensor) -> Result<(), VideoError>;

    /// Ends the video and gives the file its final name. The sink takes no more frames afterwards.
    ///
    /// # Errors
    /// If the backend or the file system fails; no file is left behind then.
    fn finish(&mut self) -> Result<(), VideoError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_rates_print_as_they_parse() {
        for text in ["25", "1200000", "30000/1001", "12500/1000"] {
            assert_eq!(text.parse::<FrameRate>().unwrap().to_string(), text);
        }
        assert_eq!("12.5".parse::<FrameRate>().unwrap(), FrameRate::new(12500, 1000).unwrap());
    }

    #[test]
    fn every_nth_frame_has_an_exact_fraction_of_the_rate() {
        let rate = FrameRate::new(30000, 1001).unwrap();
        assert_eq!(rate.every(2), FrameRate::new(15000, 1001));
        assert_eq!(rate.every(7), FrameRate::new(30000, 7007));
        assert_eq!(FrameRate::new(30, 1).unwrap().every(3), FrameRate::new(10, 1));
        assert_eq!((rate.every(0), rate.every(u32::MAX)), (None, None));
    }

    #[test]
    fn zero_negative_and_infinite_rates_are_refused() {
        for text in ["0", "-1", "inf", "nan", "1/0", "0/1", "", "fast"] {
            assert!(text.parse::<FrameRate>().is_err(), "{text}");
        }
    }
}
