//! The trait of metrics over videos.

use tch::Tensor;

/// A metric that takes videos one after the other, in bounded memory.
pub trait Metric: std::fmt::Debug {
    /// Short name for tables.
    fn name(&self) -> &'static str;

    /// Takes the next pair of videos, both `[b, 3, t, h, w]` in [0, 1].
    ///
    /// # Errors
    /// If the shapes differ, or the metric is not defined for frames of this size. The value is then unchanged.
    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError>;

    /// The value over all pairs so far; `None` before the first.
    fn value(&self) -> Option<f64>;
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
