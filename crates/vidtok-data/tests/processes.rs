//! Readers and writers that are dropped early leave neither processes nor files. This test has its own program, since
//! it checks all children of the process.

#![cfg(target_os = "linux")]

use std::fs;

use vidtok_core::{FrameRate, FrameSink, FrameSource};
use vidtok_data::{Ffmpeg, Scene, VideoQuality, VideoReader, VideoWriter};

/// The children of this process, including zombies.
fn children() -> Vec<String> {
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten().map(of_task);
    tasks.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn dropped_readers_and_writers_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = Ffmpeg::locate().unwrap();
    let path = folder.path().join("a.mp4");
    let fps = FrameRate::new(25, 1).unwrap();
    let times: Vec<f64> = (0..10).map(f64::from).collect();
    let frames = Scene::new(0).frames(&times, [240, 320]);

    let mut writer = VideoWriter::create(&ffmpeg, &path, [240, 320], fps, VideoQuality::default()).unwrap();
    writer.write(&frames).unwrap();
    assert_eq!(children().len(), 1);
    drop(writer);
    assert_eq!(children(), [""; 0]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    let mut writer = VideoWriter::create(&ffmpeg, &path, [240, 320], fps, VideoQuality::default()).unwrap();
    writer.write(&frames).unwrap();
    writer.finish().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let mut reader = VideoReader::open(&ffmpeg, &path).unwrap();
    reader.next_frames(1).unwrap();
    assert_eq!(children().len(), 1);
    drop(reader);
    assert_eq!(children(), [""; 0]);
}
