//! The LPIPS networks of a run.

use std::rc::Rc;

use tch::Device;
use vidtok_metrics::{Lpips, LpipsNet, WeightsError};

use crate::config::losses::LossConfig;
use crate::error::TrainError;
use crate::run::observer::Observer;

/// LPIPS networks with their released weights.
#[derive(Clone, Debug, Default)]
pub(crate) struct LpipsNets {
    /// The network of the loss, if it has LPIPS.
    pub(crate) loss: Option<Rc<Lpips>>,
    /// VGG16 for validation, if it was fetched.
    pub(crate) validation: Option<Rc<Lpips>>,
}

impl LpipsNets {
    /// Loads the weights. Missing weights are a warning for validation, and for the loss if its configuration allows
    /// training without them.
    pub(crate) fn locate(config: &LossConfig, device: Device, observer: &mut dyn Observer) -> Result<Self, TrainError> {
        let validation = match Lpips::locate(LpipsNet::Vgg, device) {
            Ok(lpips) => Some(Rc::new(lpips)),
            Err(error @ WeightsError::Missing { .. }) => {
                observer.warned(&format!("validation does not measure LPIPS: {error}"));
                None
            }
            Err(error) => return Err(error.into()),
        };
        let Some(perceptual) = &config.perceptual else { return Ok(Self { loss: None, validation }) };
        let loss = match (perceptual.net, &validation) {
            (LpipsNet::Vgg, Some(vgg)) => Ok(Rc::clone(vgg)),
            (net, _) => Lpips::locate(net, device).map(Rc::new),
        };
        match loss {
            Ok(loss) => Ok(Self { loss: Some(loss), validation }),
            Err(error @ WeightsError::Missing { .. }) if perceptual.if_fetched => {
                observer.warned(&format!("training continues without LPIPS: {error}"));
                Ok(Self { loss: None, validation })
            }
            Err(error) => Err(error.into()),
        }
    }
}
