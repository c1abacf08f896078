//! Inputs of any kind as sources of frames: a video file, a folder of images, or an image.

mod extensions;
pub(crate) mod fault;
pub(crate) mod file_stamp;
mod find;
pub(crate) mod frame_folder;
pub(crate) mod left_out;
pub(crate) mod list;
pub(crate) mod list_error;
pub(crate) mod path_text;
pub(crate) mod retry;

use std::path::{Path, PathBuf};

use tch::Tensor;
use vidtok_core::{FrameRate, FrameSource, VideoError, VideoInfo};

use crate::ffmpeg::notice::Notice;
use crate::ffmpeg::program::locate::Ffmpeg;
use crate::ffmpeg::read::read_options::ReadOptions;
use crate::ffmpeg::read::reader::VideoReader;
use crate::ffmpeg::read::stream_format::StreamFormat;
use crate::ffmpeg::timeline::Timeline;
use crate::input::frame_folder::FrameFolder;
use crate::input::retry::RetryPolicy;

/// How inputs are opened.
#[derive(Clone, Debug, PartialEq)]
pub struct InputOptions {
    /// The frame rate of folders of images; video files have their own.
    pub frame_rate: FrameRate,
    /// How often to retry what cannot be reached.
    pub retry: RetryPolicy,
    /// How the pixels of videos are converted.
    pub read: ReadOptions,
}

impl InputOptions {
    /// The default rate of images, 25 frames per second, as in ffmpeg.
    pub const FRAME_RATE: FrameRate = match FrameRate::new(25, 1) {
        Some(rate) => rate,
        None => unreachable!(),
    };
}

impl Default for InputOptions {
    fn default() -> Self {
        Self { frame_rate: Self::FRAME_RATE, retry: RetryPolicy::default(), read: ReadOptions::default() }
    }
}

/// The frames of an input. If the input cannot be reached for a moment, it is reopened and read on from the same frame.
#[derive(Debug)]
pub struct InputReader {
    ffmpeg: Ffmpeg,
    path: PathBuf,
    options: InputOptions,
    source: OpenInput,
    /// Frames returned in order so far.
    position: u64,
}

#[derive(Debug)]
enum OpenInput {
    Video(Box<VideoReader>),
    Frames(FrameFolder),
}

impl InputReader {
    /// Opens and probes an input: a folder of images or an image as a [`FrameFolder`], anything else as a
    /// [`VideoReader`].
    ///
    /// # Errors
    /// Those of the two types; [`VideoError::Unreachable`] if the input and its surroundings cannot be reached.
    pub fn open(ffmpeg: &Ffmpeg, path: impl Into<PathBuf>, options: &InputOptions) -> Result<Self, VideoError> {
        let path = path.into();
        let open = || OpenInput::open(ffmpeg, &path, options);
        let source = options.retry.run(&path, || ffmpeg.stop().is_stopped(), open)?;
        Ok(Self { ffmpeg: ffmpeg.clone(), path, options: options.clone(), source, position: 0 })
    }

    /// An input whose description is known from an earlier [`open`](Self::open); see [`VideoReader::with_info`].
    ///
    /// # Errors
    /// If the images of a folder cannot be listed.
    pub(crate) fn with_info(
        ffmpeg: &Ffmpeg,
        path: impl Into<PathBuf>,
        known: (&VideoInfo, &StreamFormat),
        options: &InputOptions,
    ) -> Result<Self, VideoError> {
        let path = path.into();
        let open = || OpenInput::with_info(ffmpeg, &path, known, options);
        let source = options.retry.run(&path, || ffmpeg.stop().is_stopped(), open)?;
        Ok(Self { ffmpeg: ffmpeg.clone(), path, options: options.clone(), source, position: 0 })
    }

    /// The times of the frames, the shape of pixels, and the sound.
    ///
    /// # Errors
    /// If the file has sound that cannot be read.
    pub fn timeline(&self) -> Result<Timeline, VideoError> {
        match &self.source {
            OpenInput::Video(reader) => reader.timeline(),
            OpenInput::Frames(frames) => Ok(Timeline::of(frames.info())),
        }
    }

    /// What users should know about how the frames are read.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        match &self.source {
            OpenInput::Video(reader) => reader.notices(),
            OpenInput::Frames(_) => Vec::new(),
        }
    }

    /// The properties of the pixels.
    pub(crate) fn format(&self) -> &StreamFormat {
        self.source.format()
    }
}

impl FrameSource for InputReader {
    fn info(&self) -> &VideoInfo {
        self.source.frames().info()
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn next_frames(&mut self, max: usize) -> Result<Option<Tensor>, VideoError> {
        let Self { ffmpeg, path, options, source, position } = self;
        let info = source.frames().info().clone();
        let format = source.format().clone();
        let mut has_failed = false;
        let frames = options.retry.run(
            path,
            || ffmpeg.stop().is_stopped(),
            || {
                if std::mem::replace(&mut has_failed, true) {
                    *source = OpenInput::with_info(ffmpeg, path, (&info, &format), options)?;
                    source.skip(*position)?;
                }
                source.frames_mut().next_frames(max)
            },
        )?;
        *position += frames.as_ref().map_or(0, |frames| frames.size()[0] as u64);
        Ok(frames)
    }

    fn frames_at(&self, indices: &[u64]) -> Result<Tensor, VideoError> {
        let read = || self.source.frames().frames_at(indices);
        self.options.retry.run(&self.path, || self.ffmpeg.stop().is_stopped(), read)
    }
}

impl OpenInput {
    fn open(ffmpeg: &Ffmpeg, path: &Path, options: &InputOptions) -> Result<Self, VideoError> {
        match FrameFolder::accepts(path) {
            true => FrameFolder::open(path, options.frame_rate).map(Self::Frames),
            false => VideoReader::open_with(ffmpeg, path, options.read).map(Box::new).map(Self::Video),
        }
    }

    fn with_info(
        ffmpeg: &Ffmpeg,
        path: &Path,
        (info, format): (&VideoInfo, &StreamFormat),
        options: &InputOptions,
    ) -> Result<Self, VideoError> {
        match FrameFolder::accepts(path) {
            true => FrameFolder::with_info(path, info.clone()).map(Self::Frames),
            false => {
                let reader = VideoReader::with_info(ffmpeg, path, info.clone());
                Ok(Self::Video(Box::new(reader.with_format(format.clone(), options.read))))
            }
        }
    }

    /// The properties of the pixels.
    fn format(&self) -> &StreamFormat {
        match self {
            Self::Video(reader) => reader.format(),
            Self::Frames(_) => &StreamFormat::PLAIN,
        }
    }

    fn frames(&self) -> &dyn FrameSource {
        match self {
            Self::Video(reader) => reader.as_ref(),
            Self::Frames(frames) => frames,
        }
    }

    fn frames_mut(&mut self) -> &mut dyn FrameSource {
        match self {
            Self::Video(reader) => reader.as_mut(),
            Self::Frames(frames) => frames,
        }
    }

    /// Reads frames and discards them.
    fn skip(&mut self, mut frames: u64) -> Result<(), VideoError> {
        const AT_ONCE: u64 = 16;
        while frames > 0
            && let Some(read) = self.frames_mut().next_frames(frames.min(AT_ONCE) as usize)?
        {
            frames -= read.size()[0] as u64;
        }
        Ok(())
    }
}
