//! What a reconstruction loss is.

use tch::Tensor;

use crate::metric::MetricError;

/// A differentiable distance between a video and its reconstruction.
pub trait Loss: std::fmt::Debug {
    /// Short name for logs.
    fn name(&self) -> &'static str;

    /// A scalar, from `target` and `reconstruction`, both `[b, 3, t, h, w]` in [-1, 1].
    ///
    /// # Errors
    /// If the loss is not defined for clips of these shapes.
    fn forward(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError>;

    /// The value and its gradient at the reconstruction, at once: no graph is kept. A loss that can works in parts, so
    /// that its memory does not grow with the clip.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    fn differentiate(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Differentiated, MetricError> {
        Differentiated::of(reconstruction, |reconstruction| self.forward(target, reconstruction))
    }
}

/// The value of a loss and its gradient.
#[derive(Debug)]
pub struct Differentiated {
    /// A scalar without graph.
    pub value: Tensor,
    /// The gradient, of the shape of what it was taken at.
    pub gradient: Tensor,
}

impl Differentiated {
    /// The scalar `loss` and its gradient at `x`, which may have a graph of its own: that is left alone.
    ///
    /// # Errors
    /// Those of `loss`.
    pub fn of<E>(x: &Tensor, loss: impl FnOnce(&Tensor) -> Result<Tensor, E>) -> Result<Self, E> {
        let leaf = x.detach().set_requires_grad(true);
        let value = tch::with_grad(|| loss(&leaf))?;
        let mut gradients = Tensor::run_backward(&[&value], &[&leaf], false, false);
        Ok(Self { value: value.detach(), gradient: gradients.swap_remove(0) })
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    #[derive(Debug)]
    struct Squares;

    impl Loss for Squares {
        fn name(&self) -> &'static str {
            "squares"
        }

        fn forward(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
            Ok((target - reconstruction).square().sum(Kind::Float))
        }
    }

    #[test]
    fn differentiating_gives_value_and_gradient_and_leaves_the_graph_alone() {
        let x = Tensor::from_slice(&[1.0_f32, 2.0]).set_requires_grad(true);
        let Differentiated { value, gradient } = Squares.differentiate(&x.zeros_like(), &(&x * 2.0)).unwrap();
        assert_eq!(value.double_value(&[]), 20.0);
        assert_eq!(Vec::<f32>::try_from(gradient).unwrap(), [4.0, 8.0]);
        assert!(!x.grad().defined());
    }
}
