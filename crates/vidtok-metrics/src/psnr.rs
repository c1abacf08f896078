//! Peak signal-to-noise ratio.

use tch::{Kind, Tensor};
use vidtok_core::Metric;

/// Keeps the logarithm finite for equal frames, which reach 80 dB.
const EPS: f64 = 1e-8;

/// The mean over frames of -10 log10(mse + 1e-8), in dB, on [0, 1].
#[derive(Clone, Copy, Debug, Default)]
pub struct Psnr {
    sum: f64,
    frames: usize,
}

impl Psnr {
    /// The PSNR of each frame, `[b, t]`, of two videos `[b, c, t, h, w]` in [0, 1].
    pub fn frames(target: &Tensor, reconstruction: &Tensor) -> Tensor {
        let squared = (target.to_kind(Kind::Float) - reconstruction.to_kind(Kind::Float)).square();
        (squared.mean_dim([1_i64, 3, 4].as_slice(), false, Kind::Float) + EPS).log10() * -10.0
    }
}

impl Metric for Psnr {
    fn name(&self) -> &'static str {
        "psnr"
    }

    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) {
        let frames = Self::frames(target, reconstruction);
        self.sum += frames.sum(Kind::Double).double_value(&[]);
        self.frames += frames.numel();
    }

    fn value(&self) -> Option<f64> {
        (self.frames > 0).then(|| self.sum / self.frames as f64)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn gray(level: f64) -> Tensor {
        Tensor::full([1, 3, 2, 4, 4], level, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn psnr_has_its_closed_form_and_ends_at_eighty() {
        let mut psnr = Psnr::default();
        assert_eq!(psnr.value(), None);
        psnr.update(&gray(0.5), &gray(0.25));
        assert!((psnr.value().unwrap() - 12.0412).abs() < 1e-3);
        let mut equal = Psnr::default();
        equal.update(&gray(0.5), &gray(0.5));
        assert!((equal.value().unwrap() - 80.0).abs() < 1e-3);
    }

    #[test]
    fn the_mean_is_over_frames_not_over_calls() {
        let frame = |x: &Tensor| x.narrow(2, 0, 1);
        let (a, b, c) = (gray(0.5), gray(0.4), gray(0.3));
        let mut once = Psnr::default();
        once.update(
            &Tensor::cat(&[frame(&a), frame(&a), frame(&a)], 2),
            &Tensor::cat(&[frame(&b), frame(&b), frame(&c)], 2),
        );
        let mut twice = Psnr::default();
        twice.update(&a, &b);
        twice.update(&frame(&a), &frame(&c));
        assert!((once.value().unwrap() - twice.value().unwrap()).abs() < 1e-5);
    }
}
