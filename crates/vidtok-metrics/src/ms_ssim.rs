//! Structural similarity at several scales (Wang, Simoncelli & Bovik 2003, Asilomar).

use tch::{Kind, Tensor};
use vidtok_core::{Metric, MetricError};

use crate::frames::{check_pair, images};
use crate::mean::Mean;
use crate::ssim::{Similarity, WINDOW};

const NAME: &str = "ms_ssim";

/// The published exponents, from the finest scale to the coarsest.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// The mean over frames of SSIM at five scales on [0, 1]; equal frames have 1.
///
/// Contrast and structure at all scales, luminance at the coarsest, each scale half as large as the one before (means of
/// 2x2 pixels, an odd last row or column left out). Negative terms count as 0; channels are averaged last.
#[derive(Clone, Copy, Debug, Default)]
pub struct MsSsim {
    mean: Mean,
}

impl MsSsim {
    /// The fewest rows and columns: the coarsest scale must hold a window.
    pub const MIN_SIDE: i64 = WINDOW << (WEIGHTS.len() - 1);

    /// The MS-SSIM of each frame, `[b, t]`, of two videos `[b, c, t, h, w]` in [0, 1].
    ///
    /// # Errors
    /// If the shapes differ or frames are smaller than [`MIN_SIDE`](Self::MIN_SIDE).
    pub fn frames(target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        check_pair(NAME, target, reconstruction, Self::MIN_SIDE)?;
        let size = target.size();
        let [mut x, mut y] = [target, reconstruction].map(images);
        let mut product = None;
        for (scale, weight) in WEIGHTS.into_iter().enumerate() {
            let Similarity { luminance, structure } = Similarity::of(&x, &y);
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

impl Metric for MsSsim {
    fn name(&self) -> &'static str {
        NAME
    }

    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError> {
        self.mean.add(&Self::frames(target, reconstruction)?);
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

    #[test]
    fn equal_frames_have_one_and_flat_ones_the_luminance_of_the_coarsest_scale() {
        let gray = |level: f64| Tensor::full([1, 3, 2, 176, 180], level, (Kind::Float, Device::Cpu));
        let value = |x: &Tensor, y: &Tensor| MsSsim::frames(x, y).unwrap().mean(Kind::Double).double_value(&[]);
        assert!((value(&gray(0.3), &gray(0.3)) - 1.0).abs() < 1e-5);
        let luminance: f64 = (2.0 * 0.5 * 0.25 + 1e-4) / (0.25 + 0.0625 + 1e-4);
        assert!((value(&gray(0.5), &gray(0.25)) - luminance.powf(0.1333)).abs() < 1e-4);
    }

    #[test]
    fn frames_that_vanish_at_the_coarsest_scale_are_an_error() {
        let video = Tensor::zeros([1, 3, 1, 175, 300], (Kind::Float, Device::Cpu));
        let error = MsSsim::frames(&video, &video).unwrap_err().to_string();
        assert!(error.starts_with("ms_ssim: expected a video [b, c, t, h, w] with h and w of at least 176"), "{error}");
    }
}
