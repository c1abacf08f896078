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
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizerError {
    /// The latent has no channel, or too many.
    #[error("quantizer.z_channels is {0}; it must be from 1 to 65536")]
    Channels(i64),
    /// FSQ's levels give no codebook whose indices fit 32 bits.
    #[error("quantizer.levels is {0:?}; needed are one or more levels of at least 2, with a product below 2^31")]
    Levels(Vec<i64>),
    /// A weight of FSQ's loss is negative or no number.
    #[error("quantizer.{field} is {value}; it must be 0 or more")]
    Weight {
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
    },
}

impl QuantizerConfig {
    /// Whether both give the same latents for the same networks; how they are trained may differ.
    #[must_use]
    pub fn same_latents(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Kl(a), Self::Kl(b)) => a.z_channels == b.z_channels,
            (Self::Fsq(a), Self::Fsq(b)) => a.levels == b.levels,
            _ => false,
        }
    }

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
