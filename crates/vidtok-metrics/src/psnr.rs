//! Peak signal-to-noise ratio.

use tch::{Kind, Tensor};
use vidtok_core::{Metric, MetricError};

use crate::frames::check_pair;
use crate::mean::Mean;

const NAME: &str = "psnr";

/// Keeps the logarithm finite for equal frames, which reach 80 dB.
const EPS: f64 = 1e-8;

/// The mean over frames of -10 log10(mse + 1e-8), in dB, on [0, 1].
#[derive(Clone, Copy, Debug, Default)]
pub struct Psnr {
    mean: Mean,
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
        NAME
    }

    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError> {
        check_pair(NAME, target, reconstruction, 1)?;
        self.mean.add(&Self::frames(target, reconstruction));
        Ok(())
    }

    fn value(&self) -> Option<f64> {
        self.mean.value()
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
        psnr.update(&gray(0.5), &gray(0.25)).unwrap();
        assert!((psnr.value().unwrap() - 12.0412).abs() < 1e-3);
        let mut equal = Psnr::default();
        equal.update(&gray(0.5), &gray(0.5)).unwrap();
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
        )
        .unwrap();
        let mut twice = Psnr::default();
        twice.update(&a, &b).unwrap();
        twice.update(&frame(&a), &frame(&c)).unwrap();
        assert!((once.value().unwrap() - twice.value().unwrap()).abs() < 1e-5);
    }

    #[test]
    fn videos_of_two_shapes_are_an_error_that_changes_nothing() {
        let mut psnr = Psnr::default();
        let error = psnr.update(&gray(0.5), &gray(0.5).narrow(2, 0, 1)).unwrap_err().to_string();
        assert_eq!(error, "psnr: expected a reconstruction of shape [1, 3, 2, 4, 4], found [1, 3, 1, 4, 4]");
        assert_eq!(psnr.value(), None);
    }
}
