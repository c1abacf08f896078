//! The trait of metrics over videos.

use std::collections::BTreeMap;

use tch::Tensor;

/// The measurements of a metric as named tensors, which can be stored and handed to [`Metric::extend`].
pub type Samples = BTreeMap<String, Tensor>;

/// A metric that takes videos one after the other.
pub trait Metric: std::fmt::Debug {
    /// The name of the metric, under which its samples are stored.
    fn name(&self) -> &'static str;

    /// Takes the next pair of videos, both `[b, 3, t, h, w]` in [0, 1]. The b items may be consecutive windows of one video.
    ///
    /// # Errors
    /// If the shapes differ, or the metric is not defined for frames of this size. The value is then unchanged.
    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError>;

    /// The value over all pairs so far; `None` before the first.
    fn value(&self) -> Option<f64>;

    /// The measurements behind the value: mostly float64 `[n]`, one per frame, under the metric's name.
    fn samples(&self) -> Samples;

    /// Adds the [`samples`](Self::samples) of another metric of this kind, as if its videos had been measured here. Names
    /// that belong to other metrics are ignored.
    ///
    /// # Errors
    /// If a tensor does not have the expected shape.
    fn extend(&mut self, samples: &Samples) -> Result<(), MetricError>;
}

/// A metric or a loss is not defined for its input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{metric}: expected {expected}, found {found}")]
pub struct MetricError {
    /// The metric's name.
    pub metric: &'static str,
    /// The expected input.
    pub expected: String,
    /// The input it was given.
    pub found: String,
}
