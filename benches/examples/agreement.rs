//! Our metrics on real clips, printed as a line of JSON.
//!
//! `benches/agreement/compare.py` (`cargo xtask agree`) starts it and compares with Python packages. The frames that both
//! measure are written to a file.

#![allow(clippy::print_stdout, reason = "the program prints its result")]

use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor, no_grad};
use vidtok_core::{FrameSource, fetched};
use vidtok_data::{Ffmpeg, VideoReader, fit, to_unit_range};
use vidtok_golden::unit;
use vidtok_metrics::{FrameMetric, Fvd, Gaussian, I3d, Lpips, LpipsMetric, LpipsNet, MsSsim, Ssim, frechet_distance};
use vidtok_torch::write_tensors;

/// Clips of `cargo xtask setup`, with people, an animal and a drawing.
const CLIPS: [&str; 3] = ["bikes.mp4", "cockatoo.mp4", "bigbuckbunny.mp4"];
const WINDOWS: usize = 2;
const FRAMES: usize = 17;
const SIDE: i64 = 192;

/// The number of leading frames for image metrics, and the further clip lengths for I3D. `packages.py` has the same
/// values.
const IMAGES: i64 = 4;
const LENGTHS: [i64; 3] = [9, 10, 16];

#[derive(Parser)]
#[command(about = "Our metrics on real clips for `cargo xtask agree`")]
struct Arguments {
    /// The file to write the frames to
    frames: PathBuf,
}

fn main() -> Result<()> {
    let Arguments { frames } = Arguments::parse();
    let clips = CLIPS.map(windows).into_iter().collect::<Result<Vec<_>>>()?;
    let target = Tensor::cat(&clips, 0);
    let reconstruction = distorted(&target);
    write_tensors(&frames, [("target", &target), ("reconstruction", &reconstruction)], [])?;
    println!("{}", no_grad(|| measure(&target, &reconstruction))?);
    Ok(())
}

/// The first windows of a clip, `[2, 3, 17, 192, 192]` in [0, 1].
fn windows(clip: &str) -> Result<Tensor> {
    let path = fetched(format!("clips/{clip}")).into_iter().find(|path| path.is_file());
    let path = path.with_context(|| format!("{clip} is missing in .deps/clips; run `cargo xtask setup`"))?;
    let mut reader = VideoReader::open(&Ffmpeg::locate()?, path)?;
    let mut windows = Vec::new();
    for _ in 0..WINDOWS {
        let frames = reader.next_frames(FRAMES)?.with_context(|| format!("{clip} is too short"))?;
        windows.push(to_unit_range(&fit(&frames, [SIDE; 2])));
    }
    Ok(Tensor::cat(&windows, 0))
}

/// The mean of the clips and their 5x5 blur, with noise.
fn distorted(clips: &Tensor) -> Tensor {
    let size = clips.size();
    let images = clips.transpose(1, 2).reshape([-1, 3, SIDE, SIDE]);
    let blurred = images.replication_pad2d([2; 4]).avg_pool2d([5; 2], [1; 2], [0; 2], false, true, None);
    let blurred = blurred.view([size[0], size[2], 3, SIDE, SIDE]).transpose(1, 2);
    ((clips + blurred) * 0.5 + unit("noise", &size, 0) * 0.05).clamp(0.0, 1.0).contiguous()
}

fn measure(target: &Tensor, reconstruction: &Tensor) -> Result<Value> {
    let mut found = Map::new();
    let mut add = |name: &str, values: &Tensor| {
        let values = Vec::<f64>::try_from(values.to_kind(Kind::Double).flatten(0, -1))?;
        found.insert(name.to_owned(), values.into());
        anyhow::Ok(())
    };

    let i3d = I3d::locate(Device::Cpu)?;
    let (x, y) = (Fvd::features(&i3d, target)?, Fvd::features(&i3d, reconstruction)?);
    add("I3D, logits", &Tensor::cat(&[&x, &y], 0))?;
    for length in LENGTHS {
        let start = target.narrow(0, 0, 1).narrow(2, 0, length);
        add(&format!("I3D, logits of {length} frames"), &Fvd::features(&i3d, &start)?)?;
    }
    let [mut before, mut after] = [Gaussian::default(), Gaussian::default()];
    before.update(&x);
    after.update(&y);
    let distance = frechet_distance(&before, &after).context("two windows are needed")?;
    add("FVD", &Tensor::from_slice(&[distance]))?;

    let [first, second] = [target, reconstruction].map(|clips| clips.narrow(2, 0, IMAGES));
    for (net, name) in [(LpipsNet::Vgg, "LPIPS (VGG)"), (LpipsNet::Alex, "LPIPS (Alex)")] {
        let lpips = LpipsMetric::new(Rc::new(Lpips::locate(net, Device::Cpu)?));
        add(name, &lpips.frames(&first, &second)?)?;
    }
    add("SSIM", &Ssim.frames(&first, &second)?)?;
    add("MS-SSIM", &MsSsim.frames(&first, &second)?)?;

    Ok(json!({"numbers": found}))
}
