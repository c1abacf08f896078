//! Metrics with networks on real clips; `cargo xtask setup` and `assets` fetch both.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a failure here is what the test is for

use tch::{Device, Tensor, no_grad};
use vidtok_core::{FrameSource, fetched};
use vidtok_data::{Ffmpeg, VideoReader, fit, to_unit_range};
use vidtok_metrics::{Fvd, I3d, MetricKind, MetricSet, WeightsError};

const METRICS: [MetricKind; 4] = [MetricKind::Psnr, MetricKind::LpipsAlex, MetricKind::Fvd, MetricKind::Flicker];
const WINDOW: i64 = 9;

/// Windows `[n, 3, 9, 64, 64]` in [0, 1] of two clips; `None` if they were not fetched.
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

/// Each pixel replaced by the mean of the square of `side` pixels around it.
fn blurred(clips: &Tensor, side: i64) -> Tensor {
    let size = clips.size();
    let images = clips.transpose(1, 2).reshape([-1, 3, size[3], size[4]]);
    let images = images.replication_pad2d([side / 2; 4]).avg_pool2d([side; 2], [1; 2], [0; 2], false, true, None);
    images.view([size[0], size[2], 3, size[3], size[4]]).transpose(1, 2).contiguous()
}

#[test]
fn distances_grow_with_the_distortion_and_shuffled_frames_change_only_metrics_of_motion() {
    let set = match MetricSet::load(&METRICS, Device::Cpu) {
        Ok(set) => set,
        Err(WeightsError::Missing { .. }) => return eprintln!("skipped, `cargo xtask assets` was not run"),
        Err(error) => panic!("{error}"),
    };
    let Some(clips) = windows() else { return eprintln!("skipped, the sample clips were not fetched") };
    let features = no_grad(|| {
        let mut clean = set.start();
        clean.update(&clips, &clips).unwrap();
        Fvd::target_features(&clean.results().samples).unwrap().copy()
    });
    let measure = |target: &Tensor, reconstruction: &Tensor| {
        let mut metrics = set.start_with(Some(&features));
        no_grad(|| metrics.update(target, reconstruction)).unwrap();
        METRICS.map(|kind| metrics.value(kind).unwrap())
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
    // Frames compared with themselves, in another order.
    let [psnr, lpips, _, flicker] = measure(&shuffle(&clips), &shuffle(&clips));
    assert!((psnr - 80.0).abs() < 1e-3 && lpips.abs() < 1e-6 && flicker == 0.0);
}

/// The middle of the clip shows people riding through a wood.
#[test]
fn i3d_names_the_action_in_a_clip() {
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
