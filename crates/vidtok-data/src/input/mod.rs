//! Any input as a source of frames: a video file, a folder of images, or an image.

pub(crate) mod find;
pub(crate) mod frame_folder;
pub(crate) mod list;
pub(crate) mod notice;
pub(crate) mod path_text;
pub(crate) mod reach;
pub(crate) mod read_options;

use std::path::{Path, PathBuf};

use tch::Tensor;
use vidtok_core::{FrameRate, FrameSource, VideoError, VideoInfo};

use crate::ffmpeg::locate::Ffmpeg;
use crate::ffmpeg::picture::Picture;
use crate::ffmpeg::reader::VideoReader;
use crate::ffmpeg::timeline::Timeline;
use crate::input::frame_folder::FrameFolder;
use crate::input::notice::Notice;
use crate::input::reach::Reach;
use crate::input::read_options::ReadOptions;

/// How inputs are opened.
#[derive(Clone, Debug, PartialEq)]
pub struct InputOptions {
    /// Images of a folder that are shown in a second; files of videos say so themselves.
    pub frame_rate: FrameRate,
    /// Where the inputs lie, and how long is waited for what cannot be reached.
    pub reach: Reach,
    /// How the pixels of videos are read.
    pub read: ReadOptions,
}

impl InputOptions {
    /// The rate of images without another: 25 a second, as ffmpeg takes them.
    pub const FRAME_RATE: FrameRate = match FrameRate::new(25, 1) {
        Some(rate) => rate,
        None => panic!("no rate"),
    };
}

impl Default for InputOptions {
    fn default() -> Self {
        Self { frame_rate: Self::FRAME_RATE, reach: Reach::default(), read: ReadOptions::default() }
    }
}

/// The frames of an input. What cannot be reached for a moment is opened again, and read on where it ended.
#[derive(Debug)]
pub struct InputReader {
    ffmpeg: Ffmpeg,
    path: PathBuf,
    options: InputOptions,
    source: Source,
    /// Frames that were handed out in order.
    position: u64,
}

#[derive(Debug)]
enum Source {
    Video(Box<VideoReader>),
    Frames(FrameFolder),
}

impl InputReader {
    /// Opens an input and looks at all of it: a folder of images or an image as [`FrameFolder`] does, anything else as
    /// [`VideoReader`].
    ///
    /// # Errors
    /// As those; [`VideoError::Unreachable`] if it is away together with what lies beside it.
    pub fn open(ffmpeg: &Ffmpeg, path: impl Into<PathBuf>, options: &InputOptions) -> Result<Self, VideoError> {
        let path = path.into();
        let open = || Source::open(ffmpeg, &path, options);
        let source = options.reach.patiently(&path, || ffmpeg.stop().is_stopped(), open)?;
        Ok(Self { ffmpeg: ffmpeg.clone(), path, options: options.clone(), source, position: 0 })
    }

    /// An input whose description is known from an earlier [`open`](Self::open); see [`VideoReader::with_info`].
    ///
    /// # Errors
    /// If the images of a folder cannot be listed.
    pub(crate) fn with_info(
        ffmpeg: &Ffmpeg,
        path: impl Into<PathBuf>,
        known: (&VideoInfo, &Picture),
        options: &InputOptions,
    ) -> Result<Self, VideoError> {
        let path = path.into();
        let open = || Source::with_info(ffmpeg, &path, known, options);
        let source = options.reach.patiently(&path, || ffmpeg.stop().is_stopped(), open)?;
        Ok(Self { ffmpeg: ffmpeg.clone(), path, options: options.clone(), source, position: 0 })
    }

    /// When its frames are shown, and its sound.
    ///
    /// # Errors
    /// If there is sound that cannot be read.
    pub fn timeline(&self) -> Result<Timeline, VideoError> {
        match &self.source {
            Source::Video(reader) => reader.timeline(),
            Source::Frames(frames) => Ok(Timeline::of(frames.info())),
        }
    }

    /// What a user should know of how its frames are read.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        match &self.source {
            Source::Video(reader) => reader.notices(),
            Source::Frames(_) => Vec::new(),
        }
    }

    /// What the pixels mean.
    pub(crate) fn picture(&self) -> &Picture {
        self.source.picture()
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
        let picture = source.picture().clone();
        let mut has_failed = false;
        let frames = options.reach.patiently(
            path,
            || ffmpeg.stop().is_stopped(),
            || {
                if std::mem::replace(&mut has_failed, true) {
                    *source = Source::with_info(ffmpeg, path, (&info, &picture), options)?;
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
        self.options.reach.patiently(&self.path, || self.ffmpeg.stop().is_stopped(), read)
    }
}

impl Source {
    fn open(ffmpeg: &Ffmpeg, path: &Path, options: &InputOptions) -> Result<Self, VideoError> {
        match FrameFolder::is_meant_by(path) {
            true => FrameFolder::open(path, options.frame_rate).map(Self::Frames),
            false => VideoReader::open_with(ffmpeg, path, options.read).map(Box::new).map(Self::Video),
        }
    }

    fn with_info(
        ffmpeg: &Ffmpeg,
        path: &Path,
        (info, picture): (&VideoInfo, &Picture),
        options: &InputOptions,
    ) -> Result<Self, VideoError> {
        match FrameFolder::is_meant_by(path) {
            true => FrameFolder::with_info(path, info.clone()).map(Self::Frames),
            false => {
                let reader = VideoReader::with_info(ffmpeg, path, info.clone());
                Ok(Self::Video(Box::new(reader.with_picture(picture.clone(), options.read))))
            }
        }
    }

    /// What the pixels mean.
    fn picture(&self) -> &Picture {
        match self {
            Self::Video(reader) => reader.picture(),
            Self::Frames(_) => &Picture::PLAIN,
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

    /// Reads this many frames and forgets them.
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
