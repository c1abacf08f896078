//! Training clips from real files and made-up scenes.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Kind, Tensor};
use tempfile::TempDir;
use vidtok_core::{FrameRate, FrameSink};
use vidtok_data::{
    ClipRule, ClipSet, ClipSpec, Crop, Ffmpeg, LoadError, Loader, LoaderOptions, Quality, Scene, Source, VideoWriter,
};

const ROOM: u64 = 1 << 30;

fn write(path: &Path, frames: &Tensor) {
    let size = [frames.size()[1], frames.size()[2]];
    let ffmpeg = Ffmpeg::locate().unwrap();
    let fps = FrameRate::new(25, 1).unwrap();
    let mut writer = VideoWriter::create(&ffmpeg, path, size, fps, Quality::Lossless).unwrap();
    writer.write(frames).unwrap();
    Box::new(writer).finish().unwrap();
}

/// Videos whose frame i has the value 4 * i in every pixel.
fn counting(folder: &TempDir, lengths: &[i64]) -> Vec<PathBuf> {
    let video = |(i, &length): (usize, &i64)| {
        let path = folder.path().join(format!("{i}.mkv"));
        let values = Tensor::arange(length, (Kind::Int64, tch::Device::Cpu)) * 4;
        write(&path, &values.to_kind(Kind::Uint8).view([length, 1, 1, 1]).repeat([1, 24, 32, 3]));
        path
    };
    lengths.iter().enumerate().map(video).collect()
}

fn videos(paths: Vec<PathBuf>) -> Source {
    Source::Videos { ffmpeg: Ffmpeg::locate().unwrap(), paths }
}

fn spec(frames: usize, held_out: usize) -> ClipSpec {
    let rule = ClipRule { frames, sample_fps: None };
    ClipSpec { rule, size: [16, 16], shorter_side: 24, crop: Crop::Random, held_out }
}

/// The frame that each frame of a `[b, 3, t, h, w]` clip of a counting video is.
fn numbers(clips: &Tensor) -> Vec<i64> {
    let values = clips.select(1, 0).select(2, 0).select(2, 0);
    Vec::try_from(((values + 1.0) * 127.5 / 4.0).round().to_kind(Kind::Int64).flatten(0, -1)).unwrap()
}

fn batches(set: &Arc<ClipSet>, workers: usize, first_step: u64, count: usize) -> Vec<Tensor> {
    let options = LoaderOptions { batch: 2, seed: 5, first_step, workers, prefetch: 2 };
    Loader::start(Arc::clone(set), options).unwrap().take(count).map(Result::unwrap).collect()
}

#[test]
fn batches_depend_on_seed_and_step_alone() {
    let open = || Arc::new(ClipSet::open(Source::Procedural { scenes: 2, seed: 1 }, spec(4, 1), ROOM).unwrap());
    let set = open();
    let one = batches(&set, 1, 0, 7);
    assert_eq!(one[0].size(), [2, 3, 4, 16, 16]);
    assert!(one[0].abs().max().double_value(&[]) <= 1.0);
    assert!(one == batches(&open(), 3, 0, 7), "the number of threads matters");
    assert!(one[4..] == batches(&set, 2, 4, 3), "a later start gives other clips");
    assert!(one[0] != one[1]);
    assert!(one[0] != set.batch(6, 0, 2).unwrap(), "another seed gives the same clips");
}

#[test]
fn clips_without_room_in_memory_are_the_same() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.mkv");
    let times: Vec<f64> = (0..20).map(|i| f64::from(i) / 25.0).collect();
    write(&path, &Scene::new(2).frames(&times, [37, 61]));
    let both = vec![path.clone(), path];
    let kept = ClipSet::open(videos(both.clone()), spec(4, 1), ROOM).unwrap();
    // Room for the first of the two: 20 frames of 24x39.
    let half = ClipSet::open(videos(both.clone()), spec(4, 1), 20 * 24 * 39 * 3).unwrap();
    let anew = ClipSet::open(videos(both), spec(4, 1), 0).unwrap();
    for step in 0..3 {
        let expected = kept.batch(0, step, 2).unwrap();
        assert!(half.batch(0, step, 2).unwrap() == expected);
        assert!(anew.batch(0, step, 2).unwrap() == expected);
    }
    assert!(anew.held_out().unwrap()[0].1 == kept.held_out().unwrap()[0].1);
}

#[test]
fn held_out_frames_are_never_trained_on() {
    let folder = TempDir::new().unwrap();
    let set = ClipSet::open(videos(counting(&folder, &[30, 12, 4])), spec(5, 2), ROOM).unwrap();
    let held_out = set.held_out().unwrap();
    // 2 * 5 frames at the end of the first; the second would keep 2 to train on, the third is too short.
    let clips: Vec<_> = held_out.iter().map(|(_, clip)| numbers(clip)).collect();
    assert_eq!(clips, [[20, 21, 22, 23, 24], [25, 26, 27, 28, 29]]);
    assert!(held_out[0].0.ends_with("0.mkv"));
    let mut seen: Vec<_> = (0..40).flat_map(|step| numbers(&set.batch(0, step, 4).unwrap())).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

#[test]
fn clips_follow_the_wanted_rate_and_short_videos_repeat_their_last_frame() {
    let folder = TempDir::new().unwrap();
    let rule = ClipRule { frames: 4, sample_fps: Some(5.0) };
    let spec = ClipSpec { rule, held_out: 0, ..spec(4, 0) };
    let set = ClipSet::open(videos(counting(&folder, &[17])), spec, ROOM).unwrap();
    // One start: 0 = 17 - 16 - 1. Steps of 16/3 frames.
    assert_eq!(numbers(&set.batch(0, 0, 1).unwrap()), [0, 5, 10, 16]);
    let set = ClipSet::open(videos(counting(&folder, &[2])), spec, ROOM).unwrap();
    assert_eq!(numbers(&set.batch(0, 0, 1).unwrap()), [0, 1, 1, 1]);
}

#[test]
fn unreadable_videos_are_errors_not_pictures() {
    let folder = TempDir::new().unwrap();
    let paths = counting(&folder, &[8, 8]);
    for room in [ROOM, 0] {
        let set = Arc::new(ClipSet::open(videos(paths.clone()), spec(3, 0), room).unwrap());
        let video = fs::read(&paths[0]).unwrap();
        fs::write(&paths[0], &video[..video.len() / 2]).unwrap();
        let options = LoaderOptions { batch: 4, seed: 0, first_step: 0, workers: 2, prefetch: 1 };
        let failed = Loader::start(set, options).unwrap().take(4).find_map(Result::err).unwrap();
        assert!(failed.to_string().contains("0.mkv"), "{failed}");
        let error = ClipSet::open(videos(paths.clone()), spec(3, 0), ROOM).unwrap_err().to_string();
        assert!(error.contains("0.mkv"), "{error}");
        fs::write(&paths[0], video).unwrap();
    }
}

#[test]
fn of_several_unreadable_videos_the_first_is_named() {
    let folder = TempDir::new().unwrap();
    let mut paths = counting(&folder, &[8; 9]);
    for i in [4, 6, 8] {
        paths[i] = folder.path().join(format!("missing{i}.mkv"));
    }
    let error = ClipSet::open(videos(paths), spec(3, 0), ROOM).unwrap_err().to_string();
    assert!(error.contains("missing4.mkv"), "{error}");
}

#[test]
fn impossible_clips_are_refused() {
    let scenes = |scenes| Source::Procedural { scenes, seed: 0 };
    let open = |spec| ClipSet::open(scenes(1), spec, ROOM);
    assert!(matches!(ClipSet::open(scenes(0), spec(4, 0), ROOM), Err(LoadError::NoVideos)));
    assert!(matches!(open(spec(0, 0)), Err(LoadError::EmptyClip { .. })));
    assert!(matches!(open(ClipSpec { size: [16, 0], ..spec(4, 0) }), Err(LoadError::EmptyClip { .. })));
    assert!(matches!(open(spec(400, 1)), Err(LoadError::NothingHeldOut { clips: 1, span: 400 })));
    let folder = TempDir::new().unwrap();
    let wide = ClipSpec { size: [24, 48], ..spec(4, 0) };
    let error = ClipSet::open(videos(counting(&folder, &[8])), wide, ROOM).unwrap_err().to_string();
    assert!(error.contains("0.mkv") && error.contains("[24, 32]") && error.contains("[24, 48]"), "{error}");
}
