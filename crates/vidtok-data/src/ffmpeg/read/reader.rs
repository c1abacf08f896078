//! Reading frames: in order, or by index.
//!
//! Both ways decode from the first frame with the same filters, so that they return the same pixels. Nothing is skipped
//! by seeking, since key frames of real files are not always where an index could trust them. Reading by index converts
//! and copies only the wanted frames and stops after the last, so it costs about as much as decoding up to there.
//!
//! Frames are 8-bit RGB in full range, converted by the matrix (BT.601, BT.709, ...) and range that the file names.
//! Without a named matrix, YUV with 720 stored rows or more is taken for BT.709 and any other for BT.601; without a
//! named range, for limited range. High dynamic range is tone-mapped to BT.709, and interlaced fields stay interleaved,
//! unless [`ReadOptions`] say otherwise. Transparency is dropped. The shape of pixels does not change frames; it is
//! part of the [`Timeline`]. If the size changes within a file, all frames get the first size.

use std::io::Read;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ChildStdout;

use tch::{Kind, Tensor};
use vidtok_core::{FrameSource, VideoError, VideoInfo};

use crate::ffmpeg::notice::Notice;
use crate::ffmpeg::program::locate::Ffmpeg;
use crate::ffmpeg::program::process::Process;
use crate::ffmpeg::program::source_file::{check_file, decode_error, file_url, frame_bytes, input_options};
use crate::ffmpeg::read::conversion::Conversion;
use crate::ffmpeg::read::probe::{Probed, lead, probe};
use crate::ffmpeg::read::read_options::ReadOptions;
use crate::ffmpeg::read::stream_format::StreamFormat;
use crate::ffmpeg::sound::Sound;
use crate::ffmpeg::timeline::Timeline;

/// The most ranges of frames in one filter expression. ffmpeg evaluates the whole expression for each frame.
const RANGES: usize = 200;

/// The most bytes allocated before they have arrived, since a wrong description may ask for any number.
const AT_ONCE: usize = 256 << 20;

type Range = RangeInclusive<u64>;

/// A video file that ffmpeg decodes.
#[derive(Debug)]
pub struct VideoReader {
    ffmpeg: Ffmpeg,
    path: PathBuf,
    info: VideoInfo,
    format: StreamFormat,
    options: ReadOptions,
    sound: Option<Sound>,
    /// A warning about lost data, although every frame is present.
    doubt: Option<String>,
    /// The running sequential read, from the first call until the end.
    stream: Option<FrameStream>,
    /// Frames returned in order so far.
    position: u64,
}

impl VideoReader {
    /// Opens a video and probes it: the number of frames is exact, and a file that opens is intact.
    ///
    /// Probing decodes every frame without converting it, which takes about 1.3 ms per frame of 1280x720 on two cores.
    ///
    /// # Errors
    /// [`VideoError::Io`] if the file cannot be opened, [`VideoError::Decode`] with ffmpeg's message if it is not a
    /// video or is damaged anywhere, [`VideoError::Empty`] if it has no frames.
    pub fn open(ffmpeg: &Ffmpeg, path: impl Into<PathBuf>) -> Result<Self, VideoError> {
        Self::open_with(ffmpeg, path, ReadOptions::default())
    }

    /// Opens a video like [`open`](Self::open), with a choice of how its pixels are converted.
    ///
    /// # Errors
    /// See [`open`](Self::open).
    pub fn open_with(ffmpeg: &Ffmpeg, path: impl Into<PathBuf>, options: ReadOptions) -> Result<Self, VideoError> {
        let path = path.into();
        let Probed { info, format, sound, doubt } = probe(ffmpeg, &path)?;
        Ok(Self { sound, doubt, ..Self::with_info(ffmpeg, path, info).with_format(format, options) })
    }

    /// A video whose description is known from an earlier [`open`](Self::open). Nothing is read yet.
    ///
    /// Missing frames are errors when they are read. The video is assumed to have no sound, named colours of standard
    /// range, and progressive frames.
    #[must_use]
    pub fn with_info(ffmpeg: &Ffmpeg, path: impl Into<PathBuf>, info: VideoInfo) -> Self {
        let (ffmpeg, path) = (ffmpeg.clone(), path.into());
        let (format, options) = (StreamFormat::default(), ReadOptions::default());
        Self { ffmpeg, path, info, format, options, sound: None, doubt: None, stream: None, position: 0 }
    }

    /// Adds what is known about the pixels, and how to convert them.
    pub(crate) fn with_format(self, format: StreamFormat, options: ReadOptions) -> Self {
        Self { format, options, ..self }
    }

    /// The properties of the pixels.
    pub(crate) fn format(&self) -> &StreamFormat {
        &self.format
    }

    /// What users should know about how the frames are read.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        let doubt = self.doubt.clone().map(Notice::DoubtfulLoss);
        self.ffmpeg.notices(&self.format, self.options).into_iter().chain(doubt).collect()
    }

    /// The times of the frames, the shape of pixels, and the sound.
    ///
    /// # Errors
    /// If the file has sound that cannot be read.
    pub fn timeline(&self) -> Result<Timeline, VideoError> {
        let sound = self.sound.clone().map(|sound| {
            let lead = lead(&self.ffmpeg, &self.path, &sound)?;
            Ok(sound.with_lead(lead))
        });
        let timeline = Timeline::of(&self.info).with_pixel_aspect(self.format.pixel_aspect);
        Ok(timeline.with_sound(sound.transpose()?))
    }

    fn tensor(&self, frames: u64, pixels: &[u8]) -> Tensor {
        let size = [frames as i64, self.info.height, self.info.width, 3];
        Tensor::from_data_size(pixels, &size, Kind::Uint8)
    }
}

impl FrameSource for VideoReader {
    fn info(&self) -> &VideoInfo {
        &self.info
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn next_frames(&mut self, max: usize) -> Result<Option<Tensor>, VideoError> {
        let left = self.info.frames - self.position;
        let count = left.min(max as u64);
        if count == 0 {
            return Ok(None);
        }
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None if self.position == 0 => FrameStream::start(self, None)?,
            None => return Err(decode_error(&self.path, "an earlier read failed")),
        };
        let pixels = stream.read(count)?;
        if count == left {
            stream.end()?;
        } else {
            self.stream = Some(stream);
        }
        self.position += count;
        Ok(Some(self.tensor(count, &pixels)))
    }

    fn frames_at(&self, indices: &[u64]) -> Result<Tensor, VideoError> {
        let mut wanted = indices.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let Some(&last) = wanted.last() else {
            return Ok(self.tensor(0, &[]));
        };
        if last >= self.info.frames {
            return Err(VideoError::NoSuchFrame { path: self.path.clone(), index: last, frames: self.info.frames });
        }
        let ranges = ranges(&wanted, RANGES);
        let mut stream = FrameStream::start(self, Some(&ranges))?;
        let mut pixels = Vec::with_capacity((wanted.len() * stream.frame_bytes).min(AT_ONCE));
        let mut rest = wanted.iter().peekable();
        for frame in ranges.into_iter().flatten() {
            let data = stream.read(1)?;
            if rest.next_if_eq(&&frame).is_some() {
                pixels.extend_from_slice(&data);
            }
        }
        stream.end()?;
        let frames = self.tensor(wanted.len() as u64, &pixels);
        if wanted == indices {
            return Ok(frames);
        }
        let positions: Vec<_> =
            indices.iter().map(|index| wanted.partition_point(|frame| frame < index) as i64).collect();
        Ok(frames.index_select(0, &Tensor::from_slice(&positions)))
    }
}

/// One run of ffmpeg that outputs frames.
#[derive(Debug)]
struct FrameStream {
    path: PathBuf,
    output: Option<ChildStdout>,
    process: Process,
    frame_bytes: usize,
    received: u64,
}

impl FrameStream {
    /// Starts decoding all frames of a video, or those of some ascending ranges.
    fn start(video: &VideoReader, ranges: Option<&[Range]>) -> Result<Self, VideoError> {
        let VideoReader { ffmpeg, path, info: VideoInfo { width, height, .. }, format, options, .. } = video;
        let (width, height) = (*width, *height);
        check_file(path)?;
        let conversion = Conversion::new(ffmpeg, format, *options, [width, height]);
        let Conversion { before, after } = conversion.map_err(|problem| decode_error(path, problem))?;
        let select = ranges.map(select).unwrap_or_default();
        let mut command = ffmpeg.command("warning");
        command.args(input_options()).arg("-i").arg(file_url(path)).args(["-map", "0:V:0"]);
        command.args(ffmpeg.passthrough()).arg("-vf").arg(before + &select + &after);
        if let Some(ranges) = ranges {
            let frames: u64 = ranges.iter().map(|range| range.end() - range.start() + 1).sum();
            command.args(["-frames:v", &frames.to_string()]);
        }
        command.args(["-enc_time_base:v", "1:1000", "-f", "rawvideo", "pipe:1"]);
        let mut process = Process::start(ffmpeg, &mut command)?;
        let output = process.output();
        Ok(Self { path: path.to_owned(), output, process, frame_bytes: frame_bytes(width, height), received: 0 })
    }

    /// Reads the next `count` frames, all of them.
    fn read(&mut self, count: u64) -> Result<Vec<u8>, VideoError> {
        let bytes = self.frame_bytes * count as usize;
        let mut pixels = Vec::with_capacity(bytes.min(AT_ONCE));
        if let Some(output) = &mut self.output {
            let read = output.take(bytes as u64).read_to_end(&mut pixels);
            read.map_err(|source| VideoError::Io { path: self.path.clone(), source })?;
        }
        self.received += (pixels.len() / self.frame_bytes.max(1)) as u64;
        if pixels.len() < bytes {
            self.check()?;
            let message = format!("ended after {} frames", self.received);
            return Err(decode_error(&self.path, message));
        }
        Ok(pixels)
    }

    /// Checks that no frames are left and that ffmpeg succeeded.
    fn end(mut self) -> Result<(), VideoError> {
        let more = match &mut self.output {
            Some(output) => output.read(&mut [0]).is_ok_and(|read| read > 0),
            None => false,
        };
        if more {
            return Err(decode_error(&self.path, "more frames than when it was probed"));
        }
        self.check()
    }

    /// Waits for the end of ffmpeg and returns its error, if any.
    fn check(&mut self) -> Result<(), VideoError> {
        self.output = None;
        self.process.end_of_reading(&self.path).map(drop)
    }
}

/// Covers ascending indices with at most `most` ranges. They include other frames only if there would be more ranges.
fn ranges(indices: &[u64], most: usize) -> Vec<Range> {
    let mut gap = 1;
    loop {
        let mut ranges: Vec<Range> = Vec::new();
        for &index in indices {
            match ranges.last_mut() {
                Some(range) if index - range.end() <= gap => *range = *range.start()..=index,
                _ => ranges.push(index..=index),
            }
        }
        if ranges.len() <= most {
            return ranges;
        }
        gap *= 2;
    }
}

/// The filter that passes the frames of these ranges.
fn select(ranges: &[Range]) -> String {
    let terms: Vec<_> = ranges.iter().map(|range| format!("between(n,{},{})", range.start(), range.end())).collect();
    format!("select='{}',", terms.join("+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_indices_share_a_range() {
        assert_eq!(ranges(&[0, 1, 2, 5, 9, 10], 10), [0..=2, 5..=5, 9..=10]);
    }

    #[test]
    fn many_scattered_indices_are_covered_by_few_ranges() {
        let indices: Vec<u64> = (0..1000).map(|i| i * 7 + i % 3).collect();
        let ranges = ranges(&indices, 50);
        assert!(ranges.len() <= 50);
        assert!(ranges.windows(2).all(|pair| pair[0].end() < pair[1].start()));
        assert!(indices.iter().all(|index| ranges.iter().any(|range| range.contains(index))));
    }
}
