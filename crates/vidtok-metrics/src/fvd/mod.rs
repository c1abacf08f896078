//! The Frechet video distance (Unterthiner et al. 2018, arXiv 1812.01717).

pub(crate) mod frechet;
pub(crate) mod i3d;

use std::rc::Rc;

use tch::{Kind, Tensor};
use vidtok_core::{Metric, MetricError, Samples};

use crate::frame::video::{check_pair, images};
use crate::fvd::frechet::{Gaussian, frechet_distance};
use crate::fvd::i3d::I3d;

const NAME: &str = "fvd";
/// The samples: features of the targets and of the reconstructions, float32 `[n, 400]`.
const FEATURES: [&str; 2] = ["features.input", "features.reconstruction"];

/// The Frechet distance between Gaussians fitted to the [`I3d`] logits of clips and of their reconstructions; equal sets
/// have 0.
///
/// A clip is one sample. With 400 samples or fewer the covariances do not have full rank, and with few samples the distance
/// is larger than with many: compare only values of the same number of samples.
#[derive(Debug)]
pub struct Fvd {
    i3d: Rc<I3d>,
    /// Features of the targets that are already known, `[n, 400]`, in the order of the clips.
    known: Option<Tensor>,
    sides: [Side; 2],
}

/// The targets, or the reconstructions.
#[derive(Debug, Default)]
struct Side {
    gaussian: Gaussian,
    features: Vec<Tensor>,
}

impl Side {
    fn add(&mut self, features: Tensor) {
        self.gaussian.update(&features);
        self.features.push(features);
    }
}

impl Fvd {
    /// The fewest frames of a clip.
    pub const MIN_FRAMES: i64 = I3d::MIN_FRAMES;
    /// The fewest clips: a covariance needs two.
    pub const MIN_CLIPS: i64 = 2;

    /// The metric with this network.
    #[must_use]
    pub fn new(i3d: Rc<I3d>) -> Self {
        Self { i3d, known: None, sides: Default::default() }
    }

    /// Takes the features `[n, 400]` of the first n targets from another measurement of the same clips, which saves half
    /// of the work.
    #[must_use]
    pub fn with_target_features(mut self, features: Option<Tensor>) -> Self {
        self.known = features;
        self
    }

    /// The features `[b, 400]` of clips `[b, 3, t, h, w]` in [0, 1]: the logits of the frames, resized to 224x224 as in the
    /// first implementation (bilinear, without antialiasing).
    ///
    /// # Errors
    /// If the shape differs, or t is less than [`MIN_FRAMES`](Self::MIN_FRAMES).
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

    /// The features of the targets among the samples, `[n, 400]`; `None` before the first clip.
    #[must_use]
    pub fn target_features(samples: &Samples) -> Option<&Tensor> {
        samples.get(FEATURES[0])
    }

    /// Says that FVD needs more than the `found` windows that it has.
    #[must_use]
    pub fn too_few(found: i64) -> String {
        let (windows, frames) = (Self::MIN_CLIPS, Self::MIN_FRAMES);
        format!("expected at least {windows} windows of {frames} frames or more, found {found}")
    }

    fn target(&self, clips: &Tensor) -> Result<Tensor, MetricError> {
        let (from, count) = (self.sides[0].gaussian.count(), clips.size()[0]);
        match self.known.as_ref().filter(|known| from + count <= known.size()[0]) {
            Some(known) => Ok(known.narrow(0, from, count)),
            None => Self::features(&self.i3d, clips),
        }
    }
}

impl Metric for Fvd {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Measures b clips, each of at least [`MIN_FRAMES`](Self::MIN_FRAMES).
    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError> {
        check_pair(NAME, target, reconstruction, 1)?;
        let features = [self.target(target)?, Self::features(&self.i3d, reconstruction)?];
        self.sides.iter_mut().zip(features).for_each(|(side, features)| side.add(features));
        Ok(())
    }

    /// `None` below [`MIN_CLIPS`](Self::MIN_CLIPS).
    fn value(&self) -> Option<f64> {
        let [target, reconstruction] = &self.sides;
        frechet_distance(&target.gaussian, &reconstruction.gaussian)
    }

    fn samples(&self) -> Samples {
        let sides = FEATURES.into_iter().zip(&self.sides).filter(|(_, side)| !side.features.is_empty());
        sides.map(|(name, side)| (name.to_owned(), Tensor::cat(&side.features, 0))).collect()
    }

    fn extend(&mut self, samples: &Samples) -> Result<(), MetricError> {
        let [Some(target), Some(reconstruction)] = FEATURES.map(|name| samples.get(name)) else { return Ok(()) };
        let size = target.size();
        if !matches!(size[..], [_, I3d::CLASSES]) || size != reconstruction.size() {
            let found = format!("{size:?} and {:?}", reconstruction.size());
            return Err(MetricError { metric: NAME, expected: "features [n, 400] of both sides".to_owned(), found });
        }
        for (side, features) in self.sides.iter_mut().zip([target, reconstruction]) {
            side.add(features.to_kind(Kind::Float));
        }
        Ok(())
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
    fn the_value_does_not_depend_on_the_batches() {
        let mut whole = fvd();
        let mut parts = Fvd::new(Rc::clone(&whole.i3d));
        let [x, y] = [(); 2].map(|()| Tensor::rand([3, 3, Fvd::MIN_FRAMES, 12, 16], CPU));
        whole.update(&x, &y).unwrap();
        for (start, count) in [(0, 1), (1, 2)] {
            assert_eq!(parts.value(), None);
            parts.update(&x.narrow(0, start, count), &y.narrow(0, start, count)).unwrap();
        }
        let mut stored = Fvd::new(Rc::clone(&whole.i3d));
        stored.extend(&whole.samples()).unwrap();
        assert_eq!(stored.value(), whole.value());
        let (whole, parts) = (whole.value().unwrap(), parts.value().unwrap());
        assert!((parts / whole - 1.0).abs() < 1e-6, "{parts}, expected {whole}");
    }

    #[test]
    fn known_features_of_the_targets_are_taken_in_the_order_of_the_clips() {
        let mut first = fvd();
        let [x, y] = [(); 2].map(|()| Tensor::rand([3, 3, Fvd::MIN_FRAMES, 12, 16], CPU));
        first.update(&x, &y).unwrap();
        let samples = first.samples();
        let known = Fvd::target_features(&samples).unwrap();
        let mut second = Fvd::new(Rc::clone(&first.i3d)).with_target_features(Some(known.shallow_clone()));
        for clip in 0..3 {
            // What is known is not computed again, so the targets themselves do not matter.
            second.update(&x.zeros_like().narrow(0, clip, 1), &y.narrow(0, clip, 1)).unwrap();
        }
        assert!(Fvd::target_features(&second.samples()).unwrap().equal(known));
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
