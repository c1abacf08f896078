//! Writes synthetic videos, to try things without real ones:
//! `cargo run --release -p vidtok-data --example scenes -- FOLDER [COUNT] [FRAMES]`.
//!
//! 128x128 pixels, 30 frames per second, lossless.

use std::error::Error;
use std::path::Path;

use vidtok_core::{FrameRate, FrameSink};
use vidtok_data::{Ffmpeg, Scene, VideoQuality, VideoWriter};

const SIDE: i64 = 128;
const RATE: u32 = 30;
/// Far from the seeds of training scenes.
const FIRST_SEED: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().ok_or("expected a folder")?;
    let number = |index: usize, default: u64| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let (count, frames) = (number(1, 4)?, number(2, 51)?);
    std::fs::create_dir_all(folder)?;
    let ffmpeg = Ffmpeg::locate()?;
    let rate = FrameRate::new(RATE, 1).ok_or("invalid frame rate")?;
    let times: Vec<f64> = (0..frames).map(|frame| frame as f64 / f64::from(RATE)).collect();
    for scene in 0..count {
        let path = Path::new(folder).join(format!("scene-{scene}.mp4"));
        let mut writer = VideoWriter::create(&ffmpeg, path, [SIDE; 2], rate, VideoQuality::Lossless)?;
        writer.write(&Scene::new(FIRST_SEED + scene).frames(&times, [SIDE; 2]))?;
        writer.finish()?;
    }
    Ok(())
}
