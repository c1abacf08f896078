//! A model's configuration: the TOML files of `configs/`.

pub(crate) mod overrides;

use std::path::Path;

use serde::{Deserialize, Serialize};
use vidtok_arch::ArchConfig;
use vidtok_quant::QuantizerConfig;

use crate::error::Error;
use crate::latent_statistics::LatentStatistics;

/// A model without its weights: networks, quantizer, and how it is trained. Unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model's name.
    pub name: String,
    /// The encoder and the decoder.
    pub model: ArchConfig,
    /// The quantizer.
    pub quantizer: QuantizerConfig,
    /// The mean and standard deviation of the latent, once they have been measured (`vidtok stats`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent_statistics: Option<LatentStatistics>,
    /// How the model is trained, for `vidtok-train`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<toml::Table>,
}

impl Config {
    /// Parses and checks a TOML text.
    ///
    /// # Errors
    /// If the text is not TOML, or has unknown, missing or invalid values.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::from_text(text, &[], None)
    }

    /// Reads and checks a file, after setting `overrides` of the form `model.ch=32`.
    ///
    /// # Errors
    /// If the file cannot be read, an override does not fit, or as for [`parse`](Self::parse).
    pub fn load(path: impl AsRef<Path>, overrides: &[String]) -> Result<Self, Error> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::ConfigFile { path: path.to_owned(), source })?;
        Self::from_text(&text, overrides, Some(path))
    }

    /// This configuration with `overrides` of the form `model.ch=32`.
    ///
    /// # Errors
    /// If an override does not fit, or its value is invalid.
    pub fn with_overrides(&self, overrides: &[String]) -> Result<Self, Error> {
        match overrides {
            [] => Ok(self.clone()),
            _ => Self::from_text(&self.to_toml()?, overrides, None),
        }
    }

    pub(crate) fn from_text(text: &str, overrides: &[String], path: Option<&Path>) -> Result<Self, Error> {
        let wrong = |message: String| Error::Config { path: path.map(Path::to_owned), message };
        let config: Self = if overrides.is_empty() {
            // Parsed from the text, so that errors name the line.
            toml::from_str(text).map_err(|error| wrong(error.to_string()))?
        } else {
            let mut table: toml::Table = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
            overrides::apply(&mut table, overrides)?;
            table.try_into().map_err(|error: toml::de::Error| wrong(error.to_string()))?
        };
        config.model.validate().map_err(|error| wrong(error.to_string()))?;
        config.quantizer.validate().map_err(|error| wrong(error.to_string()))?;
        Ok(config)
    }

    /// The configuration as TOML.
    ///
    /// # Errors
    /// If a number is too large for TOML.
    pub fn to_toml(&self) -> Result<String, Error> {
        Ok(toml::to_string(self)?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const TINY: &str = include_str!("../../../../configs/tiny_kl.toml");
    const TINY_FSQ: &str = include_str!("../../../../configs/tiny_fsq.toml");
    const LITE: &str = include_str!("../../../../configs/vidtok_lite_kl_causal_488_16chn.toml");

    #[test]
    fn a_configuration_is_unchanged_by_writing_and_reading_it() {
        for text in [TINY, TINY_FSQ, LITE] {
            let config = Config::parse(text).unwrap();
            assert_eq!(Config::parse(&config.to_toml().unwrap()).unwrap(), config);
        }
    }

    #[test]
    fn unknown_keys_are_refused_by_name_in_every_table() {
        for (line, key) in [("name = \"tiny_kl\"", "nme = 1"), ("ch = 8", "chh = 8"), ("z_channels = 4", "zz = 1")] {
            let text = TINY.replace(line, &format!("{line}\n{key}"));
            let error = Config::parse(&text).unwrap_err().to_string();
            let name = key.split(' ').next().unwrap();
            assert!(error.contains(name) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn overrides_change_values_and_add_no_keys() {
        let config = Config::parse(TINY).unwrap();
        let set = |text: &str| config.with_overrides(&[text.to_owned()]);
        assert_eq!(set("model.ch=32").unwrap().model.ch, 32);
        assert_eq!(set("model.ch_mult=[1, 3]").unwrap().model.ch_mult, [1, 3]);
        assert_eq!(set("name=other").unwrap().name, "other");
        let staged = format!("{TINY}\n[[train.stages]]\nname = \"a\"\n[[train.stages]]\nname = \"b\"\n");
        let set = Config::parse(&staged).unwrap().with_overrides(&["train.stages.b.steps=7".to_owned()]).unwrap();
        let stages = set.train.as_ref().unwrap()["stages"].as_array().unwrap();
        assert_eq!((stages[0].get("steps"), stages[1]["steps"].as_integer()), (None, Some(7)));
        assert!(set.with_overrides(&["train.stages.c.steps=7".to_owned()]).is_err());
        let set = |text: &str| config.with_overrides(&[text.to_owned()]);
        for wrong in ["model.cch=32", "model.ch=many", "model", "model.ch.deep=1", "=1", "model.ch=0"] {
            assert!(set(wrong).is_err(), "{wrong}");
        }
    }
}
