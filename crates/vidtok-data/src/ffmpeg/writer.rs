//! Writing videos and pictures.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};

use tch::{Device, Kind, Tensor};
use tempfile::TempPath;
use vidtok_core::{FrameRate, FrameSink, VideoError, temporary_beside};

use crate::ffmpeg::container::Container;
use crate::ffmpeg::locate::Ffmpeg;
use crate::ffmpeg::process::Process;
use crate::ffmpeg::reader::NO_CONNECTIONS;
use crate::ffmpeg::timeline::{Pace, Sound, Ticks, Timeline};
use crate::ffmpeg::{file_url, frame_bytes, ivf};
use crate::input::notice::Notice;

/// How much of the picture a video keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoQuality {
    /// The encoder's constant rate factor: 0 is best, 51 worst (63 in WebM), 18 looks like the source. GIFs ignore it.
    Crf(u8),
    /// About so many bits of video a second, in thousands. GIFs ignore it.
    Bitrate(u32),
    /// Every pixel comes back exactly. Not for GIFs.
    Lossless,
}

impl Default for VideoQuality {
    fn default() -> Self {
        Self::Crf(18)
    }
}

/// How a video is stored. From a [`VideoQuality`], with everything else as it is by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// How much of the picture is kept.
    pub quality: VideoQuality,
    /// Whether a frame of odd size gets its last row or column once more, so that its size is even and it can be stored
    /// with half of the colour resolution (4:2:0), which all players show. GIFs and lossless videos stay as they are.
    pub player_friendly: bool,
}

impl From<VideoQuality> for WriteOptions {
    fn from(quality: VideoQuality) -> Self {
        Self { quality, ..Self::default() }
    }
}

/// Where a video goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A file; the extension chooses the format, as [`VideoWriter::create`] says.
    File(PathBuf),
    /// This process's standard output, as Matroska. Nothing can be taken back there: a failure leaves a part.
    StandardOutput,
}

/// A video file that is written through ffmpeg.
///
/// The frames go to a temporary file in the same folder, which [`finish`](FrameSink::finish) renames; a writer that
/// is dropped before leaves nothing behind.
#[derive(Debug)]
pub struct VideoWriter {
    // Fields drop in this order: the child must be gone before its file is removed.
    input: Option<ChildStdin>,
    process: Process,
    /// None on standard output.
    temporary: Option<TempPath>,
    /// For messages on standard output.
    path: PathBuf,
    /// Of the frames that come.
    size: [i64; 2],
    /// Of the frames that are stored.
    stored: [i64; 2],
    notice: Option<Notice>,
    /// Sent with each frame where the rate is not constant.
    times: Option<Ticks>,
    frames: u64,
}

impl VideoWriter {
    /// Starts a video of frames of `size` (`[height, width]`) at a constant rate.
    ///
    /// The extension chooses the format: `.mp4`, `.m4v`, `.mov`, `.mkv` and `.avi` hold H.264, `.webm` VP9, `.gif` a
    /// GIF with one palette a frame (its time unit of 10 ms rounds each frame's time, not the average rate). Odd sizes
    /// are kept: they are stored with full colour resolution, which many players cannot show, even ones with half of it
    /// (4:2:0); [`WriteOptions::player_friendly`] makes odd sizes even. Pixels are square.
    ///
    /// # Errors
    /// [`VideoError::Encode`] for another extension, an empty size, a rate factor out of range, a lossless GIF or one
    /// of over 100 frames per second; [`VideoError::Io`] if the folder cannot be written; [`VideoError::Backend`] if ffmpeg does not run.
    pub fn create(
        ffmpeg: &Ffmpeg,
        path: impl Into<PathBuf>,
        size: [i64; 2],
        frame_rate: FrameRate,
        options: impl Into<WriteOptions>,
    ) -> Result<Self, VideoError> {
        Self::retell(ffmpeg, Destination::File(path.into()), size, &Timeline::even(frame_rate), options)
    }

    /// Starts a video that shows its frames when another did, with the shape of its pixels and its sound. `timeline` is
    /// that of the frames to be written, from [`VideoReader::timeline`](crate::VideoReader::timeline); its file must still
    /// be there.
    ///
    /// Audio is copied where the format holds its codec and encoded anew elsewhere; a GIF has none. Times are exact
    /// but for the format's unit: none in `.mp4` and `.mov`, 1 ms in `.mkv` and `.webm`, 10 ms in `.gif`. If frames
    /// come closer than that, and in `.avi`, all last as long as the average. The shape of pixels is exact but in `.mkv`
    /// and `.webm`, which may round the width that is shown, and in `.gif`, which knows steps of 1/64.
    ///
    /// # Errors
    /// As [`create`](Self::create), and if more frames come than `timeline` has times for.
    pub fn retell(
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

    /// What a user should know of how the video is stored.
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
            return Err(encode_error(&path, format!("a frame of {width}x{height} pixels is empty")));
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
                let too_large = || encode_error(&path, format!("a frame of {width}x{height} pixels is too large"));
                (ivf::header(stored, &times).ok_or_else(too_large)?, Some(times))
            }
        };
        command.args(["-i", "pipe:0"]);
        if let Some((sound, codecs)) = sound {
            command.args(NO_CONNECTIONS).arg("-i").arg(file_url(sound.path()));
            // Of some formats ffmpeg sets the clock by the streams that are used: the video must be one of them.
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

    /// Sends bytes to the child, or says why it has ended.
    fn send(&mut self, bytes: &[u8]) -> Result<(), VideoError> {
        let sent = match &mut self.input {
            Some(input) => input.write_all(bytes),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        sent.map_err(|error| self.failure(&error.to_string()))
    }

    /// Ends the child and says what went wrong.
    fn failure(&mut self, otherwise: &str) -> VideoError {
        self.input = None;
        let said = self.process.end().ok().and_then(|(_, log)| log.explanation());
        encode_error(&self.path, said.unwrap_or_else(|| otherwise.to_owned()))
    }
}

impl Destination {
    /// For messages.
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

impl FrameSink for VideoWriter {
    fn write(&mut self, frames: &Tensor) -> Result<(), VideoError> {
        let [height, width] = self.size;
        let shape = frames.size();
        let fits = matches!(shape[..], [_, h, w, 3] if [h, w] == self.size);
        if !fits || frames.kind() != Kind::Uint8 {
            let message = format!("expected uint8 [t, {height}, {width}, 3], got {:?} {shape:?}", frames.kind());
            return Err(encode_error(&self.path, message));
        }
        // One frame at a time: the copy stays small.
        let [stored_height, stored_width] = self.stored;
        let mut pixels = vec![0; frame_bytes(stored_width, stored_height)];
        for index in 0..shape[0] {
            let frame = extend(frames.get(index), self.stored).to_device(Device::Cpu).contiguous();
            frame.copy_data_u8(&mut pixels, frame.numel());
            match &self.times {
                Some(times) => {
                    let untimed = || encode_error(&self.path, format!("there is no time for frame {}", self.frames));
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

/// A frame `[h, w, 3]` with its last row and column repeated up to a size that is larger by one at most.
fn extend(frame: Tensor, size: [i64; 2]) -> Tensor {
    size.into_iter().zip(0..).fold(frame, |frame, (side, axis)| match frame.size()[axis as usize] {
        found if found < side => Tensor::cat(&[&frame, &frame.narrow(axis, found - 1, side - found)], axis),
        _ => frame,
    })
}

/// Writes one frame, uint8 `[h, w, 3]` RGB, as a PNG picture.
///
/// # Errors
/// As for a [`VideoWriter`].
pub fn save_png(ffmpeg: &Ffmpeg, path: impl Into<PathBuf>, frame: &Tensor) -> Result<(), VideoError> {
    let path = path.into();
    let (Ok((height, width, _)), Some(rate)) = (frame.size3(), FrameRate::new(1, 1)) else {
        return Err(encode_error(&path, format!("expected a frame [h, w, 3], got {:?}", frame.size())));
    };
    let encoding = ["-c:v", "png", "-f", "image2pipe"].map(String::from);
    let (file, pace) = (Destination::File(path), Pace::Even(rate));
    let mut writer = VideoWriter::start(ffmpeg, file, [[height, width]; 2], pace, None, &encoding)?;
    writer.write(&frame.unsqueeze(0))?;
    writer.finish()
}

fn encode_error(path: &Path, message: impl Into<String>) -> VideoError {
    VideoError::Encode { path: path.to_owned(), message: message.into() }
}
