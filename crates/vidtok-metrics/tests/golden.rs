//! The metrics compared with the reference implementations.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a failure here is what the test is for

use tch::{Device, Kind, Tensor, no_grad};
use vidtok_core::Metric;
use vidtok_golden::{unit, weights};
use vidtok_metrics::{
    FrameMean, Fvd, Gaussian, I3d, Lpips, LpipsNet, MsSsim, Psnr, Ssim, WeightsError, frechet_distance,
};
use vidtok_torch::ParamPath;

/// Two images `[2, 3, h, w]` in [0, 1], the second a noisy copy of the first.
fn images(h: i64, w: i64) -> [Tensor; 2] {
    let noise = |name| unit(name, &[2, 3, h, w], 0);
    let clean = (noise("a") + 1.0) / 2.0;
    let noisy = (&clean + noise("b") * 0.1).clamp(0.0, 1.0);
    [clean, noisy]
}

#[test]
fn psnr_and_ssim_equal_the_reference() {
    for (h, w, psnr, ssim) in [
        (64, 80, 24.979_808_8, 0.980_329_752),
        (256, 256, 24.992_357_3, 0.980_427_444),
        (512, 640, 24.998_233_8, 0.980_456_471),
    ] {
        let [clean, noisy] = images(h, w).map(|images| images.unsqueeze(2));
        let expected: [(Box<dyn Metric>, f64); 2] =
            [(Box::new(FrameMean::new(Psnr)), psnr), (Box::new(FrameMean::new(Ssim)), ssim)];
        for (mut metric, expected) in expected {
            metric.update(&clean, &noisy).unwrap();
            let value = metric.value().unwrap();
            assert!((value / expected - 1.0).abs() < 1e-5, "{} of {h}x{w}: {value}", metric.name());
        }
    }
}

/// The expected values come from pytorch-msssim in float64. (It treats odd sides differently.)
#[test]
fn ms_ssim_equals_pytorch_msssim() {
    for (h, w, noisy, worse) in
        [(176, 208, 0.983_619_287_9, 0.605_480_077_8), (256, 256, 0.984_281_829_6, 0.599_886_131_5)]
    {
        let [clean, slightly_noisy] = images(h, w);
        let very_noisy = (&clean * 0.5 + 0.25 + unit("b", &[2, 3, h, w], 0) * 0.4).clamp(0.0, 1.0);
        for (reconstruction, expected) in [(slightly_noisy, noisy), (very_noisy, worse)] {
            let mut metric = FrameMean::new(MsSsim);
            metric.update(&clean.unsqueeze(2), &reconstruction.unsqueeze(2)).unwrap();
            let value = metric.value().unwrap();
            assert!((value / expected - 1.0).abs() < 1e-4, "{h}x{w}: {value}, expected {expected}");
        }
    }
}

/// The expected values come from NumPy: at full rank from the covariances, at low rank, where roots of products are
/// inexact, from the samples. `scipy.linalg.sqrtm` agrees to the digits that it has there.
#[test]
fn the_frechet_distance_equals_numpy_at_full_and_at_low_rank() {
    let double = |name: &str, shape: &[i64]| unit(name, shape, 0).to_kind(Kind::Double);
    let x = double("x", &[30, 6]).matmul(&double("m", &[6, 6])) + double("s", &[6]);
    let y = double("y", &[25, 6]).matmul(&double("n", &[6, 6]));
    for (count_x, count_y, expected) in [(30, 25, 5.264_888_874_539_9), (4, 4, 14.519_883_923_855_8)] {
        let [mut a, mut b] = [Gaussian::default(), Gaussian::default()];
        a.update(&x.narrow(0, 0, count_x));
        b.update(&y.narrow(0, 0, count_y));
        let distance = frechet_distance(&a, &b).unwrap();
        assert!((distance / expected - 1.0).abs() < 1e-12, "{distance}, expected {expected}");
    }
}

/// The network with formula weights, under their names in the reference's trainer.
fn formula_lpips(net: LpipsNet) -> Lpips {
    let shapes = ParamPath::shapes();
    let _ = Lpips::new(&shapes, net);
    let shapes = shapes.finish().unwrap();
    let root = ParamPath::loaded(weights(shapes.iter(), "loss.perceptual_loss."), Device::Cpu, Kind::Float);
    let lpips = Lpips::new(&root, net);
    let parameters = root.finish().unwrap();
    assert!(parameters.iter().all(|(_, parameter)| !parameter.requires_grad()));
    lpips
}

fn assert_close(found: &Tensor, expected: &[f64], tolerance: f64) {
    let found: Vec<f64> = Vec::try_from(found.to_kind(Kind::Double)).unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found / expected - 1.0).abs() < tolerance, "{found}, expected {expected}");
    }
}

#[test]
fn lpips_with_formula_weights_equals_the_reference() {
    let lpips = formula_lpips(LpipsNet::Vgg);
    let [clean, noisy] = images(64, 80).map(|images| images * 2.0 - 1.0);
    let expected = [-0.000_280_588_865, -0.000_271_381_548];
    assert_close(&no_grad(|| lpips.forward(&clean, &noisy)).unwrap(), &expected, 1e-4);
    // The distance is the same with the images swapped, one by one, and with gradients enabled.
    let second = |images: &Tensor| images.narrow(0, 1, 1).set_requires_grad(true);
    assert_close(&lpips.forward(&second(&noisy), &second(&clean)).unwrap(), &expected[1..], 1e-4);
}

/// The expected values come from the package that publishes the weights.
#[test]
fn lpips_with_released_weights_equals_the_published_package() {
    let axis = |extent: i64, shape: [i64; 3]| Tensor::arange(extent, (Kind::Double, Device::Cpu)).view(shape);
    let (channel, row, column) = (axis(3, [3, 1, 1]), axis(64, [1, 64, 1]), axis(64, [1, 1, 64]));
    let waves = (channel + 1.0) * 0.1 * row + column * 0.07;
    let image = |shift: f64| (&waves + shift).sin().unsqueeze(0);
    for (net, expected) in [(LpipsNet::Alex, 0.035_507_604_5), (LpipsNet::Vgg, 0.109_694_533)] {
        match Lpips::locate(net, Device::Cpu) {
            Ok(lpips) => assert_close(&lpips.forward(&image(0.0), &image(0.5)).unwrap(), &[expected], 1e-3),
            Err(WeightsError::Missing { .. }) => eprintln!("skipped, `cargo xtask assets` was not run: LPIPS ({net})"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The expected values come from the package that publishes the weights.
#[test]
fn i3d_with_released_weights_equals_the_published_package() {
    let i3d = match I3d::locate(Device::Cpu) {
        Ok(i3d) => i3d,
        Err(WeightsError::Missing { .. }) => return eprintln!("skipped, `cargo xtask assets` was not run: I3D"),
        Err(error) => panic!("{error}"),
    };
    let axis = |extent: i64, shape: [i64; 4]| Tensor::arange(extent, (Kind::Double, Device::Cpu)).view(shape);
    let rows = (axis(3, [3, 1, 1, 1]) + 1.0) * 0.05 * axis(224, [1, 1, 224, 1]);
    let waves = rows + axis(224, [1, 1, 1, 224]) * 0.03 + axis(17, [1, 17, 1, 1]) * 0.4;
    let clip = waves.sin().unsqueeze(0);
    let logits = i3d.logits(&clip).unwrap();
    let norm = logits.square().sum(Kind::Double).sqrt().double_value(&[]);
    assert!((norm / 206.657_531_738 - 1.0).abs() < 1e-3, "{norm}");
    let expected = [-4.743468, 19.168808, 7.909101, 6.224504, 8.515996, 0.149579, 0.085882, -15.256400];
    assert_close(&logits.get(0).narrow(0, 0, expected.len() as i64), &expected, 1e-3);
    // Frames of 224x224 are not resized.
    let features = Fvd::features(&i3d, &((clip + 1.0) / 2.0)).unwrap();
    assert!(features.allclose(&logits, 1e-3, 1e-3, false));
}
