//! The weights of a model from whatever file they stand in.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};
use vidtok_arch::Causality;
use vidtok_torch::TensorFile;

use crate::checkpoint::read_checkpoint;
use crate::{Config, Error, model_file};

/// Keys that belong to training: no part of a tokenizer.
const TRAINING_PREFIXES: [&str; 3] = [LOSS_PREFIX, EMA_PREFIX, "optimizer."];
const LOSS_PREFIX: &str = "loss.";
const EMA_PREFIX: &str = "model_ema.";
/// Checkpoints carry LPIPS along, which is never trained and has a file of its own.
const PERCEPTUAL_PREFIX: &str = "loss.perceptual_loss.";

/// The key of a parameter's moving average. The published trainer names averages after the parameter, without its dots.
#[must_use]
pub fn ema_key(parameter: &str) -> String {
    format!("{EMA_PREFIX}{}", parameter.replace('.', ""))
}

/// Named tensors of a file, and what the file says about itself.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
    config: Option<Config>,
    sha256: Option<String>,
    origin: Option<String>,
}

impl Weights {
    /// Reads a `.safetensors` file, or a PyTorch checkpoint (`.ckpt`, `.pt`, `.pth`; nothing in it is executed).
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if path.extension() == Some(OsStr::new("safetensors")) {
            let file = TensorFile::open(path)?;
            let config = model_file::config(&file)?;
            let text = |key| file.metadata(key).map(str::to_owned);
            let (sha256, origin) = (text(model_file::SHA256), text(model_file::ORIGIN));
            Ok(Self { path: path.to_owned(), tensors: file.tensors()?, config, sha256, origin })
        } else {
            let mut tensors = read_checkpoint(path).map_err(Box::new)?.tensors;
            // Copies: a checkpoint's tensors may share memory, and training must not.
            tensors.retain(|key, _| !key.starts_with(PERCEPTUAL_PREFIX));
            tensors.values_mut().for_each(|tensor| *tensor = tensor.copy());
            Ok(Self { path: path.to_owned(), tensors, config: None, sha256: None, origin: None })
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration, if the file is a one-file model.
    #[must_use]
    pub fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// Where the weights came from, if the file is a one-file model.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Puts the moving averages (`model_ema.*`) in the place of the parameters that `names` lists.
    ///
    /// # Errors
    /// If one of them has no average.
    pub fn use_ema<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
        for name in names {
            let average = ema_key(name);
            let tensor = self
                .tensors
                .remove(&average)
                .ok_or_else(|| Error::NoEma { path: self.path.clone(), key: name.to_owned() })?;
            self.tensors.insert(name.to_owned(), tensor);
        }
        self.sha256 = None;
        Ok(())
    }

    /// Refuses weights that are known to belong to another model than `config`: by the configuration inside, or by the
    /// name of a released file.
    pub(crate) fn check_model(&self, config: &Config) -> Result<(), Error> {
        let path = || self.path.clone();
        let expected = config.model.causality;
        let stem = self.path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let released = (stem.starts_with("vidtok_") && stem.contains("causal")).then(|| {
            match (stem.contains("noncausal"), stem.contains("v1_1")) {
                (true, _) => Causality::NonCausal,
                (_, true) => Causality::V1_1,
                _ => Causality::V1_0,
            }
        });
        let stated = self.config.as_ref();
        match stated.map(|stated| stated.model.causality).or(released) {
            Some(found) if found != expected => return Err(Error::Version { path: path(), expected, found }),
            _ => {}
        }
        match stated {
            Some(stated) if stated.model != config.model => Err(Error::OtherModel { path: path(), table: "model" }),
            Some(stated) if !stated.quantizer.same_latents(&config.quantizer) => {
                Err(Error::OtherModel { path: path(), table: "quantizer" })
            }
            _ => Ok(()),
        }
    }

    /// The parameters of the training losses (`loss.*`), if the file has them.
    #[must_use]
    pub fn losses(&self) -> BTreeMap<String, Tensor> {
        let losses = self.tensors.iter().filter(|(key, _)| key.starts_with(LOSS_PREFIX));
        losses.map(|(key, tensor)| (key.clone(), tensor.shallow_clone())).collect()
    }

    /// The tensors of the tokenizer, without those of training, and their sha256 where the file states it.
    pub(crate) fn into_model(self) -> (BTreeMap<String, Tensor>, Option<String>) {
        let mut tensors = self.tensors;
        tensors.retain(|key, _| !TRAINING_PREFIXES.iter().any(|prefix| key.starts_with(prefix)));
        (tensors, self.sha256)
    }
}

/// The sha256 of named tensors in order, as float32: the same for a file and its float32 conversion, hexadecimal.
#[must_use]
pub fn sha256<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> String {
    let mut hash = Sha256::new();
    let mut bytes = Vec::new();
    for (name, tensor) in tensors {
        let tensor = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
        bytes.resize(tensor.numel() * size_of::<f32>(), 0);
        tensor.copy_data_u8(&mut bytes, tensor.numel());
        hash.update(name);
        hash.update([0]);
        hash.update(&bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
