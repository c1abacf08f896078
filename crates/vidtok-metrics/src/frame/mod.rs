//! Metrics that have a value for each frame.

pub(crate) mod flicker;
pub(crate) mod ms_ssim;
pub(crate) mod psnr;
pub(crate) mod ssim;
pub(crate) mod video;

use std::fmt::Debug;

use tch::{Device, Kind, Tensor};
use vidtok_core::{Metric, MetricError, Samples};

/// A metric that has a value for each frame; [`FrameMean`] makes a [`Metric`] of it.
pub trait FrameMetric: Debug {
    /// Short name for tables.
    fn name(&self) -> &'static str;

    /// The value of each frame, `[b, t]`, for two videos `[b, c, t, h, w]` in [0, 1]; of each pair of neighbouring frames,
    /// `[b, t - 1]`, if the metric is about changes.
    ///
    /// # Errors
    /// If the shapes differ or the frames are too small for the metric.
    fn frames(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError>;
}

/// The mean of a metric over all frames. It keeps the values: 8 bytes per frame.
#[derive(Clone, Debug, Default)]
pub struct FrameMean<M> {
    metric: M,
    values: Vec<f64>,
}

impl<M: FrameMetric> FrameMean<M> {
    /// The mean of `metric`, before the first frame.
    #[must_use]
    pub fn new(metric: M) -> Self {
        Self { metric, values: Vec::new() }
    }
}

impl<M: FrameMetric> Metric for FrameMean<M> {
    fn name(&self) -> &'static str {
        self.metric.name()
    }

    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError> {
        self.values.extend(to_vec(&self.metric.frames(target, reconstruction)?));
        Ok(())
    }

    fn value(&self) -> Option<f64> {
        mean(&self.values)
    }

    fn samples(&self) -> Samples {
        Samples::from([(self.name().to_owned(), Tensor::from_slice(&self.values))])
    }

    fn extend(&mut self, samples: &Samples) -> Result<(), MetricError> {
        self.values.extend(stored(samples, self.name(), self.name())?);
        Ok(())
    }
}

/// The mean in float64, summed in order so that it does not depend on how the values came; `None` without values.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// All values of a tensor in order.
pub(crate) fn to_vec(values: &Tensor) -> Vec<f64> {
    let flat = values.detach().to_device(Device::Cpu).to_kind(Kind::Double).flatten(0, -1);
    let mut numbers = vec![0.0; flat.numel()];
    flat.copy_data(&mut numbers, flat.numel());
    numbers
}

/// The values that `metric` stored as `name`; none if it stored nothing.
pub(crate) fn stored(samples: &Samples, metric: &'static str, name: &str) -> Result<Vec<f64>, MetricError> {
    match samples.get(name) {
        None => Ok(Vec::new()),
        Some(values) if values.dim() == 1 => Ok(to_vec(values)),
        Some(other) => {
            let (expected, found) = (format!("values [n] as {name:?}"), format!("{:?}", other.size()));
            Err(MetricError { metric, expected, found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The level of the first pixel of each frame.
    #[derive(Clone, Debug, Default)]
    struct Level;

    impl FrameMetric for Level {
        fn name(&self) -> &'static str {
            "level"
        }

        fn frames(&self, target: &Tensor, _reconstruction: &Tensor) -> Result<Tensor, MetricError> {
            Ok(target.select(4, 0).select(3, 0).select(1, 0))
        }
    }

    fn video(levels: &[f32]) -> Tensor {
        Tensor::from_slice(levels).view([1, 1, -1, 1, 1])
    }

    fn measured(chunks: &[&[f32]]) -> FrameMean<Level> {
        let mut level = FrameMean::new(Level);
        chunks.iter().for_each(|chunk| level.update(&video(chunk), &video(chunk)).unwrap());
        level
    }

    #[test]
    fn the_mean_is_over_frames_and_not_over_calls() {
        assert_eq!(measured(&[]).value(), None);
        assert_eq!(measured(&[&[1.0, 3.0], &[8.0]]).value(), Some(4.0));
        assert_eq!(measured(&[&[1.0], &[], &[3.0, 8.0]]).value(), Some(4.0));
    }

    #[test]
    fn samples_of_other_videos_count_as_if_measured_here() {
        let mut all = measured(&[&[1.0, 3.0]]);
        all.extend(&measured(&[&[8.0]]).samples()).unwrap();
        assert_eq!(all.value(), Some(4.0));
        all.extend(&Samples::from([("other".to_owned(), Tensor::from_slice(&[9.0]))])).unwrap();
        assert_eq!(all.value(), Some(4.0));
        let error = all.extend(&Samples::from([("level".to_owned(), Tensor::from(9.0))])).unwrap_err().to_string();
        assert_eq!(error, "level: expected values [n] as \"level\", found []");
    }
}
