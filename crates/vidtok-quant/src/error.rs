//! Errors of quantizers.

/// A quantizer's configuration is invalid, or the quantizer is not one of this crate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizerError {
    /// The number of latent channels is out of range.
    #[error("quantizer.z_channels: expected 1 to 65536, found {0}")]
    Channels(i64),
    /// FSQ's levels do not make a codebook whose indices fit 32 bits.
    #[error("quantizer.levels: expected one or more levels of at least 2 with a product below 2^31, found {0:?}")]
    Levels(Vec<i64>),
    /// A weight of FSQ's loss is negative or not finite.
    #[error("quantizer.{field}: expected a finite number of at least 0, found {value}")]
    Weight {
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// The quantizer is not one of this crate.
    #[error("quantizer {name:?} is not built in: supply it with Tokenizer::builder().quantizer(...)")]
    NotBuiltIn {
        /// Its name.
        name: String,
    },
    /// The settings of a custom quantizer do not fit it.
    #[error("quantizer {name:?}: {message}")]
    Settings {
        /// The quantizer's name.
        name: String,
        /// What is wrong.
        message: String,
    },
}
