//! A dataset's settings, in `dataset.json`: everything that determines its contents.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Device;
use vidtok::{Config, Tokenizer, Window};
use vidtok_core::write_atomically;
use vidtok_data::{Ffmpeg, InputOptions, Preparation, Reading};

use crate::dataset::folder::Folder;
use crate::error::TokenizeError;
use crate::json;
use crate::storage::latent::{Latent, NumberType, ShardFormat};
use crate::storage::packing::bits_per_index;

/// The version of the format that is written.
const FORMAT: u32 = 1;
/// The rule by which clips are padded, in words. It is part of the files, so its text must not change.
const PADDING: &str = "copies of the first frame in front, of the last row below, of the last column on the right";
/// The setting that may differ between the workers on a dataset.
const VERSION: &str = "version";

/// The settings of a dataset. Datasets with equal settings can be merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// The version of the format.
    pub format: u32,
    /// The version of the program that created the dataset.
    pub version: String,
    /// The model's configuration, without its training.
    pub model: Config,
    /// The SHA-256 of the model's weights as float32, in hexadecimal.
    pub weights_sha256: String,
    /// The number type in which the networks computed.
    pub compute: String,
    /// Frames per second that sampling every n-th frame approximates; `None` keeps all frames.
    pub fps: Option<f64>,
    /// Frames per second of folders of frames; `None` is 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_rate: Option<String>,
    /// The size in pixels to which the shorter side is resized; `None` keeps the size.
    pub shorter_side: Option<i64>,
    /// `[height, width]` of the centre crop; `None` keeps the whole frame.
    pub crop: Option<[i64; 2]>,
    /// How pixels were read. The texts are empty in datasets of versions that did not record it.
    #[serde(default)]
    pub reading: Reading,
    /// How clips are padded to multiples of the model's factors; the amounts are in the videos' entries.
    pub padding: String,
    /// The window in which a non-causal model encodes.
    pub window: Option<Window>,
    /// The file format of the shards.
    pub shards: ShardFormat,
    /// What is stored of each video.
    pub latent: Latent,
    /// The frames, rows and columns that a token represents.
    pub compression: [i64; 3],
}

impl Dataset {
    /// The settings of a dataset of this model, with moments stored as `latents`.
    pub(crate) fn new(
        tokenizer: &Tokenizer,
        preparation: &Preparation,
        shards: ShardFormat,
        latents: NumberType,
        ffmpeg: &Ffmpeg,
    ) -> Result<Self, TokenizeError> {
        let config = tokenizer.config();
        let quantizer = tokenizer.quantizer();
        let latent = match quantizer.codebook_size() {
            Some(codes) => Latent::Indices { codes, bits: bits_per_index(codes) },
            None => Latent::Moments { channels: quantizer.latent_channels(), dtype: latents },
        };
        match latent {
            Latent::Moments { dtype: NumberType::U8, .. } => {
                return Err(TokenizeError::setting("latents", "f16 or bf16", "u8"));
            }
            Latent::Moments { dtype: NumberType::Bf16, .. } if shards == ShardFormat::Webdataset => {
                return Err(TokenizeError::setting("latents in webdataset shards", "f16 (numpy has no bf16)", "bf16"));
            }
            _ => {}
        }
        let Preparation { sample_fps, shorter_side, crop, .. } = *preparation;
        let InputOptions { frame_rate, read, .. } = preparation.input;
        let (f_t, f_s) = (config.model.temporal_factor(), config.model.spatial_factor());
        Ok(Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            model: Config { train: None, latent_statistics: None, ..config.clone() },
            weights_sha256: tokenizer.weights_sha256().to_owned(),
            compute: match tokenizer.device() {
                Device::Cuda(_) => format!("{} on cuda", tokenizer.precision()),
                _ => format!("{:?}", tokenizer.kind()).to_lowercase(),
            },
            fps: sample_fps,
            frame_rate: (frame_rate != InputOptions::FRAME_RATE).then(|| frame_rate.to_string()),
            shorter_side,
            crop,
            reading: ffmpeg.reading(read),
            padding: PADDING.to_owned(),
            window: (!config.model.causality.is_causal()).then_some(Window::PUBLISHED),
            shards,
            latent,
            compression: [f_t, f_s, f_s],
        })
    }

    /// Reads the settings of the dataset in `folder`.
    ///
    /// # Errors
    /// If the folder holds no dataset, or one of an unknown format.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, TokenizeError> {
        Self::read(&Folder::at(folder.as_ref()))
    }

    pub(crate) fn read(folder: &Folder) -> Result<Self, TokenizeError> {
        let missing = |problem: String| TokenizeError::NoDataset { path: folder.root().to_owned(), problem };
        let text = fs::read_to_string(folder.dataset()).map_err(|error| missing(error.to_string()))?;
        let dataset: Self = serde_json::from_str(&text).map_err(|error| missing(error.to_string()))?;
        match dataset.format {
            FORMAT if dataset.latent.is_valid() => Ok(dataset),
            FORMAT => Err(missing(format!("invalid latent {:?}", dataset.latent))),
            other => Err(missing(format!("expected format {FORMAT}, found {other}"))),
        }
    }

    /// Writes these settings to a new folder, or checks that the folder has the same settings.
    pub(crate) fn write_or_check(&self, folder: &Folder) -> Result<(), TokenizeError> {
        let path = folder.dataset();
        if !path.exists() {
            let text = json::pretty(self)?;
            return write_atomically(&path, |temporary| fs::write(temporary, &text)).map_err(TokenizeError::file(path));
        }
        let [there, here] =
            [&Self::read(folder)?, self].map(|dataset| serde_json::to_value(dataset).unwrap_or_default());
        match difference(&there, &here) {
            Some((what, there, here)) => {
                Err(TokenizeError::OtherDataset { path: folder.root().to_owned(), what, there, here })
            }
            None => Ok(()),
        }
    }
}

/// The path of the first key whose values differ, and both values.
fn difference(there: &Value, here: &Value) -> Option<(String, String, String)> {
    let (Value::Object(a), Value::Object(b)) = (there, here) else {
        return (there != here).then(|| (String::new(), there.to_string(), here.to_string()));
    };
    let mut keys = b.keys().chain(a.keys().filter(|key| !b.contains_key(*key))).filter(|key| *key != VERSION);
    keys.find_map(|key| {
        let value = |of: &serde_json::Map<String, Value>| of.get(key).cloned().unwrap_or_default();
        let (rest, there, here) = difference(&value(a), &value(b))?;
        Some((if rest.is_empty() { key.clone() } else { format!("{key}.{rest}") }, there, here))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_different_setting_is_named_and_versions_may_differ() {
        let a = json!({"version": "1", "fps": null, "latent": {"kind": "indices", "bits": 12}});
        let changed = |key: &str, value: Value| {
            let mut b = a.clone();
            b[key] = value;
            difference(&a, &b)
        };
        assert_eq!(changed("version", json!("2")), None);
        let found = changed("fps", json!(12.5)).unwrap();
        assert_eq!((found.0.as_str(), found.1.as_str(), found.2.as_str()), ("fps", "null", "12.5"));
        let found = changed("latent", json!({"kind": "indices", "bits": 15})).unwrap();
        assert_eq!((found.0.as_str(), found.1.as_str(), found.2.as_str()), ("latent.bits", "12", "15"));
    }
}
