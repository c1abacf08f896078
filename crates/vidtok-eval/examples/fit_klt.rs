//! Fits the Karhunen-Loève transform of 4x8x8 blocks to random clips of videos and photographs, and writes the mean and the
//! first 16 basis vectors: the file that the codec `klt:N` contains.
//!
//! cargo run --release --example fit_klt -- VIDEOS PHOTOGRAPHS OUT.f32

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tch::Tensor;
use vidtok::KltFit;
use vidtok_data::{
    ClipRule, ClipSet, ClipSpec, Crop, Ffmpeg, HeldOut, InputOptions, Library, LibraryOptions, Mixture, Source,
    find_images, find_videos,
};

const SIDE: i64 = 256;
const CLIPS: u64 = 400;
/// Memory for decoded frames.
const CACHE: u64 = 3 << 30;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [videos, photographs, out] = arguments.as_slice() else { return Err("usage: VIDEOS PHOTOGRAPHS OUT".into()) };
    let library = Library::open(&LibraryOptions { cache_bytes: CACHE, ..LibraryOptions::default() })?;
    let rule = ClipRule { frames: 16, sample_fps: None };
    let (size, held_out) = ([SIDE, SIDE], HeldOut::NONE);
    let spec = ClipSpec { rule, size, shorter_side: SIDE, crop: Crop::Random, flip: true, held_out, filmed: false };
    let open = |paths: Vec<PathBuf>, spec: ClipSpec| -> Result<Arc<ClipSet>, Box<dyn Error>> {
        let source = Source::Videos { ffmpeg: Ffmpeg::locate()?, paths, input: InputOptions::default() };
        Ok(Arc::new(ClipSet::open(&library, source, spec)?))
    };
    let filmed = open(find_images(photographs)?.videos, spec.for_photographs(2 * SIDE))?;
    let clips = Mixture::new(vec![(open(find_videos(videos)?.videos, spec)?, 0.5), (filmed, 0.5)])?;
    let mut fit = KltFit::new(4, 8);
    for step in 0..CLIPS {
        fit.add(&clips.choose(0, step).batch(0, step, 1)?.clips);
    }
    let klt = fit.finish(16);
    let rows = Tensor::cat(&[klt.mean.unsqueeze(0), klt.basis], 0).flatten(0, -1);
    let bytes: Vec<u8> = Vec::<f32>::try_from(rows)?.iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(out, bytes)?;
    Ok(())
}
