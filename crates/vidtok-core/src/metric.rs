//! What a streaming metric is.

use tch::Tensor;

/// A measure that takes videos one after the other in bounded memory.
pub trait Metric: std::fmt::Debug {
    /// Short name for tables.
    fn name(&self) -> &'static str;

    /// Takes one more pair, both `[b, 3, t, h, w]` in [0, 1].
    ///
    /// # Errors
    /// If the shapes differ or the metric is not defined for frames so small; the value is as before then.
    fn update(&mut self, target: &Tensor, reconstruction: &Tensor) -> Result<(), MetricError>;

    /// The value over all that came; `None` before the first.
    fn value(&self) -> Option<f64>;
}

/// A metric is not defined for what it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{metric}: expected {expected}, found {found}")]
pub struct MetricError {
    /// The metric's name.
    pub metric: &'static str,
    /// What it needs.
    pub expected: String,
    /// What is there.
    pub found: String,
}
