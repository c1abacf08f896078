//! Writing videos.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};

use tch::{Device, Kind, Tensor};
use tempfile::TempPath;
use vidtok_core::{FrameRate, FrameSink, VideoError, temporary_beside};

use crate::ffmpeg::container::Container;
use crate::ffmpeg::ivf;
use crate::ffmpeg::notice::Notice;
use crate::ffmpeg::pace::{Pace, Ticks};
use crate::ffmpeg::program::locate::Ffmpeg;
use crate::ffmpeg::program::process::Process;
use crate::ffmpeg::program::source_file::{NO_CONNECTIONS, file_url, frame_bytes};
use crate::ffmpeg::sound::Sound;
use crate::ffmpeg::timeline::Timeline;
use crate::ffmpeg::write_options::WriteOptions;

/// The destination of a video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A file, whose extension chooses the format; see [`VideoWriter::create`].
    File(PathBuf),
    /// This process's standard output, as Matroska. After an error, the reader has received a part of the video.
    StandardOutput,
}

/// A video file that ffmpeg encodes.
///
/// Frames are written to a temporary file in the same folder, which [`finish`](FrameSink::finish) renames. A writer
/// that is dropped before that leaves nothing behind.
#[derive(Debug)]
pub struct VideoWriter {
    // Fields drop in this order: the child must have ended before its file is removed.
    input: Option<ChildStdin>,
    process: Process,
    /// `None` on standard output.
    temporary: Option<TempPath>,
    /// The name of the destination, for messages.
    path: PathBuf,
    /// `[height, width]` of the frames that are passed in.
    size: [i64; 2],
    /// `[height, width]` of the frames that are stored.
    stored: [i64; 2],
    notice: Option<Notice>,
    /// The times to send with frames, if the rate is not constant.
    times: Option<Ticks>,
    frames: u64,
}

impl VideoWriter {
    /// Starts a video of frames of `size` (`[height, width]`) at a constant rate, with square pixels.
    ///
    /// The extension chooses the format: `.mp4`, `.m4v`, `.mov`, `.mkv` and `.avi` hold H.264, `.webm` VP9, `.gif` a
    /// GIF with one palette per frame (its time unit of 10 ms rounds each frame's time, not the average rate). Even
    /// sizes are stored with half the colour resolution (4:2:0), odd sizes with all of it, which many players cannot
    /// show; [`WriteOptions::player_friendly`] makes odd sizes even.
    ///
    /// # Errors
    /// [`VideoError::Encode`] for any other extension, an empty size, a rate factor out of range, a lossless GIF or a
    /// GIF of more than 100 frames per second; [`VideoError::Io`] if the folder cannot be written;
    /// [`VideoError::Backend`] if ffmpeg does not run.
    pub fn create(
        ffmpeg: &Ffmpeg,
        path: impl Into<PathBuf>,
        size: [i64; 2],
        frame_rate: FrameRate,
        options: impl Into<WriteOptions>,
    ) -> Result<Self, VideoError> {
        Self::with_timeline(ffmpeg, Destination::File(path.into()), size, &Timeline::even(frame_rate), options)
    }

    /// Starts a video with the frame times, pixel shape and sound of another one. `timeline` describes the frames to be
    /// written and comes from [`VideoReader::timeline`](crate::VideoReader::timeline), whose file must still exist.
    ///
    /// Audio is copied if the format holds its codec and transcoded otherwise; GIFs have none. Frame times are exact in
    /// `.mp4` and `.mov`, and rounded to 1 ms in `.mkv` and `.webm` and to 10 ms in `.gif`. Frames that are closer than
    /// that, and those in `.avi`, get their average rate instead. Pixel shapes are exact except in `.mkv` and `.webm`,
    /// which may round the displayed width, and in `.gif`, which rounds to 1/64.
    ///
    /// # Errors
    /// See [`create`](Self::create); also if more frames are written than `timeline` has times for.
    pub fn with_timeline(
        ffmpeg: &Ffmpeg,
        destination: Destination,
        size: [i64; 2],
        timeline: &Timeline,
        options: impl Into<WriteOptions>,
    ) -> Result<Self, VideoError> {
        let WriteOptions { quality, player_friendly } = options.into();
        let named = destination.name();
        let container = destination.container().map_err(|message| encode_error(&named, message))?;
        let silent;
        let timeline = if container.has_sound() {
            timeline
        } else {
            silent = timeline.clone().silent();
            &silent
        };
        let pace = timeline.pace(container.finest());
        let is_odd = container.halves_colours(quality) && size.iter().any(|side| side % 2 != 0);
        let stored = if is_odd && player_friendly { size.map(|side| side + side % 2) } else { size };
        let encoding = container.options(stored, timeline.pixel_aspect(), &pace, quality);
        let encoding = encoding.map_err(|message| encode_error(&named, message))?;
        let sound = timeline.sound().map(|sound| (sound, sound.codecs(container)));
        let notice = (is_odd && !player_friendly).then_some(Notice::FullChroma(size));
        Ok(Self { notice, ..Self::start(ffmpeg, destination, [size, stored], pace, sound, &encoding)? })
    }

    /// What users should know about how the video is stored.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        self.notice.iter().cloned().collect()
    }

    fn start(
        ffmpeg: &Ffmpeg,
        destination: Destination,
        [size, stored]: [[i64; 2]; 2],
        pace: Pace,
        sound: Option<(&Sound, Vec<String>)>,
        encoding: &[String],
    ) -> Result<Self, VideoError> {
        let path = destination.name();
        let [height, width] = stored;
        if height < 1 || width < 1 {
            return Err(encode_error(&path, format!("frame size {width}x{height} is empty")));
        }
        let mut command = ffmpeg.command("warning");
        if let Some((sound, _)) = &sound {
            command.args(["-itsoffset", &format!("{}us", sound.lead())]);
        }
        let (head, times) = match pace {
            Pace::Even(rate) => {
                command.args(["-f", "rawvideo", "-pixel_format", "rgb24"]);
                command.args(["-video_size", &format!("{width}x{height}"), "-framerate", &rate.to_string()]);
                (Vec::new(), None)
            }
            Pace::Times(times) => {
                command.args(["-f", "ivf"]);
                let too_large = || encode_error(&path, format!("frame size {width}x{height} is too large"));
                (ivf::header(stored, &times).ok_or_else(too_large)?, Some(times))
            }
        };
        command.args(["-i", "pipe:0"]);
        if let Some((sound, codecs)) = sound {
            command.args(NO_CONNECTIONS).arg("-i").arg(file_url(sound.path()));
            // For some formats ffmpeg derives the start time from the mapped streams, so the video must be mapped too.
            command.args(["-map", "1:V:0", "-c", "copy", "-f", "null", "-"]);
            command.args(["-map", "0:v"]).args(sound.maps(1)).args(codecs);
        }
        if let Some((seconds, ticks)) = times.as_ref().map(Ticks::tick) {
            command.args(["-enc_time_base:v", &format!("{seconds}:{ticks}")]);
        }
        command.args(ffmpeg.passthrough()).args(encoding).arg("-y");
        let (temporary, output) = match destination {
            Destination::File(path) => {
                let temporary = temporary_beside(&path).map_err(|source| VideoError::Io { path, source })?;
                command.arg(file_url(&temporary));
                (Some(temporary), Stdio::piped())
            }
            Destination::StandardOutput => {
                command.arg("pipe:1");
                (None, Stdio::inherit())
            }
        };
        let mut process = Process::start_into(ffmpeg, &mut command, output)?;
        let input = process.input();
        let mut writer = Self { input, process, temporary, path, size, stored, notice: None, times, frames: 0 };
        writer.send(&head)?;
        Ok(writer)
    }

    /// Sends bytes to the child, or returns why it has ended.
    fn send(&mut self, bytes: &[u8]) -> Result<(), VideoError> {
        let sent = match &mut self.input {
            Some(input) => input.write_all(bytes),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        sent.map_err(|error| self.failure(&error.to_string()))
    }

    /// Ends the child and returns its error.
    fn failure(&mut self, otherwise: &str) -> VideoError {
        self.input = None;
        let said = self.process.end().ok().and_then(|(_, log)| log.explanation());
        encode_error(&self.path, said.unwrap_or_else(|| otherwise.to_owned()))
    }
}

impl Destination {
    /// The name for messages.
    fn name(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::StandardOutput => "standard output".into(),
        }
    }

    fn container(&self) -> Result<Container, String> {
        match self {
            Self::File(path) => Container::of(path),
            Self::StandardOutput => Ok(Container::Matroska),
        }
    }
}

impl VideoWriter {
    /// Waits for ffmpeg and gives the file its name.
    fn end(&mut self) -> Result<(), VideoError> {
        if self.frames == 0 {
            return Err(encode_error(&self.path, "no frame was written"));
        }
        self.input = None;
        let io_error = |path: &Path, source| VideoError::Io { path: path.to_owned(), source };
        let (status, log) = self.process.end().map_err(|source| io_error(&self.path, source))?;
        if !status.success() {
            let message = log.explanation().unwrap_or_else(|| format!("ffmpeg ended with {status}"));
            return Err(encode_error(&self.path, message));
        }
        let Some(temporary) = self.temporary.take() else { return Ok(()) };
        // As `vidtok_core::write_atomically` does: the new name must never stand for half a file.
        File::open(&temporary).and_then(|file| file.sync_all()).map_err(|source| io_error(&self.path, source))?;
        temporary.persist(&self.path).map_err(|failed| io_error(&self.path, failed.error))
    }
}

impl FrameSink for VideoWriter {
    fn write(&mut self, frames: &Tensor) -> Result<(), VideoError> {
        let [height, width] = self.size;
        let shape = frames.size();
        let fits = matches!(shape[..], [_, h, w, 3] if [h, w] == self.size);
        if !fits || frames.kind() != Kind::Uint8 {
            let message = format!("expected uint8 [t, {height}, {width}, 3], got {:?} {shape:?}", frames.kind());
            return Err(encode_error(&self.path, message));
        }
        // One copy from a GPU for all frames: each waits until the GPU has nothing left to do.
        let frames = frames.to_device(Device::Cpu);
        // Copies one frame at a time, to keep the buffer small.
        let [stored_height, stored_width] = self.stored;
        let mut pixels = vec![0; frame_bytes(stored_width, stored_height)];
        for index in 0..shape[0] {
            let frame = extend(frames.get(index), self.stored).contiguous();
            frame.copy_data_u8(&mut pixels, frame.numel());
            match &self.times {
                Some(times) => {
                    let untimed =
                        || encode_error(&self.path, format!("the timeline has no time for frame {}", self.frames));
                    let tick = times.get(self.frames).ok_or_else(untimed)?;
                    self.send(&ivf::frame(tick, &pixels))?;
                }
                None => self.send(&pixels)?,
            }
            self.frames += 1;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), VideoError> {
        let ended = self.end();
        if ended.is_err() {
            // The child must be gone before its file is removed.
            self.input = None;
            let _ = self.process.end();
            self.temporary = None;
        }
        ended
    }
}

/// A frame `[h, w, 3]` whose last row and column are repeated up to a size that is larger by at most one.
fn extend(frame: Tensor, size: [i64; 2]) -> Tensor {
    size.into_iter().zip(0..).fold(frame, |frame, (side, axis)| match frame.size()[axis as usize] {
        found if found < side => Tensor::cat(&[&frame, &frame.narrow(axis, found - 1, side - found)], axis),
        _ => frame,
    })
}

fn encode_error(path: &Path, message: impl Into<String>) -> VideoError {
    VideoError::Encode { path: path.to_owned(), message: message.into() }
}
