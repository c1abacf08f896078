//! How a run is executed: device, stopping, processes, and what the program adds to it.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Tensor};
use vidtok::TokenizerBuilder;
use vidtok_core::{Loss, ProcessGroup, WorldRank};
use vidtok_torch::C10dProcessGroup;

use crate::error::TrainError;

/// How to execute a run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The device to compute on.
    pub device: Device,
    /// Stops the run once it is set: the run finishes its current step, saves its state and ends, without waiting for clips
    /// or for the end of a validation. Setting it in one process stops all.
    pub stop: Arc<AtomicBool>,
    /// The processes that train together; each makes the same call.
    pub group: Option<Rc<C10dProcessGroup>>,
    /// Makes the run's tokenizers, with a quantizer of your own if the configuration names one. The device and the number
    /// type are the run's.
    pub tokenizer: TokenizerBuilder,
    /// Losses of your own with their weights, in addition to those of the configuration. Logs list them by name.
    /// Validations, and with them the choice of the best weights, leave them out. They are in no file of the run, so
    /// resume it with the same ones.
    pub losses: Vec<(Rc<dyn Loss>, f64)>,
}

impl RunOptions {
    /// Whether this process is the leader, which writes the files.
    pub(crate) fn leads(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.rank() == 0)
    }

    /// Whether this process was stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The rank of this process, which determines its part of each batch.
    pub(crate) fn rank(&self) -> WorldRank {
        self.group
            .as_ref()
            .map_or(WorldRank::SINGLE, |group| WorldRank { rank: group.rank(), world_size: group.world_size() })
    }

    /// The mean of a number over all processes.
    pub(crate) fn mean(&self, number: f64) -> Result<f64, TrainError> {
        match &self.group {
            Some(group) => Ok(group.try_mean(&Tensor::from(number))?.double_value(&[])),
            None => Ok(number),
        }
    }
}
