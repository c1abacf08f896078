//! The reconstruction part of the training loss: a likelihood with a learned variance, as in latent diffusion
//! (arXiv 2112.10752).

use std::rc::Rc;

use tch::Tensor;
use vidtok_core::{Differentiated, Loss, MetricError};
use vidtok_torch::{Init, ParamPath, with_gradient};

/// nll = sum(rec / exp(logvar) + logvar) / frames over all pixels of all frames, where rec is a weighted sum of losses,
/// such as |x - y| + weight * LPIPS(x, y), and `logvar` is a learned scalar.
#[derive(Debug)]
pub struct ReconstructionLoss {
    losses: Vec<(Rc<dyn Loss>, f64)>,
    logvar: Tensor,
}

/// The terms of the loss of one batch, all scalars.
#[derive(Debug)]
pub struct ReconstructionTerms {
    /// The negative log-likelihood, with gradients for the reconstruction and the log-variance.
    pub nll: Tensor,
    /// The mean of rec.
    pub rec: Tensor,
    /// Each loss in rec by its name, before its weight.
    pub losses: Vec<(&'static str, Tensor)>,
}

impl ReconstructionLoss {
    /// Makes or loads the parameter `logvar`, which starts at 0. Each loss comes with its weight in rec.
    #[must_use]
    pub fn new(path: &ParamPath, losses: Vec<(Rc<dyn Loss>, f64)>) -> Self {
        Self { losses, logvar: path.get("logvar", &[], Init::Constant(0.0)) }
    }

    /// The learned log-variance, a scalar.
    pub fn logvar(&self) -> &Tensor {
        &self.logvar
    }

    /// The loss of `reconstruction`, both float32 `[b, 3, t, h, w]` in [-1, 1].
    ///
    /// The losses are differentiated here, so that their activations are freed before the networks' backward pass.
    ///
    /// # Errors
    /// If the shapes differ, or one of the losses is not defined for them.
    pub fn forward(&self, target: &Tensor, reconstruction: &Tensor) -> Result<ReconstructionTerms, MetricError> {
        let mut sum: Option<(Tensor, Tensor)> = None;
        let mut losses = Vec::with_capacity(self.losses.len());
        for (loss, weight) in &self.losses {
            let Differentiated { value, gradient } = loss.differentiate(target, reconstruction)?;
            let (weighted_value, weighted_gradient) = (&value * *weight, gradient * *weight);
            match &mut sum {
                None => sum = Some((weighted_value, weighted_gradient)),
                Some((rec, gradient)) => {
                    *rec += weighted_value;
                    *gradient += weighted_gradient;
                }
            }
            losses.push((loss.name(), value));
        }
        let zeros = || (self.logvar.detach().zeros_like(), reconstruction.detach().zeros_like());
        let (rec, gradient) = sum.unwrap_or_else(zeros);
        let differentiable = with_gradient(&rec, reconstruction, &gradient);
        let size = target.size();
        let frame = (size[1] * size[3] * size[4]) as f64;
        let nll = (differentiable * self.logvar.neg().exp() + &self.logvar) * frame;
        Ok(ReconstructionTerms { nll, rec, losses })
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::l1::L1;

    #[test]
    fn the_likelihood_and_its_gradients_equal_the_published_form() {
        tch::manual_seed(0);
        let root = ParamPath::fresh(Device::Cpu);
        let loss = ReconstructionLoss::new(&root, vec![(Rc::new(L1), 1.0)]);
        let mut logvar = loss.logvar.set_requires_grad(true);
        tch::no_grad(|| {
            let _ = logvar.fill_(0.3);
        });
        let target = Tensor::rand([2, 3, 4, 5, 6], (Kind::Float, Device::Cpu));
        let reconstruction = Tensor::rand_like(&target).set_requires_grad(true);
        let ours = loss.forward(&target, &reconstruction).unwrap();

        let rec = (&target - &reconstruction).abs();
        let published = (&rec / logvar.exp() + &logvar).sum(Kind::Float) / 8.0;
        assert!((ours.nll.double_value(&[]) / published.double_value(&[]) - 1.0).abs() < 1e-5);
        let at = [&reconstruction, &logvar];
        let (a, b) = (
            Tensor::run_backward(&[&ours.nll], &at, false, false),
            Tensor::run_backward(&[&published], &at, false, false),
        );
        for (a, b) in a.iter().zip(&b) {
            assert!(a.allclose(b, 1e-4, 1e-6, false));
        }
    }

    #[test]
    fn rec_is_the_weighted_sum_of_all_losses_and_so_is_its_gradient() {
        let root = ParamPath::fresh(Device::Cpu);
        let losses: Vec<(Rc<dyn Loss>, f64)> = vec![(Rc::new(L1), 0.5), (Rc::new(L1), 2.0)];
        let loss = ReconstructionLoss::new(&root, losses);
        let target = Tensor::zeros([1, 3, 1, 2, 2], (Kind::Float, Device::Cpu));
        let reconstruction = target.full_like(0.25).set_requires_grad(true);
        let terms = loss.forward(&target, &reconstruction).unwrap();
        assert_eq!(terms.rec.double_value(&[]), 2.5 * 0.25);
        let losses: Vec<_> = terms.losses.iter().map(|(name, value)| (*name, value.double_value(&[]))).collect();
        assert_eq!(losses, [("l1", 0.25), ("l1", 0.25)]);
        terms.nll.backward();
        // Each of the 12 pixels counts 1 / 12 in the mean, and the likelihood sums over the frame's pixels.
        assert!(reconstruction.grad().allclose(&target.full_like(2.5), 1e-6, 0.0, false));
        let none = ReconstructionLoss::new(&root.sub("none"), Vec::new()).forward(&target, &reconstruction).unwrap();
        assert_eq!((none.rec.double_value(&[]), none.losses.len()), (0.0, 0));
    }
}
