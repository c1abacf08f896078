//! The configuration of a model's quantizer.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vidtok_core::{Quantizer, one_line};

use crate::error::QuantizerError;
use crate::fsq::{Fsq, FsqConfig};
use crate::kl::{Kl, KlConfig};

/// The `[quantizer]` table of a model's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum QuantizerConfig {
    /// A continuous latent: [`Kl`].
    Kl(KlConfig),
    /// A discrete latent: [`Fsq`].
    Fsq(FsqConfig),
    /// A quantizer from outside this crate.
    Custom(CustomConfig),
}

/// A quantizer from outside this crate, which the program that opens the model has to supply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustomConfig {
    /// The quantizer's name, for messages.
    pub name: String,
    /// All other keys of the table. They are saved with the model, and their meaning is up to the quantizer.
    #[serde(flatten)]
    pub settings: toml::Table,
}

impl CustomConfig {
    /// The settings as a type of the quantizer's own.
    ///
    /// # Errors
    /// [`QuantizerError::Settings`] if they do not fit the type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, QuantizerError> {
        self.settings.clone().try_into().map_err(|error: toml::de::Error| QuantizerError::Settings {
            name: self.name.clone(),
            message: one_line(&error.to_string()),
        })
    }
}

impl QuantizerConfig {
    /// Whether both configurations produce the same latents from the same weights. They may differ in how the quantizer
    /// is trained.
    #[must_use]
    pub fn same_latents(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Kl(a), Self::Kl(b)) => a.z_channels == b.z_channels,
            (Self::Fsq(a), Self::Fsq(b)) => a.levels == b.levels,
            (Self::Custom(a), Self::Custom(b)) => a == b,
            _ => false,
        }
    }

    /// Checks the configuration of a built-in quantizer. A custom one is checked when it is built.
    ///
    /// # Errors
    /// If the configuration is invalid.
    pub fn validate(&self) -> Result<(), QuantizerError> {
        match self {
            Self::Custom(_) => Ok(()),
            _ => self.build().map(drop),
        }
    }

    /// Builds a built-in quantizer.
    ///
    /// # Errors
    /// If the configuration is invalid, or names a custom quantizer ([`QuantizerError::NotBuiltIn`]).
    pub fn build(&self) -> Result<Box<dyn Quantizer>, QuantizerError> {
        Ok(match self {
            Self::Kl(config) => Box::new(Kl::new(config)?),
            Self::Fsq(config) => Box::new(Fsq::new(config)?),
            Self::Custom(config) => return Err(QuantizerError::NotBuiltIn { name: config.name.clone() }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_table_keeps_all_its_keys() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Settings {
            codes: i64,
            betas: Vec<f64>,
        }
        let text = "kind = \"custom\"\nname = \"vq\"\nbetas = [0.25, 1.0]\ncodes = 64\n";
        let config: QuantizerConfig = toml::from_str(text).unwrap();
        assert_eq!(toml::to_string(&config).unwrap(), text);
        let QuantizerConfig::Custom(custom) = &config else { panic!("{config:?}") };
        assert_eq!(custom.parse::<Settings>(), Ok(Settings { codes: 64, betas: vec![0.25, 1.0] }));
        let error = custom.parse::<KlConfig>().unwrap_err().to_string();
        assert!(error.starts_with("quantizer \"vq\": ") && error.lines().count() == 1, "{error}");
        assert!(config.validate().is_ok() && config.build().unwrap_err().to_string().contains("\"vq\""));
    }

    #[test]
    fn a_misspelt_key_of_a_built_in_quantizer_is_an_error() {
        assert!(toml::from_str::<QuantizerConfig>("kind = \"kl\"\nz_channel = 4\n").is_err());
    }
}
