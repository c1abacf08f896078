//! Small videos, and an ffmpeg that records its calls.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tch::{Kind, Tensor};
use tempfile::TempDir;
use vidtok_core::{FrameRate, FrameSink};
use vidtok_data::{
    ClipRule, ClipSet, ClipSpec, Crop, Ffmpeg, HeldOut, InputOptions, Library, LibraryOptions, Source, VideoQuality,
    VideoWriter,
};

pub(crate) fn ffmpeg() -> Ffmpeg {
    Ffmpeg::locate().unwrap()
}

pub(crate) fn write(path: &Path, frames: &Tensor) {
    let size = [frames.size()[1], frames.size()[2]];
    let fps = FrameRate::new(25, 1).unwrap();
    let mut writer = VideoWriter::create(&ffmpeg(), path, size, fps, VideoQuality::Lossless).unwrap();
    writer.write(frames).unwrap();
    writer.finish().unwrap();
}

/// A video of 24x32 whose frame i has the value `first + 4 * i` in every pixel.
pub(crate) fn counting(path: &Path, length: i64, first: i64) {
    let values = Tensor::arange(length, (Kind::Int64, tch::Device::Cpu)) * 4 + first;
    write(path, &values.to_kind(Kind::Uint8).view([length, 1, 1, 1]).repeat([1, 24, 32, 3]));
}

/// `0.mkv`, `1.mkv`, ... of these lengths.
pub(crate) fn countings(folder: &TempDir, lengths: &[i64]) -> Vec<PathBuf> {
    let video = |(i, &length): (usize, &i64)| {
        let path = folder.path().join(format!("{i}.mkv"));
        counting(&path, length, 0);
        path
    };
    lengths.iter().enumerate().map(video).collect()
}

/// Writes a frame, uint8 `[h, w, 3]`, as a PNG file.
pub(crate) fn save_png(path: &Path, frame: &Tensor) {
    let size = frame.size();
    let pixels = Vec::<u8>::try_from(frame.flatten(0, -1)).unwrap();
    image::save_buffer(path, &pixels, size[1] as u32, size[0] as u32, image::ExtendedColorType::Rgb8).unwrap();
}

/// The frame numbers in a clip `[b, 3, t, h, w]` of a counting video.
pub(crate) fn numbers(clips: &Tensor) -> Vec<i64> {
    let values = clips.select(1, 0).select(2, 0).select(2, 0);
    Vec::try_from(((values + 1.0) * 127.5 / 4.0).round().to_kind(Kind::Int64).flatten(0, -1)).unwrap()
}

pub(crate) fn spec(frames: usize) -> ClipSpec {
    let rule = ClipRule { frames, sample_fps: None };
    let held_out = HeldOut::NONE;
    ClipSpec { rule, size: [16, 16], shorter_side: 24, crop: Crop::Random, flip: false, held_out, filmed: false }
}

/// A library in memory whose cache holds everything.
pub(crate) fn library() -> Arc<Library> {
    Library::open(&LibraryOptions { cache_bytes: 1 << 30, ..LibraryOptions::default() }).unwrap()
}

pub(crate) fn videos(paths: Vec<PathBuf>) -> Source {
    Source::Videos { ffmpeg: ffmpeg(), paths, input: InputOptions::default() }
}

pub(crate) fn open(paths: &[PathBuf], spec: ClipSpec) -> ClipSet {
    ClipSet::open(&library(), videos(paths.to_vec()), spec).unwrap()
}

/// A program that runs the shell commands `first` and then ffmpeg.
pub(crate) fn ffmpeg_after(folder: &TempDir, first: &str) -> Ffmpeg {
    let program = folder.path().join("watched-ffmpeg");
    fs::write(&program, format!("#!/bin/sh\n{first}\nexec '{}' \"$@\"\n", ffmpeg().program().display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // Children of other tests may hold the file open for writing between fork and exec.
    for _ in 0..100 {
        if let Ok(ffmpeg) = Ffmpeg::at(&program) {
            return ffmpeg;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ffmpeg::at(program).unwrap()
}

/// An ffmpeg that records its arguments, and a function that returns how many videos it has probed so far.
pub(crate) fn counted(folder: &TempDir) -> (Ffmpeg, impl Fn() -> usize + use<>) {
    let log = folder.path().join("calls");
    let ffmpeg = ffmpeg_after(folder, &format!("echo \"$@\" >> '{}'", log.display()));
    (ffmpeg, move || fs::read_to_string(&log).unwrap_or_default().matches("framecrc").count())
}
