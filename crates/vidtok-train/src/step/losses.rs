//! The losses of a run, with their parameters (`loss.*` of the published states).

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use vidtok_loss::{GanConfig, GanLoss, Perceptual, PerceptualConfig, ReconstructionLoss};
use vidtok_metrics::{Lpips, LpipsNet, WeightsError};
use vidtok_torch::{ParamPath, ParameterError, Parameters};

use crate::error::TrainError;
use crate::run::Observer;

/// The `[train.loss]` table: what is minimised besides the mean absolute difference and the quantizer's own loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// LPIPS; none without this table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perceptual: Option<PerceptualConfig>,
    /// Whether the log-variance of the likelihood is learned; else it stays 0.
    pub learn_logvar: bool,
    /// The discriminator; none without this table.
    #[serde(alias = "adversary", skip_serializing_if = "Option::is_none")]
    pub gan: Option<GanConfig>,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self { perceptual: None, learn_logvar: true, gan: None }
    }
}

/// The name below which the parameters stand.
pub(crate) const PREFIX: &str = "loss";
/// The names of those that the generator's optimizer trains.
const LOGVAR: &str = "loss.logvar";
const DISCRIMINATOR: &str = "loss.discriminator.";

/// The losses and their parameters.
#[derive(Debug)]
pub struct Losses {
    pub(crate) reconstruction: ReconstructionLoss,
    pub(crate) gan: Option<GanLoss>,
    parameters: Parameters,
}

impl Losses {
    /// Fresh ones, drawn from libtorch's generator; `lpips` is the network of the perceptual loss, if the
    /// configuration has one.
    #[must_use]
    pub fn new(config: &LossConfig, lpips: Option<Rc<Lpips>>, device: Device) -> Self {
        // Fresh parameters have no keys that could be wrong.
        Self::build(config, lpips, ParamPath::fresh(device)).unwrap_or_else(|_| unreachable!("fresh parameters fit"))
    }

    /// With the values of `tensors`, whose names start with `loss.`.
    ///
    /// # Errors
    /// If names are missing, unexpected or wrongly shaped.
    pub fn loaded(
        config: &LossConfig,
        lpips: Option<Rc<Lpips>>,
        tensors: BTreeMap<String, Tensor>,
        device: Device,
    ) -> Result<Self, ParameterError> {
        Self::build(config, lpips, ParamPath::loaded(tensors, device, Kind::Float))
    }

    /// Takes over the values of `tensors` (`loss.*`), if they are those of the same losses; says whether they were.
    pub fn take_over(&self, tensors: &BTreeMap<String, Tensor>) -> bool {
        let found: Option<Vec<(&Tensor, &Tensor)>> = self
            .parameters
            .iter()
            .map(|(name, own)| Some((own, tensors.get(name).filter(|tensor| tensor.size() == own.size())?)))
            .collect();
        let Some(found) = found else { return false };
        tch::no_grad(|| found.iter().for_each(|(own, value)| own.shallow_clone().copy_(value)));
        true
    }

    fn build(config: &LossConfig, lpips: Option<Rc<Lpips>>, root: ParamPath) -> Result<Self, ParameterError> {
        let path = root.sub(PREFIX);
        let perceptual = config
            .perceptual
            .as_ref()
            .zip(lpips)
            .map(|(config, lpips)| (Perceptual::new(lpips, config.frames), config.weight));
        let reconstruction = ReconstructionLoss::new(&path, perceptual);
        let gan = config.gan.as_ref().map(|config| GanLoss::new(&path, config));
        let parameters = root.finish()?;
        parameters.set_requires_grad(LOGVAR, config.learn_logvar);
        parameters.set_requires_grad(DISCRIMINATOR, true);
        Ok(Self { reconstruction, gan, parameters })
    }

    /// All parameters and buffers.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Those that are trained together with the tokenizer.
    pub(crate) fn generator_parameters(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.trained().filter(|(name, _)| !name.starts_with(DISCRIMINATOR))
    }

    /// Those of the discriminator.
    pub(crate) fn discriminator_parameters(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.trained().filter(|(name, _)| name.starts_with(DISCRIMINATOR))
    }
}

/// LPIPS with its released weights: for the loss, and to measure with.
#[derive(Clone, Debug, Default)]
pub(crate) struct LpipsNets {
    /// As the loss has it, if it has.
    pub(crate) loss: Option<Rc<Lpips>>,
    /// VGG16, if it has been fetched.
    pub(crate) measure: Option<Rc<Lpips>>,
}

impl LpipsNets {
    /// Looks for the weights. Those to measure with may be missing, and those for the loss if it can do without; what is
    /// left out then is said.
    pub(crate) fn locate(config: &LossConfig, device: Device, observer: &mut dyn Observer) -> Result<Self, TrainError> {
        let measure = match Lpips::locate(LpipsNet::Vgg, device) {
            Ok(lpips) => Some(Rc::new(lpips)),
            Err(error @ WeightsError::Missing { .. }) => {
                observer.warned(&format!("validation goes without LPIPS: {error}"));
                None
            }
            Err(error) => return Err(error.into()),
        };
        let Some(perceptual) = &config.perceptual else { return Ok(Self { loss: None, measure }) };
        let loss = match (perceptual.net, &measure) {
            (LpipsNet::Vgg, Some(measure)) => Ok(Rc::clone(measure)),
            (net, _) => Lpips::locate(net, device).map(Rc::new),
        };
        match loss {
            Ok(loss) => Ok(Self { loss: Some(loss), measure }),
            Err(error @ WeightsError::Missing { .. }) if perceptual.if_fetched => {
                observer.warned(&format!("training goes on without LPIPS: {error}"));
                Ok(Self { loss: None, measure })
            }
            Err(error) => Err(error.into()),
        }
    }
}
