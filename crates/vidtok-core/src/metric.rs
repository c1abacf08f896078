//! What a streaming metric is.

use tch::Tensor;

/// A measure that takes videos one after the other in bounded memory.
pub trait Metric: std::fmt::Debug {
    /// Short name for tables.
    fn name(&self) -> &'static str;

    /// Takes one more pair, both `[b, 3, t, h, w]` in [0, 1].
    fn update(&mut self, target: &Tensor, reconstruction: &Tensor);

    /// The value over all that came; `None` before the first.
    fn value(&self) -> Option<f64>;
}
