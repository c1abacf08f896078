//! The reconstruction part of the training loss: a likelihood with a learned variance, as in latent diffusion
//! (arXiv 2112.10752).

use tch::Tensor;
use vidtok_core::{Differentiated, Loss, MetricError};
use vidtok_torch::{Init, ParamPath, with_gradient};

use crate::{L1, Perceptual};

/// nll = sum(rec / exp(logvar) + logvar) / frames over all pixels of all frames, with
/// rec = |x - y| + weight * LPIPS(x, y) and the learned scalar `logvar`.
#[derive(Debug)]
pub struct ReconstructionLoss {
    perceptual: Option<(Perceptual, f64)>,
    logvar: Tensor,
}

/// The parts of the loss of one batch, scalars.
#[derive(Debug)]
pub struct ReconstructionTerms {
    /// What is minimised; with gradients for the reconstruction and the log-variance.
    pub nll: Tensor,
    /// The mean of rec.
    pub rec: Tensor,
    /// The mean LPIPS distance in it, before its weight.
    pub perceptual: Option<Tensor>,
}

impl ReconstructionLoss {
    /// Makes or loads the parameter `logvar`, which starts at 0; `perceptual` comes with its weight.
    #[must_use]
    pub fn new(path: &ParamPath, perceptual: Option<(Perceptual, f64)>) -> Self {
        Self { perceptual, logvar: path.get("logvar", &[], Init::Constant(0.0)) }
    }

    /// The learned log-variance, a scalar.
    pub fn logvar(&self) -> &Tensor {
        &self.logvar
    }

    /// From `target` and `reconstruction`, both float32 `[b, 3, t, h, w]` in [-1, 1].
    ///
    /// The distances are differentiated right here, so that what they need in between is gone before the networks'
    /// backward pass.
    ///
    /// # Errors
    /// If the shapes differ, or the frames are too small for LPIPS.
    pub fn forward(&self, target: &Tensor, reconstruction: &Tensor) -> Result<ReconstructionTerms, MetricError> {
        let Differentiated { value: mut rec, mut gradient } = L1.differentiate(target, reconstruction)?;
        let mut perceptual = None;
        if let Some((loss, weight)) = &self.perceptual {
            let part = loss.differentiate(target, reconstruction)?;
            rec += &part.value * *weight;
            gradient += part.gradient * *weight;
            perceptual = Some(part.value);
        }
        let differentiable = with_gradient(&rec, reconstruction, &gradient);
        let size = target.size();
        let frame = (size[1] * size[3] * size[4]) as f64;
        let nll = (differentiable * self.logvar.neg().exp() + &self.logvar) * frame;
        Ok(ReconstructionTerms { nll, rec, perceptual })
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn the_likelihood_and_its_gradients_equal_the_published_form() {
        tch::manual_seed(0);
        let root = ParamPath::fresh(Device::Cpu);
        let loss = ReconstructionLoss::new(&root, None);
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
}
