//! The complete state of a trainer in one file, which is also a one-file model: it holds the tokenizer's weights under
//! their published names, `loss.*`, `model_ema.*` and the optimizers' moments, and everything else as JSON in the metadata.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vidtok::{Tokenizer, Weights, ema_key, sha256};
use vidtok_loss::LeCam;
use vidtok_optim::Optimizer;
use vidtok_torch::{C10dProcessGroup, TensorFile, TensorFileError, write_tensors};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::step::counts::StepCounts;
use crate::step::losses::{self, LossParts, Losses};
use crate::step::trainer::Trainer;

/// The metadata key of [`SavedNumbers`].
const STATE: &str = "vidtok.training";
/// The metadata key of the hash of all tensors.
const SHA256: &str = "vidtok.training_sha256";
const NO_STATE: &str = "not the state of a training run";
const GENERATOR: &str = "optimizer.generator";
const DISCRIMINATOR: &str = "optimizer.discriminator";

/// The part of the state that is not tensors.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedNumbers {
    #[serde(rename = "progress")]
    pub(crate) counts: StepCounts,
    generator_updates: i32,
    discriminator_updates: i32,
    ema_updates: u64,
    lecam_real: f64,
    lecam_fake: f64,
}

impl Trainer {
    /// All tensors of the state by their names in the file.
    pub(crate) fn tensors(&self) -> BTreeMap<String, &Tensor> {
        let optimizers = [(GENERATOR, &self.generator_optimizer), (DISCRIMINATOR, &self.discriminator_optimizer)];
        let moments = optimizers.into_iter().flat_map(|(prefix, optimizer)| {
            optimizer.state().map(move |(name, tensor)| (format!("{prefix}.{name}"), tensor))
        });
        let averages = self.ema.iter().flat_map(|ema| ema.averages());
        let own = self.tokenizer.parameters().iter().chain(self.losses.parameters().iter());
        own.map(|(name, tensor)| (name.to_owned(), tensor))
            .chain(averages.map(|(name, tensor)| (ema_key(name), tensor)))
            .chain(moments)
            .collect()
    }

    /// The part of the state that is not tensors.
    pub(crate) fn numbers(&self) -> SavedNumbers {
        let lecam = self.losses.gan.as_ref().map(|gan| gan.lecam()).unwrap_or_default();
        SavedNumbers {
            counts: self.counts,
            generator_updates: self.generator_optimizer.updates(),
            discriminator_updates: self.discriminator_optimizer.updates(),
            ema_updates: self.ema.as_ref().map_or(0, |ema| ema.updates()),
            lecam_real: lecam.real,
            lecam_fake: lecam.fake,
        }
    }

    fn set_numbers(&mut self, saved: &SavedNumbers) {
        self.counts = saved.counts;
        self.generator_optimizer.set_updates(saved.generator_updates);
        self.discriminator_optimizer.set_updates(saved.discriminator_updates);
        if let Some(ema) = &mut self.ema {
            ema.set_updates(saved.ema_updates);
        }
        if let Some(gan) = &mut self.losses.gan {
            gan.set_lecam(LeCam { real: saved.lecam_real, fake: saved.lecam_fake });
        }
    }

    /// Loads the state of rank 0, which must have the same model and losses.
    pub(crate) fn load_from_first_rank(&mut self, group: &C10dProcessGroup) -> Result<(), TrainError> {
        for tensor in self.tensors().values() {
            group.broadcast(tensor)?;
        }
        let text = serde_json::to_vec(&self.numbers()).map_err(|error| group.failed(&error.to_string()))?;
        let text = group.broadcast_bytes(&text)?;
        let saved = serde_json::from_slice(&text).map_err(|error| group.failed(&error.to_string()))?;
        self.set_numbers(&saved);
        Ok(())
    }

    /// Writes the state, completely or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let tensors = self.tensors();
        let text = serde_json::to_string(&self.numbers()).map_err(|error| TrainError::io(path, error.into()))?;
        let hash = sha256(tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor)));
        let origin = format!("training, after {} steps", self.counts.step);
        let mut metadata = self.tokenizer.metadata(&origin)?;
        metadata.extend([(STATE, text), (SHA256, hash)]);
        let tensors = tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor));
        write_tensors(path, tensors, metadata).map_err(vidtok::Error::from)?;
        Ok(())
    }

    /// A trainer that resumes from a saved state. `tokenizer` builds the model of the run with the weights of the state;
    /// `losses` are the losses of the run: `LossParts::of(&config.loss, lpips)`, or your own.
    ///
    /// # Errors
    /// [`TrainError::Damaged`] if the file is damaged; others if it cannot be read, or is not the state of this model with
    /// these losses.
    pub fn resume(
        path: &Path,
        tokenizer: impl FnOnce(Weights) -> Result<Tokenizer, vidtok::Error>,
        losses: LossParts,
        config: TrainConfig,
    ) -> Result<Self, TrainError> {
        let wrong = |message: String| TrainError::State { path: path.to_owned(), message };
        let (saved, tensors) = read_checked(path)?;
        let weights = Weights::read(path).map_err(|error| match error {
            vidtok::Error::Config { message, .. } => TrainError::Damaged { path: path.to_owned(), message },
            other => other.into(),
        })?;
        let tokenizer = tokenizer(weights)?;
        let prefix = format!("{}.", losses::PREFIX);
        let of_losses = tensors.iter().filter(|(name, _)| name.starts_with(&prefix));
        let of_losses = of_losses.map(|(name, tensor)| (name.clone(), tensor.copy())).collect();
        let losses = Losses::loaded(losses, of_losses, tokenizer.device()).map_err(|error| wrong(error.to_string()))?;
        let mut trainer = Self::new(tokenizer, losses, config);
        let missing = |name: String| wrong(format!("expected a tensor {name} of the right shape, found none"));
        let restore = |optimizer: &mut Optimizer, prefix: &str| {
            optimizer
                .restore(|name| tensors.get(&format!("{prefix}.{name}")).map(Tensor::shallow_clone))
                .map_err(|name| missing(format!("{prefix}.{name}")))
        };
        restore(&mut trainer.generator_optimizer, GENERATOR)?;
        restore(&mut trainer.discriminator_optimizer, DISCRIMINATOR)?;
        if let Some(ema) = &mut trainer.ema {
            let average = |name: &str| tensors.get(&ema_key(name)).map(Tensor::shallow_clone);
            ema.restore(average).map_err(|name| missing(ema_key(&name)))?;
        }
        trainer.set_numbers(&saved);
        Ok(trainer)
    }
}

/// Reads a state and checks that it is not damaged.
fn read_checked(path: &Path) -> Result<(SavedNumbers, BTreeMap<String, Tensor>), TrainError> {
    let damaged = |message: String| TrainError::Damaged { path: path.to_owned(), message };
    let unreadable = |error| match error {
        TensorFileError::Io { source, .. } => TrainError::io(path, source),
        TensorFileError::Format { source, .. } => damaged(source.to_string()),
        other => damaged(other.to_string()),
    };
    let file = TensorFile::open(path).map_err(unreadable)?;
    let text = file.metadata(STATE);
    let text = text.ok_or_else(|| TrainError::State { path: path.to_owned(), message: NO_STATE.to_owned() })?;
    let saved = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
    let tensors = file.tensors().map_err(unreadable)?;
    let hash = sha256(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)));
    if file.metadata(SHA256) != Some(hash.as_str()) {
        return Err(damaged("its tensors do not match the hash in its metadata".to_owned()));
    }
    Ok((saved, tensors))
}
