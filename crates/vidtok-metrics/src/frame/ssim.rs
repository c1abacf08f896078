//! Structural similarity (Wang et al. 2004, IEEE TIP 13(4)).

use tch::{Device, Kind, Tensor};
use vidtok_core::MetricError;

use crate::frame::FrameMetric;
use crate::frame::video::{check_pair, images};

/// Side of the Gaussian window in pixels.
pub(crate) const WINDOW: i64 = 11;
/// Standard deviation of the Gaussian in pixels.
const SIGMA: f64 = 1.5;

/// Keep the ratios finite: (k L)^2 with k = 0.01 and 0.03 and the range L = 1.
const C1: f64 = 1e-4;
const C2: f64 = 9e-4;

/// The shorter side in pixels for which SSIM was designed; larger frames are averaged down towards it first.
const NATURAL_SIDE: f64 = 256.0;

/// Structural similarity of each frame on [0, 1]; equal frames have 1.
///
/// It is the mean over channels and over all 11x11 Gaussian windows (sigma 1.5) that lie entirely inside the frame. Frames
/// are first averaged over squares of `max(1, round(min(h, w) / 256))` pixels, as in the authors' code.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ssim;

impl Ssim {
    /// The smallest height and width of a frame: that of a window.
    pub const MIN_SIDE: i64 = WINDOW;
}

impl FrameMetric for Ssim {
    fn name(&self) -> &'static str {
        "ssim"
    }

    fn frames(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        check_pair(self.name(), target, reconstruction, Self::MIN_SIDE)?;
        let size = target.size();
        let side = (size[3].min(size[4]) as f64 / NATURAL_SIDE).round_ties_even().max(1.0) as i64;
        let [x, y] = [target, reconstruction].map(|video| {
            let images = images(video);
            match side {
                1 => images,
                _ => images.avg_pool2d([side; 2], [side; 2], [0; 2], false, true, None),
            }
        });
        let Similarity { luminance, structure } = Similarity::new(&x, &y);
        let similarity = (luminance * structure).mean_dim([1_i64, 2, 3].as_slice(), false, Kind::Float);
        Ok(similarity.view([size[0], size[2]]))
    }
}

/// The two factors of the similarity of each window, `[n, c, h - 10, w - 10]`.
pub(crate) struct Similarity {
    pub(crate) luminance: Tensor,
    /// Contrast times structure.
    pub(crate) structure: Tensor,
}

impl Similarity {
    /// The similarity of two batches of images `[n, c, h, w]`.
    pub(crate) fn new(x: &Tensor, y: &Tensor) -> Self {
        let channels = x.size()[1];
        let window = window(x.device());
        let along = |map: &Tensor, shape: [i64; 4]| {
            let kernel = window.view(shape).expand([channels, -1, -1, -1], false);
            map.conv2d(&kernel, None::<Tensor>, [1; 2], [0; 2], [1; 2], channels)
        };
        // The mean of each window. The Gaussian is separable: first along columns, then along rows.
        let mean = |map: &Tensor| along(&along(map, [1, 1, WINDOW, 1]), [1, 1, 1, WINDOW]);
        let (mean_x, mean_y) = (mean(x), mean(y));
        let (square_x, square_y, product) = (mean_x.square(), mean_y.square(), &mean_x * &mean_y);
        let variances = mean(&(x.square() + y.square())) - &square_x - &square_y;
        let covariance = mean(&(x * y)) - &product;
        let luminance = (product * 2.0 + C1) / (square_x + square_y + C1);
        Self { luminance, structure: (covariance * 2.0 + C2) / (variances + C2) }
    }
}

/// The Gaussian weights `[11]`, which sum to 1.
fn window(device: Device) -> Tensor {
    let half = (WINDOW - 1) as f64 / 2.0;
    let weights: Vec<f64> = (0..WINDOW).map(|i| (-((i as f64 - half) / SIGMA).powi(2) / 2.0).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let weights: Vec<f32> = weights.iter().map(|weight| (weight / sum) as f32).collect();
    Tensor::from_slice(&weights).to_device(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_frames_have_similarity_one_and_flat_frames_the_closed_form() {
        let gray = |level: f64| Tensor::full([1, 3, 2, 16, 12], level, (Kind::Float, Device::Cpu));
        let value = |x: &Tensor, y: &Tensor| Ssim.frames(x, y).unwrap().mean(Kind::Double).double_value(&[]);
        assert!((value(&gray(0.3), &gray(0.3)) - 1.0).abs() < 1e-5);
        // Without variance only the luminance differs.
        let expected = (2.0 * 0.5 * 0.25 + C1) / (0.25 + 0.0625 + C1);
        assert!((value(&gray(0.5), &gray(0.25)) - expected).abs() < 1e-4);
    }

    #[test]
    fn frames_smaller_than_the_window_are_an_error() {
        let video = |h, w| Tensor::zeros([1, 3, 1, h, w], (Kind::Float, Device::Cpu));
        assert!(Ssim.frames(&video(11, 11), &video(11, 11)).is_ok());
        let error = Ssim.frames(&video(10, 20), &video(10, 20)).unwrap_err().to_string();
        assert_eq!(
            error,
            "ssim: expected a video [b, c, t, h, w] with h and w of at least 11, found [1, 3, 1, 10, 20]"
        );
    }
}
