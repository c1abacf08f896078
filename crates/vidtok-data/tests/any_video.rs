//! Every intact video is read as ffmpeg decodes it.

#![allow(clippy::unwrap_used)]

mod random_video;

use random_video::RandomVideo;
use vidtok_core::FrameSource;
use vidtok_data::{Ffmpeg, VideoReader};

/// Reads the videos of these seeds and returns the problem of each that is misread.
fn misread(seeds: std::ops::Range<u64>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let ffmpeg = Ffmpeg::locate().unwrap();
    let check = |video: &RandomVideo| -> Result<(), String> {
        let mut reader = VideoReader::open(&ffmpeg, &video.path).map_err(|error| error.to_string())?;
        let frames = reader.next_frames(1000).map_err(|error| error.to_string())?.unwrap();
        let mut pixels = vec![0; frames.numel()];
        frames.copy_data_u8(&mut pixels, frames.numel());
        let expected = video.decoded();
        if pixels.len() != expected.len() {
            let frame = expected.len() * frames.size()[0] as usize / pixels.len();
            return Err(format!("{} frames, ffmpeg has {frame}", frames.size()[0]));
        }
        let same = pixels == expected;
        same.then_some(()).ok_or_else(|| "other pixels".to_owned())
    };
    seeds
        .filter_map(|seed| match RandomVideo::make(folder.path(), seed) {
            Ok(video) => check(&video).err().map(|error| format!("{}: {error}", video.kind)),
            Err(error) => Some(error),
        })
        .collect()
}

#[test]
fn twenty_random_videos_are_read_as_ffmpeg_decodes_them() {
    let wrong = misread(0..20);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Takes minutes: `cargo test --workspace --test any_video -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn two_hundred_random_videos_are_read_as_ffmpeg_decodes_them() {
    let wrong = misread(20..220);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
