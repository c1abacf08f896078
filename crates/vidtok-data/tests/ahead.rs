//! Decoding videos ahead of their use.

#![allow(clippy::unwrap_used)] // a panic fails the test

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tch::Tensor;
use vidtok_core::{FrameRate, FrameSink};
use vidtok_data::{
    DecodeAhead, Ffmpeg, LoadError, Preparation, PreparedVideo, Scene, VideoQuality, VideoWriter, video_fault,
};

fn write(path: &Path, frames: usize, size: [i64; 2]) {
    let rate = FrameRate::new(25, 1).unwrap();
    let ffmpeg = Ffmpeg::locate().unwrap();
    let mut writer = VideoWriter::create(&ffmpeg, path, size, rate, VideoQuality::Lossless).unwrap();
    let times: Vec<f64> = (0..frames).map(|i| i as f64 / 25.0).collect();
    writer.write(&Scene::new(frames as u64).frames(&times, size)).unwrap();
    writer.finish().unwrap();
}

fn preparation() -> Preparation {
    Preparation { sample_fps: Some(12.0), shorter_side: Some(12), crop: Some([12, 10]), ..Preparation::default() }
}

/// All frames of a video, decoded in this thread.
fn frames(path: &Path) -> Tensor {
    let mut video = PreparedVideo::open(&Ffmpeg::locate().unwrap(), path, &preparation()).unwrap();
    video.next(1000).unwrap().unwrap()
}

#[test]
fn videos_arrive_in_the_requested_order_with_all_their_frames() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..7).map(|index| folder.path().join(format!("{index}.mkv"))).collect();
    for (index, path) in paths.iter().enumerate() {
        write(path, [40, 1, 7, 33, 2, 50, 3][index], [16, 20]);
    }
    std::fs::write(&paths[4], "no video").unwrap();
    for decoders in [1, 3] {
        let mut ahead = DecodeAhead::start(&Ffmpeg::locate().unwrap(), &preparation(), decoders).unwrap();
        ahead.ask(paths[..2].to_vec());
        ahead.ask(paths[2..].to_vec());
        for (index, path) in paths.iter().enumerate() {
            let mut video = ahead.next_video().unwrap();
            assert_eq!(video.path(), path);
            if index == 4 {
                let Err(LoadError::Video(error)) = video.next(3) else { panic!("{}", path.display()) };
                assert!(video_fault(&error).is_some(), "{error}");
                continue;
            }
            if index == 3 {
                continue; // dropped without reading
            }
            let info = video.info().unwrap();
            let mut parts = Vec::new();
            while let Some(part) = video.next(3).unwrap() {
                parts.push(part);
            }
            let all = Tensor::cat(&parts, 2);
            assert_eq!(all.size(), [1, 3, info.frames as i64, info.size[0], info.size[1]]);
            assert!(all.equal(&frames(path)), "{index}");
            assert!(parts.iter().rev().skip(1).all(|part| part.size()[2] == 3));
        }
        assert!(ahead.next_video().is_none());
    }
}

#[test]
fn dropping_ends_busy_decoders() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.mkv");
    write(&path, 400, [256, 256]);
    let mut ahead = DecodeAhead::start(&Ffmpeg::locate().unwrap(), &Preparation::default(), 2).unwrap();
    ahead.ask(vec![path; 100]);
    let mut video = ahead.next_video().unwrap();
    let _frames = video.next(1).unwrap().unwrap();
    let start = Instant::now();
    drop(video);
    drop(ahead);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
