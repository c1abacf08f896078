//! Weights from safetensors files and PyTorch checkpoints.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};
use vidtok_arch::Causality;
use vidtok_torch::{TensorFile, write_tensors};

use crate::config::Config;
use crate::error::Error;
use crate::files::checkpoint::read_checkpoint;
use crate::files::{diffusers, model_file};

/// Prefixes of keys that belong to training and not to the tokenizer.
const TRAINING_PREFIXES: [&str; 3] = [LOSS_PREFIX, EMA_PREFIX, "optimizer."];
const LOSS_PREFIX: &str = "loss.";
const EMA_PREFIX: &str = "model_ema.";
/// Checkpoints contain the weights of LPIPS, which is never trained and is read from a file of its own.
const PERCEPTUAL_PREFIX: &str = "loss.perceptual_loss.";

/// The key of a parameter's moving average: the parameter's name without dots, as the published trainer writes it.
#[must_use]
pub fn ema_key(parameter: &str) -> String {
    format!("{EMA_PREFIX}{}", parameter.replace('.', ""))
}

/// Path components that wrappers add to the keys of the wrapped network: torch.nn.DataParallel and
/// DistributedDataParallel, and torch.compile. No network of this crate has such components.
const WRAPPERS: [&str; 2] = ["module", "_orig_mod"];

/// A key without the components that wrappers add.
fn unwrapped(key: &str) -> String {
    let (prefix, rest) = match key.strip_prefix(EMA_PREFIX) {
        Some(rest) => (EMA_PREFIX, rest),
        None => ("", key),
    };
    let mut parts: Vec<&str> = rest.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
    // The keys of averages have no dots, so the wrapper's name is a prefix there.
    if let ([dotless], EMA_PREFIX) = (&mut parts[..], prefix) {
        while let Some(inner) = WRAPPERS.iter().find_map(|wrapper| dotless.strip_prefix(wrapper)) {
            *dotless = inner;
        }
    }
    format!("{prefix}{}", parts.join("."))
}

/// The named tensors of a file, and its metadata.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
    /// How many keys had components of wrappers.
    unwrapped: usize,
    config: Option<Config>,
    sha256: Option<String>,
    origin: Option<String>,
}

impl Weights {
    /// Reads a `.safetensors` file, a PyTorch checkpoint (`.ckpt`, `.pt`, `.pth`), or a folder of the Python library
    /// diffusers. Nothing in a checkpoint is executed.
    ///
    /// The components `module.` and `_orig_mod.`, which DataParallel and torch.compile add to keys, are removed
    /// ([`unwrapped`](Self::unwrapped)).
    ///
    /// # Errors
    /// If the file cannot be read or is damaged, or has a key both with and without these components.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Self::without_wrappers(Self::read_as_named(path)?);
        }
        let (config, weights) = diffusers::read(path)?;
        let origin = Some("a folder of diffusers".to_owned());
        Ok(Self { config: Some(config), origin, ..Self::read_as_named(&weights)? })
    }

    /// Reads a one-file model that is compiled into the program. Errors call it `name`.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn built_in(name: &str, bytes: &'static [u8]) -> Result<Self, Error> {
        Self::from_tensor_file(&TensorFile::built_in(Path::new(name), bytes)?)
    }

    /// Tensors in memory; errors call them `name`. `sha256` is that of the weights, if it is known.
    #[must_use]
    pub fn from_tensors(name: impl Into<PathBuf>, tensors: BTreeMap<String, Tensor>, sha256: Option<String>) -> Self {
        Self { path: name.into(), tensors, unwrapped: 0, config: None, sha256, origin: None }
    }

    /// The configuration of a one-file model or of a folder of diffusers, without its weights; `None` if the file is
    /// another safetensors file.
    ///
    /// # Errors
    /// If the file cannot be read, is not a safetensors file, or holds an invalid configuration.
    pub fn read_config(path: impl AsRef<Path>) -> Result<Option<Config>, Error> {
        match path.as_ref() {
            folder if folder.is_dir() => Ok(Some(diffusers::read(folder)?.0)),
            file => model_file::config(&TensorFile::open(file)?),
        }
    }

    /// Removes the components of wrappers from all keys.
    fn without_wrappers(mut weights: Self) -> Result<Self, Error> {
        let mut tensors = BTreeMap::new();
        for (key, tensor) in std::mem::take(&mut weights.tensors) {
            let plain = unwrapped(&key);
            weights.unwrapped += usize::from(plain != key);
            if tensors.insert(plain.clone(), tensor).is_some() {
                return Err(Error::TwiceNamed { path: weights.path, key: plain });
            }
        }
        weights.tensors = tensors;
        Ok(weights)
    }

    fn read_as_named(path: &Path) -> Result<Self, Error> {
        if path.extension() == Some(OsStr::new("safetensors")) {
            Self::from_tensor_file(&TensorFile::open(path)?)
        } else {
            let mut tensors = read_checkpoint(path).map_err(Box::new)?.tensors;
            // Copied, because tensors of a checkpoint may share memory, and trained parameters must not.
            tensors.retain(|key, _| !key.starts_with(PERCEPTUAL_PREFIX));
            tensors.values_mut().for_each(|tensor| *tensor = tensor.copy());
            Ok(Self { path: path.to_owned(), tensors, unwrapped: 0, config: None, sha256: None, origin: None })
        }
    }

    fn from_tensor_file(file: &TensorFile) -> Result<Self, Error> {
        let config = model_file::config(file)?;
        let text = |key| file.metadata(key).map(str::to_owned);
        let (sha256, origin) = (text(model_file::SHA256), text(model_file::ORIGIN));
        let path = file.path().to_owned();
        Ok(Self { path, tensors: file.tensors()?, unwrapped: 0, config, sha256, origin })
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

    /// Where the weights came from, as a one-file model states it.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The number of keys from which `module.` or `_orig_mod.` was removed.
    #[must_use]
    pub fn unwrapped(&self) -> usize {
        self.unwrapped
    }

    /// Replaces the parameters that `names` lists by their moving averages (`model_ema.*`).
    ///
    /// # Errors
    /// If a parameter has no average.
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

    /// Refuses weights of another model than `config` describes, as far as the file's own configuration or the name of a
    /// released file shows it.
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

    /// The parameters of the training losses (`loss.*`); empty if the file has none.
    #[must_use]
    pub fn losses(&self) -> BTreeMap<String, Tensor> {
        let losses = self.tensors.iter().filter(|(key, _)| key.starts_with(LOSS_PREFIX));
        losses.map(|(key, tensor)| (key.clone(), tensor.shallow_clone())).collect()
    }

    /// Writes a one-file model of these weights in their number type, without those of training, atomically.
    ///
    /// # Errors
    /// If a number of the configuration is too large for TOML, or the file cannot be written.
    pub fn save_model(self, path: impl AsRef<Path>, config: &Config) -> Result<(), Error> {
        let origin = self.origin.clone().unwrap_or_default();
        let (tensors, stated) = self.into_model();
        let named = || tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let metadata = model_file::metadata(config, &origin, stated.unwrap_or_else(|| sha256(named())))?;
        write_tensors(path.as_ref(), named(), metadata)?;
        Ok(())
    }

    /// The tensors of the tokenizer without those of training, and their hash if the file states it.
    pub(crate) fn into_model(self) -> (BTreeMap<String, Tensor>, Option<String>) {
        let mut tensors = self.tensors;
        tensors.retain(|key, _| !TRAINING_PREFIXES.iter().any(|prefix| key.starts_with(prefix)));
        (tensors, self.sha256)
    }
}

/// The SHA-256 of named tensors in the given order, in hexadecimal. Tensors are hashed as float32, so that a model keeps its
/// hash when it is converted to float32.
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

#[cfg(test)]
mod tests {
    use vidtok_torch::write_tensors;

    use super::*;

    #[test]
    fn components_of_wrappers_are_removed_anywhere_in_a_key() {
        for (key, plain) in [
            ("module.encoder.conv_in.weight", "encoder.conv_in.weight"),
            ("_orig_mod.module.encoder.a", "encoder.a"),
            ("module._orig_mod.encoder.a", "encoder.a"),
            ("encoder._orig_mod.conv_in.bias", "encoder.conv_in.bias"),
            ("loss.discriminator.module.main.0.weight", "loss.discriminator.main.0.weight"),
            ("model_ema.moduleencoderconv_inweight", "model_ema.encoderconv_inweight"),
            ("model_ema._orig_modmoduledecodera", "model_ema.decodera"),
            ("model_ema.decay", "model_ema.decay"),
            ("encoder.modules.weight", "encoder.modules.weight"),
        ] {
            assert_eq!(unwrapped(key), plain);
        }
    }

    #[test]
    fn wrapped_keys_are_counted_and_refused_if_two_become_equal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let [x, y] = [1.0_f32, 2.0].map(Tensor::from);
        let read = |keys: [&str; 2]| {
            write_tensors(&path, [(keys[0], &x), (keys[1], &y)], []).unwrap();
            Weights::read(&path)
        };
        let weights = read(["module.a.weight", "b"]).unwrap();
        assert_eq!(weights.tensors.keys().collect::<Vec<_>>(), ["a.weight", "b"]);
        assert_eq!((weights.unwrapped(), weights.tensors["a.weight"].double_value(&[])), (1, 1.0));
        assert_eq!(read(["a", "b"]).unwrap().unwrapped(), 0);
        let error = read(["_orig_mod.a", "a"]).unwrap_err().to_string();
        assert!(error.contains("a.safetensors: key \"a\""), "{error}");
    }
}
