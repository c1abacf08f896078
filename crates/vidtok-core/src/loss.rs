//! What a reconstruction loss is.

use tch::Tensor;

/// A differentiable distance between a video and its reconstruction.
pub trait Loss: std::fmt::Debug {
    /// Short name for logs.
    fn name(&self) -> &'static str;

    /// A scalar, from `target` and `reconstruction`, both `[b, 3, t, h, w]` in [-1, 1].
    fn forward(&self, target: &Tensor, reconstruction: &Tensor) -> Tensor;
}
