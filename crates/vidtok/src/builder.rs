//! Building tokenizers: new ones, from files, and around a quantizer that is not built in.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use tch::{Device, Kind};
use vidtok_core::Quantizer;
use vidtok_quant::{CustomConfig, QuantizerConfig};
use vidtok_torch::{ParamPath, with_seed};

use crate::config::Config;
use crate::error::Error;
use crate::files::weights::{self, Weights};
use crate::model::{Model, Placement};
use crate::tokenizer::Tokenizer;

/// The path of a custom quantizer's parameters in checkpoints and one-file models.
const QUANTIZER_PATH: &str = "regularization";

/// An error of the function that makes a custom quantizer.
pub type BoxError = Box<dyn StdError + Send + Sync>;

impl Tokenizer {
    /// Builds a tokenizer with other than default choices: see [`TokenizerBuilder`].
    #[must_use]
    pub fn builder() -> TokenizerBuilder {
        TokenizerBuilder::default()
    }

    /// A new model with PyTorch's initial weights: see [`TokenizerBuilder::init`].
    ///
    /// # Errors
    /// If the configuration is invalid.
    pub fn init(config: Config, seed: i64, device: Device) -> Result<Self, Error> {
        Self::builder().device(device).init(config, seed)
    }

    /// A model without weights: see [`TokenizerBuilder::shapes`].
    ///
    /// # Errors
    /// If the configuration is invalid.
    pub fn shapes(config: Config) -> Result<Self, Error> {
        Self::builder().shapes(config)
    }

    /// A one-file model that computes in `kind`: see [`TokenizerBuilder::open`].
    ///
    /// # Errors
    /// If the file cannot be read or is not a one-file model.
    pub fn open(path: impl AsRef<Path>, device: Device, kind: Kind) -> Result<Self, Error> {
        Self::builder().device(device).kind(kind).open(path)
    }

    /// A model with these weights that computes in `kind`: see [`TokenizerBuilder::with_weights`].
    ///
    /// # Errors
    /// If the configuration is invalid or the weights are not this model's.
    pub fn with_weights(config: Config, weights: Weights, device: Device, kind: Kind) -> Result<Self, Error> {
        Self::builder().device(device).kind(kind).with_weights(config, weights)
    }
}

type MakeQuantizer = dyn Fn(&CustomConfig, &ParamPath) -> Result<Box<dyn Quantizer>, BoxError>;

/// Makes tokenizers on a device, in a number type, and with a quantizer of the program's own. One builder can make any
/// number of tokenizers.
///
/// ```no_run
/// # fn vq(codes: i64, path: &vidtok::ParamPath) -> Result<Box<dyn vidtok::Quantizer>, vidtok::BoxError> { Err("not here".into()) }
/// use vidtok::{Config, Tokenizer};
///
/// let builder = Tokenizer::builder().quantizer(|config, path| vq(config.settings["codes"].as_integer().unwrap(), path));
/// // [quantizer]
/// // kind = "custom"
/// // name = "vq"
/// // codes = 512
/// let tokenizer = builder.init(Config::load("vq.toml", &[])?, 0)?;
/// tokenizer.save("vq.safetensors", "an example")?;
/// let same = builder.open("vq.safetensors")?;
/// # Ok::<(), vidtok::Error>(())
/// ```
#[derive(Clone)]
pub struct TokenizerBuilder {
    placement: Placement,
    make_quantizer: Option<Rc<MakeQuantizer>>,
}

impl fmt::Debug for TokenizerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { placement, make_quantizer } = self;
        f.debug_struct("TokenizerBuilder")
            .field("placement", placement)
            .field("has_quantizer", &make_quantizer.is_some())
            .finish()
    }
}

impl Default for TokenizerBuilder {
    /// Float32 on the CPU, with built-in quantizers only.
    fn default() -> Self {
        Self { placement: Placement { device: Device::Cpu, kind: Kind::Float }, make_quantizer: None }
    }
}

impl TokenizerBuilder {
    /// The device to compute on; the CPU by default.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.placement.device = device;
        self
    }

    /// The number type to compute in: float (the default), bfloat16 or half. New models are always float.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.placement.kind = kind;
        self
    }

    /// The quantizer of models whose configuration says `kind = "custom"`.
    ///
    /// `make` gets the model's `[quantizer]` table, and the path from which the quantizer takes its learned parameters
    /// ([`ParamPath::get`]). These are called `regularization.*` in checkpoints and one-file models. They are trained,
    /// saved and loaded with the networks.
    #[must_use]
    pub fn quantizer(
        mut self,
        make: impl Fn(&CustomConfig, &ParamPath) -> Result<Box<dyn Quantizer>, BoxError> + 'static,
    ) -> Self {
        self.make_quantizer = Some(Rc::new(make));
        self
    }

    /// A new model with PyTorch's initial weights, drawn from `seed`. libtorch's default generator is left as it was.
    ///
    /// # Errors
    /// If the configuration is invalid, or its quantizer is missing or fails.
    pub fn init(&self, config: Config, seed: i64) -> Result<Tokenizer, Error> {
        let placement = Placement { kind: Kind::Float, ..self.placement };
        with_seed(seed, || self.build(config, ParamPath::fresh(placement.device), placement, None))
    }

    /// A model without weights, to inspect the names, shapes and number of its parameters.
    ///
    /// # Errors
    /// As for [`init`](Self::init).
    pub fn shapes(&self, config: Config) -> Result<Tokenizer, Error> {
        let placement = Placement { device: Device::Cpu, kind: Kind::Float };
        self.build(config, ParamPath::shapes(), placement, None)
    }

    /// A one-file model, which contains its configuration.
    ///
    /// # Errors
    /// If the file cannot be read or is not a one-file model, or as for [`init`](Self::init).
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Tokenizer, Error> {
        let path = path.as_ref();
        let weights = Weights::read(path)?;
        let config = weights.config().cloned().ok_or_else(|| Error::NotAModel { path: path.to_owned() })?;
        self.with_weights(config, weights)
    }

    /// A model with these weights. Keys of training (`loss.*`, `model_ema.*`, `optimizer.*`) are ignored.
    ///
    /// # Errors
    /// If the weights are not this model's (missing, unexpected or wrongly shaped keys, or another version of the
    /// networks), or as for [`init`](Self::init).
    pub fn with_weights(&self, config: Config, weights: Weights) -> Result<Tokenizer, Error> {
        weights.check_model(&config)?;
        let path = weights.path().to_owned();
        let (tensors, sha256) = weights.into_model();
        let Placement { device, kind } = self.placement;
        // The hash is of the weights in the file, so it must be computed before they are converted.
        let sha256 = match (sha256, kind) {
            (None, Kind::Float) => None,
            (None, _) => Some(weights::sha256(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))),
            (stated, _) => stated,
        };
        let root = ParamPath::loaded(tensors, device, kind);
        let tokenizer = self.build(config, root, self.placement, Some(&path))?;
        if let Some(sha256) = sha256 {
            tokenizer.model().set_weights_sha256(sha256);
        }
        Ok(tokenizer)
    }

    /// Builds the model with the parameters of `root`, which come from the file at `path` if there is one.
    fn build(
        &self,
        config: Config,
        root: ParamPath,
        placement: Placement,
        path: Option<&Path>,
    ) -> Result<Tokenizer, Error> {
        config.model.validate()?;
        let path = || path.map(Path::to_owned);
        let quantizer = match (&config.quantizer, &self.make_quantizer) {
            (QuantizerConfig::Custom(custom), Some(make)) => make(custom, &root.sub(QUANTIZER_PATH))
                .map_err(|source| Error::CustomQuantizer { path: path(), name: custom.name.clone(), source })?,
            (QuantizerConfig::Custom(custom), None) => {
                return Err(Error::UnknownQuantizer { path: path(), name: custom.name.clone() });
            }
            (built_in, _) => built_in.build()?,
        };
        if let Some(statistics) = &config.latent_statistics {
            statistics.validate(quantizer.latent_channels())?;
        }
        let model = Model::build(config, quantizer, root, placement).map_err(|source| match path() {
            Some(path) => Error::Parameters { path, source: Box::new(source) },
            None => Error::Network(Box::new(source)),
        })?;
        Ok(Tokenizer::from_model(model))
    }
}

#[cfg(test)]
mod tests {
    use tch::Tensor;
    use vidtok_core::{ProcessGroup, Quantized, Regularized};
    use vidtok_torch::Init;

    use super::*;
    use crate::config::tests::TINY;
    use crate::stream::EncodeOptions;
    use crate::training::TrainingOptions;

    /// A continuous latent with a learned scale for each channel.
    #[derive(Debug)]
    struct Scale(Tensor);

    impl Quantizer for Scale {
        fn latent_channels(&self) -> i64 {
            self.0.size()[0]
        }

        fn codebook_size(&self) -> Option<i64> {
            None
        }

        fn quantize(&self, encoded: &Tensor, _noise: Option<&Tensor>) -> Quantized {
            Quantized { latent: encoded * &self.0, indices: None, logvar: None }
        }

        fn regularize(&self, encoded: &Tensor, _step: u64, _group: &dyn ProcessGroup) -> Regularized {
            let latent = encoded * &self.0;
            Regularized { loss: latent.square().mean(Kind::Float), latent, indices: None }
        }

        fn indices_to_codes(&self, _indices: &Tensor) -> Option<Tensor> {
            None
        }
    }

    fn config() -> Config {
        let quantizer = "kind = \"custom\"\nname = \"scale\"\nchannels = 3";
        let text = TINY.replace("kind = \"kl\"\nz_channels = 4", quantizer);
        Config::parse(&text).unwrap()
    }

    fn builder() -> TokenizerBuilder {
        Tokenizer::builder().quantizer(|config, path| {
            let channels = config.settings.get("channels").and_then(|value| value.as_integer());
            let channels = channels.ok_or("expected an integer \"channels\"")?;
            Ok(Box::new(Scale(path.get("scale", &[channels, 1, 1, 1], Init::Constant(2.0)))))
        })
    }

    #[test]
    fn a_custom_quantizer_is_trained_saved_and_loaded_with_its_parameters() {
        const NAME: &str = "regularization.scale";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tokenizer = builder().init(config(), 0).unwrap();
        assert_eq!(tokenizer.parameters().get(NAME).unwrap().size(), [3, 1, 1, 1]);
        tokenizer.parameters().set_requires_grad("", true);
        let before = tokenizer.weights_sha256();
        let video = Tensor::rand([1, 3, 5, 8, 8], (Kind::Float, Device::Cpu));
        let pass = tokenizer.forward_train(&video, &TrainingOptions::default()).unwrap();
        (pass.reconstruction.mean(Kind::Float) + pass.regularized.loss).backward();
        let scale = tokenizer.parameters().get(NAME).unwrap();
        assert!(scale.grad().abs().min().double_value(&[]) > 0.0);
        let _ = tch::no_grad(|| scale.shallow_clone().g_sub_(&scale.grad()));
        assert_ne!(tokenizer.weights_sha256(), before, "the hash is that of the trained weights");

        tokenizer.save(&path, "a test").unwrap();
        let loaded = builder().open(&path).unwrap();
        assert!(loaded.parameters().get(NAME).unwrap().equal(scale));
        assert_eq!(
            (loaded.config(), loaded.weights_sha256()),
            (&config_without_training(), tokenizer.weights_sha256())
        );
        let latent = |tokenizer: &Tokenizer| tokenizer.encode(&video, EncodeOptions::default()).unwrap().latent;
        assert!(latent(&loaded).equal(&latent(&tokenizer)));

        let without = Tokenizer::open(&path, Device::Cpu, Kind::Float).unwrap_err().to_string();
        let expected = format!("{}: the quantizer \"scale\" is not built in; ", path.display());
        assert!(without.starts_with(&expected) && without.lines().count() == 1, "{without}");
    }

    fn config_without_training() -> Config {
        Config { train: None, ..config() }
    }

    #[test]
    fn an_error_of_a_custom_quantizer_names_it() {
        let mut config = config();
        let QuantizerConfig::Custom(custom) = &mut config.quantizer else { panic!("{config:?}") };
        custom.settings.remove("channels");
        let error = builder().init(config, 0).unwrap_err().to_string();
        let expected = "configuration: the quantizer \"scale\" cannot be made: expected an integer \"channels\"";
        assert_eq!(error, expected);
    }
}
