//! Reading frames: in order, or by index.
//!
//! Both ways decode from the first frame with the same filters, so that they give the same pixels; nothing is skipped
//! by seeking, since key frames of real files are not always where an index can be trusted. Reading by index converts
//! and copies only what was asked for and stops after the last index, which makes it cost about as much as decoding
//! up to there.
//!
//! Frames come as 8 bit RGB over the full range, from the matrix (BT.601, BT.709, ...) and range that the file names.
//! Where it names no matrix, YUV of 720 stored rows or more is taken for BT.709 and any other for BT.601, where it names
//! no range, for the limited one. High dynamic range is tone-mapped to BT.709, and the fields of interlaced frames are
//! left woven, unless [`ReadOptions`] say otherwise. Transparency is dropped. The shape of pixels changes nothing in
//! frames; it is part of the [`Timeline`]. Should the size change within a file, all frames get the first size.

use std::fs;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ChildStdout;

use tch::{Kind, Tensor};
use vidtok_core::{FrameSource, VideoError, VideoInfo};

use crate::ffmpeg::conversion::Conversion;
use crate::ffmpeg::locate::Ffmpeg;
use crate::ffmpeg::picture::Picture;
use crate::ffmpeg::probe::{Probed, lead, probe};
use crate::ffmpeg::process::Process;
use crate::ffmpeg::timeline::{Sound, Timeline};
use crate::ffmpeg::{file_url, frame_bytes};
use crate::input::notice::Notice;
use crate::input::read_options::ReadOptions;

/// The most ranges of frames in one filter expression; ffmpeg evaluates all of it for each frame.
const RANGES: usize = 200;

/// Bytes for which memory is taken before they have come: a wrong description may ask for any number.
const AT_ONCE: usize = 256 << 20;

type Range = RangeInclusive<u64>;

/// A video file that is read through ffmpeg.
#[derive(Debug)]
pub struct VideoReader {
    ffmpeg: Ffmpeg,
    path: PathBuf,
    info: VideoInfo,
    picture: Picture,
    options: ReadOptions,
    sound: Option<Sound>,
    /// A warning of the format that something was lost, although every frame is there.
    doubt: Option<String>,
    /// The running sequential read, from the first call to the end.
    stream: Option<FrameStream>,
    /// Frames that were handed out in order.
    position: u64,
}

impl VideoReader {
    /// Opens a video and looks at all of it once: the number of frames is exact, and a file that opens is whole.
    ///
    /// This decodes every frame (without converting it), which takes about 1.3 ms a frame of 1280x720 on two cores.
    ///
    /// # Errors
    /// [`VideoError::Io`] if there is no such file, [`VideoError::Decode`] with ffmpeg's own words if it is no video
    /// or is damaged anywhere, [`VideoError::Empty`] if it has no frame.
    pub fn open(ffmpeg: &Ffmpeg, path: impl Into<PathBuf>) -> Result<Self, VideoError> {
        Self::open_with(ffmpeg, path, ReadOptions::default())
    }

    /// The same with a choice of how pixels are read.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(ffmpeg: &Ffmpeg, path: impl Into<PathBuf>, options: ReadOptions) -> Result<Self, VideoError> {
        let path = path.into();
        let Probed { info, picture, sound, doubt } = probe(ffmpeg, &path)?;
        Ok(Self { sound, doubt, ..Self::with_info(ffmpeg, path, info).with_picture(picture, options) })
    }

    /// A video whose description is known from an earlier [`open`](Self::open) of the same file; nothing is read yet.
    ///
    /// Frames that turn out to be missing are errors when they are read. Its [`timeline`](Self::timeline) is taken to be
    /// silent, its colours to be of standard range and named, its frames to be whole.
    #[must_use]
    pub fn with_info(ffmpeg: &Ffmpeg, path: impl Into<PathBuf>, info: VideoInfo) -> Self {
        let (ffmpeg, path) = (ffmpeg.clone(), path.into());
        let (picture, options) = (Picture::default(), ReadOptions::default());
        Self { ffmpeg, path, info, picture, options, sound: None, doubt: None, stream: None, position: 0 }
    }

    /// The same where it is known too what the pixels mean.
    pub(crate) fn with_picture(self, picture: Picture, options: ReadOptions) -> Self {
        Self { picture, options, ..self }
    }

    /// What the pixels mean.
    pub(crate) fn picture(&self) -> &Picture {
        &self.picture
    }

    /// What a user should know of how its frames are read.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        let doubt = self.doubt.clone().map(Notice::DoubtfulLoss);
        self.ffmpeg.notices(&self.picture, self.options).into_iter().chain(doubt).collect()
    }

    /// When its frames are shown, and its sound.
    ///
    /// # Errors
    /// If there is sound that cannot be read.
    pub fn timeline(&self) -> Result<Timeline, VideoError> {
        let sound = self.sound.clone().map(|sound| {
            let lead = lead(&self.ffmpeg, &self.path, &sound)?;
            Ok(sound.with_lead(lead))
        });
        let timeline = Timeline::of(&self.info).with_pixel_aspect(self.picture.pixel_aspect);
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
            None => return Err(decode_error(&self.path, "an earlier read of it failed")),
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
        let places: Vec<_> = indices.iter().map(|index| wanted.partition_point(|frame| frame < index) as i64).collect();
        Ok(frames.index_select(0, &Tensor::from_slice(&places)))
    }
}

/// One run of ffmpeg that sends frames.
#[derive(Debug)]
struct FrameStream {
    path: PathBuf,
    output: Option<ChildStdout>,
    process: Process,
    frame_bytes: usize,
    received: u64,
}

impl FrameStream {
    /// Starts to decode all frames of a video, or those of some ascending ranges.
    fn start(video: &VideoReader, ranges: Option<&[Range]>) -> Result<Self, VideoError> {
        let VideoReader { ffmpeg, path, info: VideoInfo { width, height, .. }, picture, options, .. } = video;
        let (width, height) = (*width, *height);
        check_file(path)?;
        let conversion = Conversion::new(ffmpeg, picture, *options, [width, height]);
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

    /// The next `count` frames, all of them.
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
            let message = format!("it ended after {} frames", self.received);
            return Err(decode_error(&self.path, message));
        }
        Ok(pixels)
    }

    /// Makes sure that all went well and nothing is left.
    fn end(mut self) -> Result<(), VideoError> {
        let more = match &mut self.output {
            Some(output) => output.read(&mut [0]).is_ok_and(|read| read > 0),
            None => false,
        };
        if more {
            return Err(decode_error(&self.path, "it has more frames than when it was opened"));
        }
        self.check()
    }

    /// Waits for the end and fails with what ffmpeg complained of.
    fn check(&mut self) -> Result<(), VideoError> {
        self.output = None;
        self.process.end_of_reading(&self.path).map(drop)
    }
}

/// Before every input: a playlist must not make us open connections.
pub(super) const NO_CONNECTIONS: [&str; 2] = ["-protocol_whitelist", "file,pipe"];

/// The options that go before every video that is read.
pub(super) fn input_options() -> [&'static str; 4] {
    let [option, value] = NO_CONNECTIONS;
    // Filters count frames, so they must live as long as the video, even where its size or colours change.
    [option, value, "-reinit_filter", "0"]
}

/// Refuses what is no file with bytes in it, before ffmpeg guesses.
pub(super) fn check_file(path: &Path) -> Result<(), VideoError> {
    let io_error = |source| VideoError::Io { path: path.to_owned(), source };
    let meta = fs::metadata(path).map_err(io_error)?;
    if meta.is_dir() {
        return Err(io_error(io::ErrorKind::IsADirectory.into()));
    }
    if !meta.is_file() {
        return Err(io_error(io::Error::other("not a regular file")));
    }
    if meta.len() == 0 {
        return Err(decode_error(path, "the file is empty"));
    }
    Ok(())
}

pub(super) fn decode_error(path: &Path, message: impl Into<String>) -> VideoError {
    VideoError::Decode { path: path.to_owned(), message: message.into() }
}

/// Covers ascending indices with at most `most` ranges, which hold other frames too only where there would be more.
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

/// The filter that lets the frames of these ranges through.
fn select(ranges: &[Range]) -> String {
    let terms: Vec<_> = ranges.iter().map(|range| format!("between(n,{},{})", range.start(), range.end())).collect();
    format!("select='{}',", terms.join("+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_range() {
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
