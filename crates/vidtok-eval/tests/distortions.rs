//! Metrics with networks on real clips, which `cargo xtask setup` and `assets` fetch.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a failure here is what the test is for

use tch::{Device, Tensor, no_grad};
use vidtok_core::{FrameSource, fetched};
use vidtok_data::{Ffmpeg, VideoReader, fit, to_unit_range};
use vidtok_eval::{EvalError, InstrumentSet, Measured, MetricKind};
use vidtok_metrics::{I3d, WeightsError};

const METRICS: [MetricKind; 4] = [MetricKind::Psnr, MetricKind::LpipsAlex, MetricKind::Fvd, MetricKind::Flicker];
const WINDOW: i64 = 9;

/// Windows `[n, 3, 9, 64, 64]` in [0, 1] of two clips; none where they were not fetched.
fn windows() -> Option<Tensor> {
    let ffmpeg = Ffmpeg::locate().ok()?;
    let mut windows = Vec::new();
    for name in ["clips/carphone_pristine.mp4", "clips/bikes.mp4"] {
        let path = fetched(name).into_iter().find(|path| path.is_file())?;
        let mut reader = VideoReader::open(&ffmpeg, path).unwrap();
        for _ in 0..3 {
            let frames = reader.next_frames(WINDOW as usize).unwrap().unwrap();
            windows.push(to_unit_range(&fit(&frames, [64, 64])));
        }
    }
    Some(Tensor::cat(&windows, 0))
}

/// Means of squares of `side` pixels in the place of each pixel.
fn blurred(clips: &Tensor, side: i64) -> Tensor {
    let size = clips.size();
    let images = clips.transpose(1, 2).reshape([-1, 3, size[3], size[4]]);
    let images = images.replication_pad2d([side / 2; 4]).avg_pool2d([side; 2], [1; 2], [0; 2], false, true, None);
    images.view([size[0], size[2], 3, size[3], size[4]]).transpose(1, 2).contiguous()
}

#[test]
fn distances_grow_with_the_distortion_and_shuffled_frames_move_only_what_sees_time() {
    let instruments = match InstrumentSet::load(&METRICS, Device::Cpu) {
        Ok(instruments) => instruments,
        Err(EvalError::Weights(WeightsError::Missing { .. })) => {
            return eprintln!("skipped, `cargo xtask assets` was not run");
        }
        Err(error) => panic!("{error}"),
    };
    let Some(clips) = windows() else { return eprintln!("skipped, the sample clips were not fetched") };
    let features = no_grad(|| instruments.features(&clips)).unwrap().unwrap();
    let measure = |target: &Tensor, reconstruction: &Tensor| {
        let mut video = instruments.start();
        no_grad(|| video.update(target, reconstruction, Some(&features))).unwrap();
        let mut measured = Measured::default();
        measured.add(&video.finish());
        METRICS.map(|kind| measured.value(kind).unwrap())
    };
    let [psnr, lpips, fvd, flicker] = measure(&clips, &clips);
    assert!((psnr - 80.0).abs() < 1e-3 && lpips.abs() < 1e-6 && fvd < 1e-3 && flicker == 0.0, "{psnr} {lpips} {fvd}");

    let noise = Tensor::randn_like(&clips);
    let noisy = |level: f64| (&clips + &noise * level).clamp(0.0, 1.0);
    for series in [[3, 5, 9].map(|side| blurred(&clips, side)), [0.03, 0.1, 0.3].map(noisy)] {
        let mut before = [80.0, 0.0, 0.0];
        for distorted in &series {
            let [psnr, lpips, fvd, _] = measure(&clips, distorted);
            let now = [psnr, lpips, fvd];
            assert!(psnr < before[0] && lpips > before[1] && fvd > before[2], "{before:?} {now:?}");
            before = now;
        }
    }

    let shuffle = |clips: &Tensor| clips.index_select(2, &Tensor::from_slice(&[4_i64, 0, 7, 2, 8, 5, 1, 6, 3]));
    let [_, _, fvd, flicker] = measure(&clips, &shuffle(&clips));
    assert!(fvd > 1.0 && flicker > 1e-3, "{fvd} {flicker}");
    // Each frame beside itself, in another order.
    let [psnr, lpips, _, flicker] = measure(&shuffle(&clips), &shuffle(&clips));
    assert!((psnr - 80.0).abs() < 1e-3 && lpips.abs() < 1e-6 && flicker == 0.0);
}

/// In the middle of that clip people ride through a wood.
#[test]
fn i3d_names_what_is_done_in_a_clip() {
    let i3d = match I3d::locate(Device::Cpu) {
        Ok(i3d) if i3d.labels().is_empty() => return eprintln!("skipped, an earlier `cargo xtask assets` was run"),
        Ok(i3d) => i3d,
        Err(WeightsError::Missing { .. }) => return eprintln!("skipped, `cargo xtask assets` was not run"),
        Err(error) => panic!("{error}"),
    };
    let path = fetched("clips/bikes.mp4").into_iter().find(|path| path.is_file());
    let (Ok(ffmpeg), Some(path)) = (Ffmpeg::locate(), path) else {
        return eprintln!("skipped, the sample clips were not fetched");
    };
    let mut reader = VideoReader::open(&ffmpeg, path).unwrap();
    reader.next_frames(100).unwrap();
    let frames = reader.next_frames(40).unwrap().unwrap();
    let logits = i3d.logits(&fit(&frames, [I3d::SIDE; 2])).unwrap();
    assert_eq!(i3d.labels().len() as i64, I3d::CLASSES);
    assert_eq!(i3d.labels()[logits.argmax(1, false).int64_value(&[0]) as usize], "riding mountain bike");
}
