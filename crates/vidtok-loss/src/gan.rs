//! The GAN loss: a discriminator with the losses of both sides.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vidtok_core::{Differentiated, ProcessGroup};
use vidtok_torch::ParamPath;

use crate::{DiscriminatorLoss, GeneratorLoss, LeCam, PatchGan, PatchKind};

/// Upper bound of the adaptive weight.
const LARGEST_WEIGHT: f64 = 1e4;
/// Added to the denominator of the adaptive weight to keep it finite.
const EPS: f64 = 1e-4;

/// Configuration of [`GanLoss`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GanConfig {
    /// Whether the patches of the discriminator are parts of frames or of clips.
    pub patches: PatchKind,
    /// The step, from 0, from which the GAN loss counts and the discriminator is trained. (The published 20001 counts two
    /// updates per batch.)
    pub start: u64,
    /// Weight of the generator loss, multiplied by the adaptive weight.
    pub weight: f64,
    /// The loss of the discriminator.
    pub discriminator_loss: DiscriminatorLoss,
    /// The loss of the generator.
    pub generator_loss: GeneratorLoss,
    /// Weight of the [`LeCam`] regularization in the discriminator's loss.
    pub lecam_weight: f64,
}

impl Default for GanConfig {
    /// The published values.
    fn default() -> Self {
        Self {
            patches: PatchKind::default(),
            start: 10_000,
            weight: 0.2,
            discriminator_loss: DiscriminatorLoss::default(),
            generator_loss: GeneratorLoss::default(),
            lecam_weight: 0.005,
        }
    }
}

/// A discriminator that learns to distinguish reconstructions from real clips, and the losses of both sides.
#[derive(Debug)]
pub struct GanLoss {
    config: GanConfig,
    discriminator: PatchGan,
    lecam: LeCam,
}

/// The statistics that a [`GanLoss`] tracks besides its trained parameters: the running statistics of its norms, and the
/// moving averages of LeCAM.
#[derive(Debug)]
pub struct GanStatistics {
    running: Vec<Tensor>,
    lecam: LeCam,
}

/// The discriminator's loss of one batch and its terms, all scalars. In a process group, they cover this rank's part of the
/// batch; their means over the ranks cover the whole batch.
#[derive(Debug)]
pub struct DiscriminatorTerms {
    /// The loss to minimise, with gradients for the discriminator.
    pub loss: Tensor,
    /// The term of the loss on the logits.
    pub logits_loss: Tensor,
    /// The LeCAM regularization, before its weight.
    pub lecam: Tensor,
    /// Mean logit of real clips.
    pub real: Tensor,
    /// Mean logit of reconstructions.
    pub fake: Tensor,
}

impl GanLoss {
    /// Makes or loads the network, under `discriminator` below `path`.
    #[must_use]
    pub fn new(path: &ParamPath, config: &GanConfig) -> Self {
        let discriminator = PatchGan::new(&path.sub("discriminator"), config.patches);
        Self { config: config.clone(), discriminator, lecam: LeCam::default() }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &GanConfig {
        &self.config
    }

    /// The moving averages of LeCAM.
    #[must_use]
    pub fn lecam(&self) -> LeCam {
        self.lecam
    }

    /// Sets the moving averages of LeCAM, to continue from a saved state.
    pub fn set_lecam(&mut self, lecam: LeCam) {
        self.lecam = lecam;
    }

    /// A copy of the statistics.
    #[must_use]
    pub fn statistics(&self) -> GanStatistics {
        GanStatistics { running: self.discriminator.running().map(Tensor::copy).collect(), lecam: self.lecam }
    }

    /// Restores earlier statistics, which undoes the effect of all clips since then.
    pub fn set_statistics(&mut self, statistics: &GanStatistics) {
        tch::no_grad(|| {
            for (running, earlier) in self.discriminator.running().zip(&statistics.running) {
                running.shallow_clone().copy_(earlier);
            }
        });
        self.lecam = statistics.lecam;
    }

    /// The generator loss of reconstructions `[b, 3, t, h, w]` and its gradient there, before any weight. The
    /// discriminator's parameters get no gradient.
    pub fn generator_loss(&self, reconstruction: &Tensor, group: &dyn ProcessGroup) -> Differentiated {
        let loss = |fake: &Tensor| Ok(self.config.generator_loss.forward(&self.discriminator.forward(fake, group)));
        let Ok(generator_loss) = Differentiated::of::<Infallible>(reconstruction, loss);
        generator_loss
    }

    /// The weight of the generator loss (arXiv 2012.09841): the ratio of the gradient norms of `nll` and `generator` at
    /// `parameter` (the decoder's last weight), clamped, times the configured weight. Both losses need an autograd graph to
    /// `parameter`, which is kept. In a process group, the gradients are those of the whole batch.
    pub fn adaptive_weight(
        &self,
        nll: &Tensor,
        generator: &Tensor,
        parameter: &Tensor,
        group: &dyn ProcessGroup,
    ) -> Tensor {
        let gradient = |loss: &Tensor| Tensor::run_backward(&[loss], &[parameter], true, false).swap_remove(0);
        let norm = |loss: &Tensor| group.mean(&gradient(loss)).norm();
        (norm(nll) / (norm(generator) + EPS)).clamp(0.0, LARGEST_WEIGHT) * self.config.weight
    }

    /// The discriminator's loss on real clips and their reconstructions, both `[b, 3, t, h, w]`. Their logits update the
    /// moving averages of LeCAM if they are finite.
    pub fn discriminate(
        &mut self,
        target: &Tensor,
        reconstruction: &Tensor,
        group: &dyn ProcessGroup,
    ) -> DiscriminatorTerms {
        let real = self.discriminator.forward(&target.detach(), group);
        let fake = self.discriminator.forward(&reconstruction.detach(), group);
        let logits_loss = self.config.discriminator_loss.forward(&real, &fake);
        let means = [&real, &fake].map(|logits| logits.detach().mean(Kind::Float));
        let group_means = group.mean(&Tensor::stack(&[&means[0], &means[1], &logits_loss.detach()], 0));
        if group_means.isfinite().all().int64_value(&[]) == 1 {
            self.lecam.update(group_means.double_value(&[0]), group_means.double_value(&[1]));
        }
        let [mean_real, mean_fake] = means;
        let lecam = self.lecam.forward(&real, &fake);
        DiscriminatorTerms {
            loss: &logits_loss + &lecam * self.config.lecam_weight,
            logits_loss: logits_loss.detach(),
            lecam: lecam.detach(),
            real: mean_real,
            fake: mean_fake,
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use vidtok_core::SingleProcess;

    use super::*;

    #[test]
    fn the_adaptive_weight_is_the_clamped_ratio_of_the_gradient_norms() {
        let gan = GanLoss::new(&ParamPath::shapes(), &GanConfig::default());
        let x = Tensor::from_slice(&[1.0_f32, 1.0]).set_requires_grad(true);
        let weight =
            gan.adaptive_weight(&(&x * 6.0).sum(Kind::Float), &(&x * 2.0).sum(Kind::Float), &x, &SingleProcess);
        assert!((weight.double_value(&[]) - 0.6).abs() < 1e-4);
        let vanishing =
            gan.adaptive_weight(&(&x * 6e9).sum(Kind::Float), &(&x * 0.0).sum(Kind::Float), &x, &SingleProcess);
        assert!((vanishing.double_value(&[]) - 2000.0).abs() < 1e-3, "clamped at 1e4 * 0.2");
    }

    #[test]
    fn only_the_discriminators_own_loss_gives_it_gradients() {
        tch::manual_seed(0);
        let root = ParamPath::fresh(Device::Cpu);
        let mut gan = GanLoss::new(&root, &GanConfig::default());
        let parameters = root.finish().unwrap();
        parameters.set_requires_grad("", true);
        let clips = Tensor::rand([1, 3, 2, 32, 32], (Kind::Float, Device::Cpu));
        let generator_loss = gan.generator_loss(&clips, &SingleProcess);
        assert_eq!(generator_loss.gradient.size(), clips.size());
        assert!(parameters.trained().all(|(_, parameter)| !parameter.grad().defined()));
        gan.discriminate(&clips, &(&clips * 0.5), &SingleProcess).loss.backward();
        assert!(parameters.trained().all(|(_, parameter)| parameter.grad().defined()));
        assert!(gan.lecam() != LeCam::default());
    }

    #[test]
    fn restored_statistics_undo_the_effect_of_later_clips() {
        let root = ParamPath::fresh(Device::Cpu);
        let mut gan = GanLoss::new(&root, &GanConfig::default());
        let parameters = root.finish().unwrap();
        let all = || -> Vec<Tensor> { parameters.iter().map(|(_, tensor)| tensor.detach().copy()).collect() };
        let (clips, before) = (Tensor::ones([1, 3, 2, 32, 32], (Kind::Float, Device::Cpu)), all());
        let statistics = gan.statistics();
        let _ = gan.generator_loss(&clips, &SingleProcess);
        let _ = gan.discriminate(&clips, &(&clips * f64::NAN), &SingleProcess);
        assert!(all() != before);
        gan.set_statistics(&statistics);
        assert!(all() == before);
        assert_eq!(gan.lecam(), LeCam::default());
    }
}
