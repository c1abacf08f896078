//! The tokenizer: a model with its weights.

use std::path::Path;

use tch::{Device, Kind, Tensor};
use vidtok_core::Quantizer;
use vidtok_torch::{Parameters, uses_tf32, write_tensors};

use crate::config::Config;
use crate::error::Error;
use crate::files::model_file;
use crate::files::weights;
use crate::model::{Model, kind_name};

/// A video tokenizer: a model with its weights.
#[derive(Debug)]
pub struct Tokenizer {
    model: Model,
}

impl Tokenizer {
    pub(crate) fn from_model(model: Model) -> Self {
        Self { model }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// Writes a one-file model atomically; `origin` describes where the weights came from.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>, origin: &str) -> Result<(), Error> {
        write_tensors(path.as_ref(), self.parameters().iter(), self.metadata(origin)?)?;
        Ok(())
    }

    /// The metadata of a one-file model, as pairs of key and text. A tensor file with this metadata and the model's
    /// parameters is a one-file model, even if it also contains tensors of training.
    ///
    /// # Errors
    /// If a number of the configuration is too large for TOML.
    pub fn metadata(&self, origin: &str) -> Result<Vec<(&'static str, String)>, Error> {
        model_file::metadata(self.config(), origin, weights::sha256(self.parameters().iter()))
    }

    /// Checks that all weights are finite.
    ///
    /// # Errors
    /// [`Error::ParametersNotFinite`] with the names of parameters that contain NaN or infinity.
    pub fn check_finite(&self) -> Result<(), Error> {
        const LISTED: usize = 5;
        let is_finite = |tensor: &Tensor| tensor.isfinite().all().int64_value(&[]) != 0;
        let faulty: Vec<&str> =
            self.parameters().iter().filter(|(_, tensor)| !is_finite(tensor)).map(|(name, _)| name).collect();
        if faulty.is_empty() {
            return Ok(());
        }
        let mut names = faulty[..faulty.len().min(LISTED)].join(", ");
        if faulty.len() > LISTED {
            names.push_str(", ...");
        }
        Err(Error::ParametersNotFinite { count: faulty.len(), kind: kind_name(self.kind()), names })
    }

    /// The model's configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.model.config
    }

    /// The parameters; they share memory with the networks.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.model.parameters
    }

    /// The quantizer.
    #[must_use]
    pub fn quantizer(&self) -> &dyn Quantizer {
        self.model.quantizer.as_ref()
    }

    /// The weight of the decoder's last convolution, `[3, ch, 3, 3, 3]`. Training compares the gradients of its losses
    /// there (the adaptive weight of arXiv 2012.09841).
    pub fn decoder_output_weight(&self) -> &Tensor {
        self.model.decoder.output_weight()
    }

    /// The device that the model computes on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.model.device
    }

    /// The precision of the networks as arguments and stamps call it: "f32", "tf32" (float32 on a GPU while
    /// [`vidtok_torch::use_tf32`] is set), "bf16" or "f16".
    #[must_use]
    pub fn precision(&self) -> &'static str {
        match (self.device(), self.kind()) {
            (Device::Cuda(_), Kind::Float) if uses_tf32() => "tf32",
            (_, kind) => kind_name(kind),
        }
    }

    /// The number type that the networks compute in.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.model.kind
    }

    /// The SHA-256 of the current weights as float32, in hexadecimal; of a model that was loaded in half precision, that
    /// of the weights in the file. It is computed once, and again after the weights have changed.
    #[must_use]
    pub fn weights_sha256(&self) -> String {
        self.model.weights_sha256()
    }
}
