//! Peak signal-to-noise ratio.

use tch::{Kind, Tensor};
use vidtok_core::MetricError;

use crate::frame::FrameMetric;
use crate::frame::video::check_pair;

/// Keeps the logarithm finite: equal frames have 80 dB.
const EPS: f64 = 1e-8;

/// Peak signal-to-noise ratio of each frame: -10 log10(mse + 1e-8), in dB, on [0, 1].
#[derive(Clone, Copy, Debug, Default)]
pub struct Psnr;

impl FrameMetric for Psnr {
    fn name(&self) -> &'static str {
        "psnr"
    }

    fn frames(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        check_pair(self.name(), target, reconstruction, 1)?;
        let squared = (target.to_kind(Kind::Float) - reconstruction.to_kind(Kind::Float)).square();
        Ok((squared.mean_dim([1_i64, 3, 4].as_slice(), false, Kind::Float) + EPS).log10() * -10.0)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use vidtok_core::Metric;

    use super::*;
    use crate::frame::FrameMean;

    fn gray(level: f64) -> Tensor {
        Tensor::full([1, 3, 2, 4, 4], level, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn psnr_has_its_closed_form_and_ends_at_80_db() {
        let value = |reconstruction: f64| {
            let mut psnr = FrameMean::new(Psnr);
            psnr.update(&gray(0.5), &gray(reconstruction)).unwrap();
            psnr.value().unwrap()
        };
        assert!((value(0.25) - 12.0412).abs() < 1e-3);
        assert!((value(0.5) - 80.0).abs() < 1e-3);
    }

    #[test]
    fn videos_of_different_shapes_are_an_error_that_leaves_the_value_unchanged() {
        let mut psnr = FrameMean::new(Psnr);
        let error = psnr.update(&gray(0.5), &gray(0.5).narrow(2, 0, 1)).unwrap_err().to_string();
        assert_eq!(error, "psnr: expected a reconstruction of shape [1, 3, 2, 4, 4], found [1, 3, 1, 4, 4]");
        assert_eq!(psnr.value(), None);
    }
}
