//! The discriminator with its losses: what an adversarial training step needs beside the tokenizer.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vidtok_core::{Differentiated, ProcessGroup};
use vidtok_torch::ParamPath;

use crate::{DiscriminatorLoss, GeneratorLoss, LeCam, PatchGan, PatchKind};

/// Bounds of the adaptive weight.
const LARGEST_WEIGHT: f64 = 1e4;
/// Keeps the division finite.
const EPS: f64 = 1e-4;

/// Configuration of [`GanLoss`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GanConfig {
    /// What the discriminator judges.
    pub patches: PatchKind,
    /// The batch, from 0, at which it begins: before, it neither learns nor counts. (The published 20001 counts two
    /// updates a batch.)
    pub start: u64,
    /// Weight of the generator's loss, on top of the adaptive one.
    pub weight: f64,
    /// What the discriminator minimises.
    pub discriminator_loss: DiscriminatorLoss,
    /// What the generator minimises.
    pub generator_loss: GeneratorLoss,
    /// Weight of [`LeCam`] in the discriminator's loss.
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

/// A discriminator that learns to tell reconstructions from clips.
#[derive(Debug)]
pub struct GanLoss {
    config: GanConfig,
    discriminator: PatchGan,
    lecam: LeCam,
}

/// What an [`GanLoss`] counts as it sees clips, apart from gradients: the running statistics of its norms, and the
/// moving means.
#[derive(Debug)]
pub struct Counts {
    running: Vec<Tensor>,
    lecam: LeCam,
}

/// The discriminator's loss of one batch, and its parts; scalars. Of a batch that peers share they say what this
/// process's part adds to the mean.
#[derive(Debug)]
pub struct DiscriminatorTerms {
    /// What is minimised; with gradients for the discriminator.
    pub loss: Tensor,
    /// The loss on the logits in it.
    pub logits_loss: Tensor,
    /// LeCAM's loss in it, before its weight.
    pub lecam: Tensor,
    /// Mean logit of clips.
    pub real: Tensor,
    /// Mean logit of reconstructions.
    pub fake: Tensor,
}

impl GanLoss {
    /// Makes or loads the network, at `discriminator` below `path`.
    #[must_use]
    pub fn new(path: &ParamPath, config: &GanConfig) -> Self {
        let discriminator = PatchGan::new(&path.sub("discriminator"), config.patches);
        Self { config: config.clone(), discriminator, lecam: LeCam::default() }
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &GanConfig {
        &self.config
    }

    /// The moving means, to be saved.
    #[must_use]
    pub fn lecam(&self) -> LeCam {
        self.lecam
    }

    /// Goes on with saved means.
    pub fn set_lecam(&mut self, lecam: LeCam) {
        self.lecam = lecam;
    }

    /// What has been counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { running: self.discriminator.running().map(Tensor::copy).collect(), lecam: self.lecam }
    }

    /// Goes back to earlier counts, as if the clips since then had not been seen.
    pub fn set_counts(&mut self, counts: &Counts) {
        tch::no_grad(|| {
            for (running, earlier) in self.discriminator.running().zip(&counts.running) {
                running.shallow_clone().copy_(earlier);
            }
        });
        self.lecam = counts.lecam;
    }

    /// The generator's loss on reconstructions `[b, 3, t, h, w]` and its gradient there, before any weight. The
    /// discriminator's parameters get no gradient.
    pub fn generator_loss(&self, reconstruction: &Tensor, group: &dyn ProcessGroup) -> Differentiated {
        let loss = |fake: &Tensor| Ok(self.config.generator_loss.forward(&self.discriminator.forward(fake, group)));
        let Ok(generator_loss) = Differentiated::of::<Infallible>(reconstruction, loss);
        generator_loss
    }

    /// The weight of the generator's loss: the ratio of both losses' gradient norms at `parameter` (the decoder's last
    /// weight), clamped, times the configured weight (arXiv 2012.09841). Both losses must have a graph to it, which is
    /// kept. Of a batch that peers share the gradients are those of the whole.
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

    /// The discriminator's loss on clips and their reconstructions, both `[b, 3, t, h, w]`; counts their logits into
    /// the moving means, unless they are no finite numbers.
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
        let of_all = group.mean(&Tensor::stack(&[&means[0], &means[1], &logits_loss.detach()], 0));
        if of_all.isfinite().all().int64_value(&[]) == 1 {
            self.lecam.update(of_all.double_value(&[0]), of_all.double_value(&[1]));
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
    fn the_adaptive_weight_is_the_ratio_of_the_gradient_norms() {
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
    fn judging_leaves_the_discriminator_without_gradients_and_discriminating_does_not() {
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
    fn earlier_counts_are_those_before_the_clips_that_came_since() {
        let root = ParamPath::fresh(Device::Cpu);
        let mut gan = GanLoss::new(&root, &GanConfig::default());
        let parameters = root.finish().unwrap();
        let all = || -> Vec<Tensor> { parameters.iter().map(|(_, tensor)| tensor.detach().copy()).collect() };
        let (clips, before) = (Tensor::ones([1, 3, 2, 32, 32], (Kind::Float, Device::Cpu)), all());
        let counts = gan.counts();
        let _ = gan.generator_loss(&clips, &SingleProcess);
        let _ = gan.discriminate(&clips, &(&clips * f64::NAN), &SingleProcess);
        assert!(all() != before);
        gan.set_counts(&counts);
        assert!(all() == before);
        assert_eq!(gan.lecam(), LeCam::default());
    }
}
