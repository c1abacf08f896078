//! Structural similarity at several scales (Wang, Simoncelli & Bovik 2003, Asilomar).

use tch::{Kind, Tensor};
use vidtok_core::MetricError;

use crate::frame::FrameMetric;
use crate::frame::ssim::{Similarity, WINDOW};
use crate::frame::video::{check_pair, images};

/// The published exponents, from the finest scale to the coarsest.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Structural similarity of each frame at five scales, on [0, 1]; equal frames have 1.
///
/// It multiplies contrast and structure at all scales and luminance at the coarsest. Each scale is half as large as the
/// one before: means of 2x2 pixels, without an odd last row or column. Negative terms count as 0; channels are averaged
/// last.
#[derive(Clone, Copy, Debug, Default)]
pub struct MsSsim;

impl MsSsim {
    /// The smallest height and width of a frame: the coarsest scale must hold a window.
    pub const MIN_SIDE: i64 = WINDOW << (WEIGHTS.len() - 1);
}

impl FrameMetric for MsSsim {
    fn name(&self) -> &'static str {
        "ms_ssim"
    }

    fn frames(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        check_pair(self.name(), target, reconstruction, Self::MIN_SIDE)?;
        let size = target.size();
        let [mut x, mut y] = [target, reconstruction].map(images);
        let mut product = None;
        for (scale, weight) in WEIGHTS.into_iter().enumerate() {
            let Similarity { luminance, structure } = Similarity::new(&x, &y);
            let coarsest = scale + 1 == WEIGHTS.len();
            let term = if coarsest { luminance * structure } else { structure };
            let term = term.mean_dim([2_i64, 3].as_slice(), false, Kind::Float).relu().pow_tensor_scalar(weight);
            product = Some(match product {
                Some(product) => product * term,
                None => term,
            });
            if !coarsest {
                [x, y] = [x, y].map(|images| images.avg_pool2d([2; 2], [2; 2], [0; 2], false, true, None));
            }
        }
        let product = product.unwrap_or_else(|| x.shallow_clone());
        Ok(product.mean_dim(1_i64, false, Kind::Float).view([size[0], size[2]]))
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn equal_frames_have_one_and_flat_ones_the_luminance_of_the_coarsest_scale() {
        let gray = |level: f64| Tensor::full([1, 3, 2, 176, 180], level, (Kind::Float, Device::Cpu));
        let value = |x: &Tensor, y: &Tensor| MsSsim.frames(x, y).unwrap().mean(Kind::Double).double_value(&[]);
        assert!((value(&gray(0.3), &gray(0.3)) - 1.0).abs() < 1e-5);
        let luminance: f64 = (2.0 * 0.5 * 0.25 + 1e-4) / (0.25 + 0.0625 + 1e-4);
        assert!((value(&gray(0.5), &gray(0.25)) - luminance.powf(0.1333)).abs() < 1e-4);
    }

    #[test]
    fn frames_too_small_for_the_coarsest_scale_are_an_error() {
        let video = Tensor::zeros([1, 3, 1, 175, 300], (Kind::Float, Device::Cpu));
        let error = MsSsim.frames(&video, &video).unwrap_err().to_string();
        assert!(error.starts_with("ms_ssim: expected a video [b, c, t, h, w] with h and w of at least 176"), "{error}");
    }
}
