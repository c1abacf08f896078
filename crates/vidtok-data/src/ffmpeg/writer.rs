//! Writing videos and pictures.
//!
//! Colours go out as BT.709, limited range, and are marked so, except in lossless files and GIFs, which hold RGB.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;

use tch::{Device, Kind, Tensor};
use tempfile::TempPath;
use vidtok_core::{FrameRate, FrameSink, VideoError, temporary_beside};

use super::process::Process;
use super::{Ffmpeg, file_url, frame_bytes};

/// How much of the picture a video keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// The encoder's constant rate factor: 0 is best, 51 worst (63 in WebM), 18 looks like the source. GIFs ignore it.
    Crf(u8),
    /// About so many bits of video a second, in thousands. GIFs ignore it.
    Bitrate(u32),
    /// Every pixel comes back exactly. Not for GIFs.
    Lossless,
}

impl Default for Quality {
    fn default() -> Self {
        Self::Crf(18)
    }
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
    temporary: TempPath,
    path: PathBuf,
    size: [i64; 2],
    frames: u64,
}

impl VideoWriter {
    /// Starts a video of frames of `size` (`[height, width]`) at a constant rate.
    ///
    /// The extension chooses the format: `.mp4`, `.m4v`, `.mov`, `.mkv` and `.avi` hold H.264, `.webm` VP9, `.gif` a
    /// GIF with one palette a frame (its time unit of 10 ms rounds each frame's time, not the average rate). Odd sizes
    /// are kept: they are stored with full colour resolution, even ones with half of it (4:2:0).
    ///
    /// # Errors
    /// [`VideoError::Encode`] for another extension, an empty size, a rate factor out of range, a lossless GIF or one
    /// of over 100 frames per second; [`VideoError::Io`] if the folder cannot be written; [`VideoError::Backend`] if ffmpeg does not run.
    pub fn create(
        ffmpeg: &Ffmpeg,
        path: impl Into<PathBuf>,
        size: [i64; 2],
        frame_rate: FrameRate,
        quality: Quality,
    ) -> Result<Self, VideoError> {
        let path = path.into();
        let encoding = encoding(&path, size, frame_rate, quality).map_err(|message| encode_error(&path, message))?;
        Self::start(ffmpeg, path, size, frame_rate, &encoding)
    }

    fn start(
        ffmpeg: &Ffmpeg,
        path: PathBuf,
        size: [i64; 2],
        frame_rate: FrameRate,
        encoding: &[String],
    ) -> Result<Self, VideoError> {
        let [height, width] = size;
        if height < 1 || width < 1 {
            return Err(encode_error(&path, format!("a frame of {width}x{height} pixels is empty")));
        }
        let temporary = temporary_beside(&path).map_err(|source| VideoError::Io { path: path.clone(), source })?;
        let mut command = ffmpeg.command("warning");
        command.args(["-f", "rawvideo", "-pixel_format", "rgb24"]);
        command.args(["-video_size", &format!("{width}x{height}"), "-framerate", &frame_rate.to_string()]);
        command.args(["-i", "pipe:0"]).args(ffmpeg.passthrough()).args(encoding);
        command.arg("-y").arg(file_url(&temporary));
        let mut process = Process::start(ffmpeg, &mut command)?;
        let input = process.input();
        Ok(Self { input, process, temporary, path, size, frames: 0 })
    }

    /// Ends the child and says what went wrong.
    fn failure(&mut self, otherwise: &str) -> VideoError {
        self.input = None;
        let said = self.process.end().ok().and_then(|(_, log)| log.complaint);
        encode_error(&self.path, said.unwrap_or_else(|| otherwise.to_owned()))
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
        let mut pixels = vec![0; frame_bytes(width, height)];
        for index in 0..shape[0] {
            let frame = frames.get(index).to_device(Device::Cpu).contiguous();
            frame.copy_data_u8(&mut pixels, frame.numel());
            let written = match &mut self.input {
                Some(input) => input.write_all(&pixels),
                None => Err(std::io::ErrorKind::BrokenPipe.into()),
            };
            if let Err(error) = written {
                return Err(self.failure(&error.to_string()));
            }
            self.frames += 1;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), VideoError> {
        if self.frames == 0 {
            return Err(encode_error(&self.path, "no frame was written"));
        }
        self.input = None;
        let io_error = |path: &Path, source| VideoError::Io { path: path.to_owned(), source };
        let (status, log) = self.process.end().map_err(|source| io_error(&self.path, source))?;
        if !status.success() {
            let message = log.complaint.unwrap_or_else(|| format!("ffmpeg ended with {status}"));
            return Err(encode_error(&self.path, message));
        }
        let Self { temporary, path, .. } = *self;
        // As `vidtok_core::write_atomically` does: the new name must never stand for half a file.
        File::open(&temporary).and_then(|file| file.sync_all()).map_err(|source| io_error(&path, source))?;
        temporary.persist(&path).map_err(|failed| io_error(&path, failed.error))
    }
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
    let mut writer = VideoWriter::start(ffmpeg, path, [height, width], rate, &encoding)?;
    writer.write(&frame.unsqueeze(0))?;
    Box::new(writer).finish()
}

fn encode_error(path: &Path, message: impl Into<String>) -> VideoError {
    VideoError::Encode { path: path.to_owned(), message: message.into() }
}

/// The options of the output: filters, codec and container.
fn encoding(path: &Path, size: [i64; 2], rate: FrameRate, quality: Quality) -> Result<Vec<String>, String> {
    const TO_YUV: &str = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_inp";
    // Newer releases take the marks from the frames, older ones from the options of the encoder.
    const MARK: &str = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709 \
                        -color_range tv -colorspace bt709 -color_primaries bt709 -color_trc bt709";
    // One palette a frame: a palette for all of them would hold the whole video in memory.
    const PALETTES: &str = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1";

    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    let (codec, container): (_, &[&str]) = match extension.as_str() {
        "mp4" | "m4v" => (Codec::H264, &["-f", "mp4", "-movflags", "+faststart"]),
        "mov" => (Codec::H264, &["-f", "mov", "-movflags", "+faststart"]),
        "mkv" => (Codec::H264, &["-f", "matroska"]),
        // AVI has no place for the order of frames that are stored out of order.
        "avi" => (Codec::H264, &["-f", "avi", "-bf", "0"]),
        "webm" => (Codec::Vp9, &["-f", "webm", "-cpu-used", "4", "-row-mt", "1"]),
        "gif" => (Codec::Gif, &["-f", "gif"]),
        other => {
            return Err(format!("unknown format {other:?}: expected .mp4, .m4v, .mov, .mkv, .avi, .webm or .gif"));
        }
    };
    let pixels = if size.iter().all(|side| side % 2 == 0) { "yuv420p" } else { "yuv444p" };
    let yuv = format!("{TO_YUV},format={pixels},{MARK}");
    let worst = if matches!(codec, Codec::Vp9) { 63 } else { 51 };
    let options = match (codec, quality) {
        (_, Quality::Crf(crf)) if crf > worst => {
            return Err(format!("a rate factor of {crf} is too large, {worst} is the worst"));
        }
        (Codec::H264, Quality::Crf(crf)) => format!("-c:v libx264 -crf {crf} -vf {yuv}"),
        (_, Quality::Bitrate(0)) => return Err("a bitrate of 0 holds no video".into()),
        (Codec::H264, Quality::Bitrate(rate)) => format!("-c:v libx264 -b:v {rate}k -vf {yuv}"),
        (Codec::Vp9, Quality::Bitrate(rate)) => format!("-c:v libvpx-vp9 -b:v {rate}k -vf {yuv}"),
        (Codec::H264, Quality::Lossless) => "-c:v libx264rgb -qp 0".into(),
        (Codec::Vp9, Quality::Crf(crf)) => format!("-c:v libvpx-vp9 -b:v 0 -crf {crf} -vf {yuv}"),
        (Codec::Vp9, Quality::Lossless) => "-c:v libvpx-vp9 -lossless 1 -vf format=gbrp".into(),
        (Codec::Gif, Quality::Lossless) => return Err("a GIF cannot be lossless".into()),
        (Codec::Gif, _) if rate.as_f64() > 100.0 => {
            return Err(format!("a GIF cannot hold {rate} frames per second, only up to 100"));
        }
        (Codec::Gif, _) => format!("-vf {PALETTES}"),
    };
    Ok(options.split(' ').chain(container.iter().copied()).map(str::to_owned).collect())
}

enum Codec {
    H264,
    Vp9,
    Gif,
}
