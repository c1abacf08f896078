//! Decoding and resizing of frames.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use anyhow::{Context, Result};
use criterion::{Criterion, criterion_group, criterion_main};
use tch::Tensor;
use vidtok_core::{FrameRate, FrameSink, FrameSource, VideoError};
use vidtok_data::{Ffmpeg, Scene, VideoQuality, VideoReader, VideoWriter, fit, resize_frames};

const FRAMES: usize = 32;
const SIZE: [i64; 2] = [256, 256];
const FPS: f64 = 25.0;

fn video(criterion: &mut Criterion) -> Result<()> {
    let times: Vec<f64> = (0..FRAMES).map(|frame| frame as f64 / FPS).collect();
    let frames = Scene::new(0).frames(&times, SIZE);
    criterion.bench_function("resize_frames/32x256x256-128", |b| b.iter(|| black_box(resize_frames(&frames, 128))));
    criterion.bench_function("fit/32x256x256-128", |b| b.iter(|| black_box(fit(&frames, [128; 2]))));

    let ffmpeg = Ffmpeg::locate()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("scene.mp4");
    let rate = FrameRate::from_f64(FPS).context("no frame rate")?;
    let write = |frames: &Tensor| -> Result<(), VideoError> {
        let mut writer = VideoWriter::create(&ffmpeg, &path, SIZE, rate, VideoQuality::default())?;
        writer.write(frames)?;
        writer.finish()
    };
    write(&frames)?;
    let info = VideoReader::open(&ffmpeg, &path)?.info().clone();
    let read = || -> Result<usize, VideoError> {
        let mut reader = VideoReader::with_info(&ffmpeg, &path, info.clone());
        let mut count = 0;
        while let Some(frames) = reader.next_frames(8)? {
            count += frames.size()[0] as usize;
        }
        Ok(count)
    };
    anyhow::ensure!(read()? == FRAMES, "frames are lost");
    criterion.bench_function("open/32x256x256", |b| b.iter(|| black_box(VideoReader::open(&ffmpeg, &path))));
    criterion.bench_function("decode/32x256x256", |b| b.iter(|| black_box(read())));
    Ok(())
}

fn run(criterion: &mut Criterion) {
    if let Err(error) = video(criterion) {
        panic!("{error:#}");
    }
}

criterion_group! {
    name = benches;
    config = vidtok_benches::short_runs();
    targets = run
}
criterion_main!(benches);
