//! The losses of a run, with their parameters (`loss.*` in published checkpoints).

use std::collections::BTreeMap;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};
use vidtok_core::Loss;
use vidtok_loss::{GanConfig, GanLoss, L1, Mse, Perceptual, ReconstructionLoss};
use vidtok_metrics::Lpips;
use vidtok_torch::{ParamPath, ParameterError, Parameters};

use crate::config::losses::LossConfig;

/// The losses to train with, which may include your own.
#[derive(Clone, Debug)]
pub struct LossParts {
    /// The reconstruction losses with their weights.
    pub reconstruction: Vec<(Rc<dyn Loss>, f64)>,
    /// Whether the log-variance of the likelihood is learned; otherwise it stays 0.
    pub learn_logvar: bool,
    /// The GAN loss, if any.
    pub gan: Option<GanConfig>,
}

impl LossParts {
    /// The losses of a configuration: L1 with weight 1, and LPIPS if the configuration has it and `lpips` is its
    /// network.
    #[must_use]
    pub fn of(config: &LossConfig, lpips: Option<Rc<Lpips>>) -> Self {
        let mut reconstruction: Vec<(Rc<dyn Loss>, f64)> = vec![(Rc::new(L1), 1.0)];
        if config.mse > 0.0 {
            reconstruction.push((Rc::new(Mse), config.mse));
        }
        if let (Some(perceptual), Some(lpips)) = (&config.perceptual, lpips) {
            reconstruction.push((Rc::new(Perceptual::new(lpips, perceptual.frames)), perceptual.weight));
        }
        Self { reconstruction, learn_logvar: config.learn_logvar, gan: config.gan.clone() }
    }
}

impl Default for LossParts {
    /// L1 with a learned log-variance.
    fn default() -> Self {
        Self::of(&LossConfig::default(), None)
    }
}

/// The prefix of the names of all parameters.
pub(crate) const PREFIX: &str = "loss";
/// The name of the log-variance, which the generator's optimizer trains.
const LOGVAR: &str = "loss.logvar";
/// The prefix of the discriminator's parameters.
const DISCRIMINATOR: &str = "loss.discriminator.";

/// The losses and their parameters.
#[derive(Debug)]
pub struct Losses {
    pub(crate) reconstruction: ReconstructionLoss,
    pub(crate) gan: Option<GanLoss>,
    parameters: Parameters,
}

impl Losses {
    /// The losses of a configuration, with fresh parameters drawn from libtorch's generator. `lpips` is the network of the
    /// perceptual loss, if the configuration has one.
    #[must_use]
    pub fn new(config: &LossConfig, lpips: Option<Rc<Lpips>>, device: Device) -> Self {
        Self::from_parts(LossParts::of(config, lpips), device)
    }

    /// These losses, with fresh parameters drawn from libtorch's generator.
    #[must_use]
    pub fn from_parts(parts: LossParts, device: Device) -> Self {
        // Fresh parameters always have the expected names and shapes.
        Self::build(parts, ParamPath::fresh(device)).unwrap_or_else(|_| unreachable!("fresh parameters fit"))
    }

    /// These losses, with the parameters `tensors`, whose names start with `loss.`.
    ///
    /// # Errors
    /// If names are missing or unexpected, or a tensor has the wrong shape.
    pub fn loaded(parts: LossParts, tensors: BTreeMap<String, Tensor>, device: Device) -> Result<Self, ParameterError> {
        Self::build(parts, ParamPath::loaded(tensors, device, Kind::Float))
    }

    /// Copies the values of `tensors` (`loss.*`) if they contain all parameters of these losses; returns whether they do.
    pub fn load(&self, tensors: &BTreeMap<String, Tensor>) -> bool {
        let found: Option<Vec<(&Tensor, &Tensor)>> = self
            .parameters
            .iter()
            .map(|(name, own)| Some((own, tensors.get(name).filter(|tensor| tensor.size() == own.size())?)))
            .collect();
        let Some(found) = found else { return false };
        tch::no_grad(|| found.iter().for_each(|(own, value)| own.shallow_clone().copy_(value)));
        true
    }

    fn build(parts: LossParts, root: ParamPath) -> Result<Self, ParameterError> {
        let path = root.sub(PREFIX);
        let reconstruction = ReconstructionLoss::new(&path, parts.reconstruction);
        let gan = parts.gan.map(|config| GanLoss::new(&path, &config));
        let parameters = root.finish()?;
        parameters.set_requires_grad(LOGVAR, parts.learn_logvar);
        parameters.set_requires_grad(DISCRIMINATOR, true);
        Ok(Self { reconstruction, gan, parameters })
    }

    /// All parameters and buffers.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The parameters that are trained together with the tokenizer.
    pub(crate) fn generator_parameters(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.trained().filter(|(name, _)| !name.starts_with(DISCRIMINATOR))
    }

    /// The parameters of the discriminator.
    pub(crate) fn discriminator_parameters(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.trained().filter(|(name, _)| name.starts_with(DISCRIMINATOR))
    }
}
