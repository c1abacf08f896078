//! The Frechet video distance (Unterthiner et al. 2018, arXiv 1812.01717).

pub(crate) mod frechet;
pub(crate) mod i3d;

use std::rc::Rc;

use tch::Tensor;
use vidtok_core::{Metric, MetricError};

use crate::frames::{check_pair, images};
use crate::fvd::frechet::{Gaussian, frechet_distance};
use crate::fvd::i3d::I3d;

const NAME: &str = "fvd";

/// The Frechet distance between the Gaussians that fit what [`I3d`] says of clips and of their reconstructions; equal
/// sets have 0.
///
/// A clip is one sample. Below 401 of them the covariances have not full rank, and with few samples the distance is
/// larger than with many: compare only values of the same number of samples.
#[derive(Debug)]
pub struct Fvd {
    i3d: Rc<I3d>,
    target: Gaussian,
    reconstruction: Gaussian,
}

impl Fvd {
    /// The fewest frames of a clip.
    pub const MIN_FRAMES: i64 = I3d::MIN_FRAMES;
    /// The fewest clips: a covariance needs two.
    pub const MIN_CLIPS: i64 = 2;

    /// The metric with this network.
    #[must_use]
    pub fn new(i3d: Rc<I3d>) -> Self {
        Self { i3d, target: Gaussian::default(), reconstruction: Gaussian::default() }
    }

    /// The features `[b, 400]` of clips `[b, 3, t, h, w]` in [0, 1]: frames are resized to 224x224 (bilinear, not
    /// antialiased, as the first implementation does), the logits taken.
    ///
    /// # Errors
    /// If the shape is another, or t less than [`MIN_FRAMES`](Self::MIN_FRAMES).
    pub fn features(i3d: &I3d, clips: &Tensor) -> Result<Tensor, MetricError> {
        let size = clips.size();
        let (b, t) = match size[..] {
            [b, 3, t, h, w] if t >= Self::MIN_FRAMES && b.min(h).min(w) > 0 => (b, t),
            _ => {
                return Err(MetricError {
                    metric: NAME,
                    expected: format!("clips [b, 3, t, h, w] with t of at least {}", Self::MIN_FRAMES),
                    found: format!("{size:?}"),
                });
            }
        };
        let features = (0..b).map(|index| {
            let frames = images(&clips.narrow(0, index, 1)).upsample_bilinear2d([I3d::SIDE; 2], false, None, None);
            i3d.logits(&(frames.view([1, t, 3, I3d::SIDE, I3d::SIDE]).transpose(1, 2) * 2.0 - 1.0))
        });
        Ok(Tensor::cat(&features.collect::<Result<Vec<_>, _>>()?, 0))
    }

    /// Clips that came.
    #[must_use]
    pub fn clips(&self) -> i64 {
        self.target.count()
    }
}

impl Metric for Fvd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError> {
        check_pair(NAME, target, reconstruction, 1)?;
        let (x, y) = (Self::features(&self.i3d, target)?, Self::features(&self.i3d, reconstruction)?);
        self.target.update(&x);
        self.reconstruction.update(&y);
        Ok(())
    }

    /// `None` below [`MIN_CLIPS`](Self::MIN_CLIPS).
    fn value(&self) -> Option<f64> {
        frechet_distance(&self.target, &self.reconstruction)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};
    use vidtok_torch::ParamPath;

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn fvd() -> Fvd {
        Fvd::new(Rc::new(I3d::new(&ParamPath::fresh(Device::Cpu))))
    }

    #[test]
    fn batches_do_not_change_the_value() {
        let mut whole = fvd();
        let mut parts = Fvd::new(Rc::clone(&whole.i3d));
        let [x, y] = [(); 2].map(|()| Tensor::rand([3, 3, Fvd::MIN_FRAMES, 12, 16], CPU));
        whole.update(&x, &y).unwrap();
        for (start, count) in [(0, 1), (1, 2)] {
            assert_eq!(parts.value(), None);
            parts.update(&x.narrow(0, start, count), &y.narrow(0, start, count)).unwrap();
        }
        let (whole, parts, clips) = (whole.value().unwrap(), parts.value().unwrap(), parts.clips());
        assert!((parts / whole - 1.0).abs() < 1e-6 && clips == 3, "{parts}, expected {whole}");
    }

    #[test]
    fn clips_that_are_too_short_or_empty_are_errors() {
        let mut fvd = fvd();
        for shape in [[1, 3, 8, 16, 16], [1, 1, 9, 16, 16], [0, 3, 9, 16, 16]] {
            let clips = Tensor::zeros(shape, CPU);
            let error = fvd.update(&clips, &clips).unwrap_err().to_string();
            let expected = "fvd: expected clips [b, 3, t, h, w] with t of at least 9, found [";
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
