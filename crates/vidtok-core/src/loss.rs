//! The trait of reconstruction losses.

use tch::Tensor;

use crate::metric::MetricError;

/// A differentiable distance between a video and its reconstruction.
pub trait Loss: std::fmt::Debug {
    /// Short name for logs.
    fn name(&self) -> &'static str;

    /// The loss, a scalar, of `target` and `reconstruction`, both `[b, 3, t, h, w]` in [-1, 1].
    ///
    /// # Errors
    /// If the loss is not defined for clips of these shapes.
    fn forward(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError>;

    /// The loss and its gradient with respect to `reconstruction`. No autograd graph is kept. A loss that is a sum over
    /// frames should override this and work in chunks, so that its memory does not grow with the clip.
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
    /// A scalar without an autograd graph.
    pub value: Tensor,
    /// The gradient, of the shape of the tensor that it was taken for.
    pub gradient: Tensor,
}

impl Differentiated {
    /// The scalar `loss(x)` and its gradient with respect to `x`. A graph that `x` is part of is left alone.
    ///
    /// # Errors
    /// The errors of `loss`.
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
    fn differentiating_returns_value_and_gradient_and_leaves_the_graph_of_its_input_alone() {
        let x = Tensor::from_slice(&[1.0_f32, 2.0]).set_requires_grad(true);
        let Differentiated { value, gradient } = Squares.differentiate(&x.zeros_like(), &(&x * 2.0)).unwrap();
        assert_eq!(value.double_value(&[]), 20.0);
        assert_eq!(Vec::<f32>::try_from(gradient).unwrap(), [4.0, 8.0]);
        assert!(!x.grad().defined());
    }
}
