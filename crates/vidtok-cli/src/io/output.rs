//! Output clips: video files through ffmpeg, or tensors in `.safetensors` files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tch::{Device, Tensor};
use vidtok_core::{FrameSink, temporary_beside};
use vidtok_data::{Destination, Ffmpeg, Notice, Timeline, VideoWriter, WriteOptions, to_frames};
use vidtok_torch::write_tensors;

use crate::io::standard::{is_standard, is_tensor_name, write_file};
use crate::terminal::notices;

/// A clip that is written in order. The file gets its name when it is finished.
pub(crate) struct Output {
    path: PathBuf,
    sink: Sink,
    options: WriteOptions,
    notices: Vec<Notice>,
}

enum Sink {
    /// All frames so far.
    Tensor(Vec<Tensor>),
    /// The writer starts with the first frames, which determine the size.
    Video(Option<Box<dyn FrameSink + Send>>, Timeline),
}

impl Output {
    /// Checks that the file can be written.
    ///
    /// A video file needs a `timeline`. Standard output becomes a video if there is a timeline, otherwise a tensor
    /// file.
    pub(crate) fn new(path: &Path, timeline: Option<Timeline>, options: WriteOptions) -> anyhow::Result<Self> {
        check_writable(path)?;
        let sink = match timeline {
            _ if is_tensor_name(path) => Sink::Tensor(Vec::new()),
            None if is_standard(path) => Sink::Tensor(Vec::new()),
            Some(timeline) => Sink::Video(None, timeline),
            None => bail!(
                "{}: a video file needs a frame rate, and the input has none; give --fps, or write .safetensors",
                path.display()
            ),
        };
        Ok(Self { path: path.to_owned(), sink, options, notices: Vec::new() })
    }

    /// The most memory that it takes for a clip of `[t, h, w]`, in bytes. A tensor file is written at once, from its
    /// joined parts.
    pub(crate) fn peak_bytes(&self, [t, h, w]: [i64; 3]) -> u64 {
        match self.sink {
            Sink::Tensor(_) => 2 * (t * h * w * 3).unsigned_abs() * size_of::<f32>() as u64,
            Sink::Video(..) => 0,
        }
    }

    /// Appends frames `[b, 3, t, h, w]` in [-1, 1].
    pub(crate) fn write(&mut self, frames: &Tensor) -> anyhow::Result<()> {
        match &mut self.sink {
            // Only a part of a long clip fits a GPU.
            Sink::Tensor(parts) => parts.push(frames.to_device(Device::Cpu)),
            Sink::Video(sink, timeline) => {
                let size = frames.size();
                if size[0] != 1 {
                    bail!("{}: a video file holds one clip, not {}; write .safetensors", self.path.display(), size[0]);
                }
                let sink = match sink {
                    Some(sink) => sink,
                    None => {
                        let ffmpeg = Ffmpeg::locate()?;
                        let size = [size[3], size[4]];
                        let destination = match is_standard(&self.path) {
                            true => Destination::StandardOutput,
                            false => Destination::File(self.path.clone()),
                        };
                        let writer = VideoWriter::with_timeline(&ffmpeg, destination, size, timeline, self.options)?;
                        self.notices = writer.notices();
                        sink.insert(Box::new(writer))
                    }
                };
                sink.write(&to_frames(frames))?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self.sink {
            Sink::Tensor(parts) if parts.is_empty() => bail!("{}: no frames were decoded", self.path.display()),
            Sink::Tensor(parts) => {
                let video = Tensor::cat(&parts, 2).contiguous();
                write_file(&self.path, |path| Ok(write_tensors(path, [("video", &video)], [])?))?;
            }
            Sink::Video(Some(mut sink), _) => sink.finish()?,
            Sink::Video(None, _) => bail!("{}: no frames were decoded", self.path.display()),
        }
        notices::print(self.path.display(), &self.notices);
        Ok(())
    }
}

/// Checks that `path` can be written, before any work is done for it.
fn check_writable(path: &Path) -> anyhow::Result<()> {
    if is_standard(path) {
        return Ok(());
    }
    temporary_beside(path).map(drop).with_context(|| format!("{}: cannot write this file", path.display()))
}

/// Checks that `path` can be written and ends in `.safetensors`. One-file models and encoded clips are recognised by
/// that extension.
pub(crate) fn check_tensor_output(path: &Path) -> anyhow::Result<()> {
    if path.extension() != Some(OsStr::new("safetensors")) {
        bail!("{}: expected a name that ends in .safetensors", path.display());
    }
    check_writable(path)
}
