//! Which quantizer a model has.

use serde::{Deserialize, Serialize};
use vidtok_core::Quantizer;

use crate::{Fsq, FsqConfig, Kl, KlConfig};

/// The `[quantizer]` table of a model's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum QuantizerConfig {
    /// A continuous latent.
    Kl(KlConfig),
    /// A discrete latent.
    Fsq(FsqConfig),
}

/// A quantizer's configuration makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizerError {
    /// The latent has no channel.
    #[error("quantizer.z_channels is {0}; at least 1 is needed")]
    Channels(i64),
    /// FSQ's levels give no codebook whose indices fit 32 bits.
    #[error("quantizer.levels is {0:?}; needed are one or more levels of at least 2, with a product below 2^31")]
    Levels(Vec<i64>),
}

impl QuantizerConfig {
    /// Makes the quantizer.
    ///
    /// # Errors
    /// If the configuration makes no sense.
    pub fn build(&self) -> Result<Box<dyn Quantizer>, QuantizerError> {
        Ok(match self {
            Self::Kl(config) => Box::new(Kl::new(config)?),
            Self::Fsq(config) => Box::new(Fsq::new(config)?),
        })
    }
}
