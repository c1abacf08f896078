//! What a dataset of tokens is: the settings that determine its contents, in `dataset.json`.

pub(crate) mod entry;
pub(crate) mod folder;
pub(crate) mod manifest;
pub(crate) mod statistics;

use std::fs;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Kind;
use vidtok::{Config, Tokenizer, Window};
use vidtok_core::write_atomically;
use vidtok_data::{Ffmpeg, InputOptions, Preparation, Reading};

use crate::dataset::folder::Folder;
use crate::error::TokenizeError;
use crate::run::TokenizeOptions;
use crate::shard::packing::{bits_per_index, packed_bytes};

/// The version of the format that is written.
const FORMAT: u32 = 1;
/// How clips are filled up to the model's factors.
const PADDING: &str = "copies of the first frame in front, of the last row below, of the last column on the right";
/// The most codes and channels that a quantizer has.
const MOST_CODES: i64 = 1 << 31;
const MOST_CHANNELS: i64 = 1 << 16;
/// What may differ between those who work on one dataset.
const FREE: &str = "version";

/// The files that hold the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShardFormat {
    /// Safetensors, all videos of a shard in one file.
    Safetensors,
    /// Tar files with some files for each video, as WebDataset reads them.
    Webdataset,
}

impl ShardFormat {
    /// What the shards' names end in.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Webdataset => "tar",
        }
    }
}

/// A number type of stored tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberType {
    /// Bytes.
    U8,
    /// Half precision, IEEE 754.
    F16,
    /// The upper half of float32.
    Bf16,
}

impl NumberType {
    /// libtorch's name of it.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::U8 => Kind::Uint8,
            Self::F16 => Kind::Half,
            Self::Bf16 => Kind::BFloat16,
        }
    }

    /// Bytes of a number.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// What is stored of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Latent {
    /// Of a discrete model: codebook indices, packed.
    Indices {
        /// Number of codes.
        codes: i64,
        /// Bits of an index.
        bits: u32,
    },
    /// Of a continuous model: mean and log-variance.
    Moments {
        /// Channels of each.
        channels: i64,
        /// How they are stored.
        dtype: NumberType,
    },
}

/// A stored tensor of a video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorLayout {
    /// `indices`, `mean` or `logvar`.
    pub name: &'static str,
    /// Its number type.
    pub dtype: NumberType,
    /// Its shape.
    pub shape: Vec<u64>,
}

impl TensorLayout {
    /// Bytes of all its numbers; where these cannot be counted, more than any file has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shape.iter().fold(self.dtype.bytes(), |bytes, &extent| bytes.saturating_mul(extent))
    }
}

impl Latent {
    /// The tensors of a video of `[t, h, w]` tokens.
    #[must_use]
    pub fn layouts(self, tokens: [i64; 3]) -> Vec<TensorLayout> {
        let [t, h, w] = tokens.map(i64::unsigned_abs);
        match self {
            Self::Indices { bits, .. } => {
                let shape = vec![packed_bytes(t.saturating_mul(h).saturating_mul(w), bits)];
                vec![TensorLayout { name: "indices", dtype: NumberType::U8, shape }]
            }
            Self::Moments { channels, dtype } => {
                let shape = vec![channels.unsigned_abs(), t, h, w];
                ["mean", "logvar"].map(|name| TensorLayout { name, dtype, shape: shape.clone() }).into()
            }
        }
    }

    /// Whether a model may have such a latent. A damaged file may hold any numbers.
    fn is_possible(self) -> bool {
        match self {
            Self::Indices { codes, bits } => (1..=MOST_CODES).contains(&codes) && bits == bits_per_index(codes),
            Self::Moments { channels, .. } => (1..=MOST_CHANNELS).contains(&channels),
        }
    }

    /// Bits of an index; `None` for moments.
    #[must_use]
    pub fn bits(self) -> Option<u32> {
        match self {
            Self::Indices { bits, .. } => Some(bits),
            Self::Moments { .. } => None,
        }
    }
}

/// The settings of a dataset; two that are made with the same ones can be put together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// The version of the format.
    pub format: u32,
    /// The version of the program that began it.
    pub version: String,
    /// The model, without how it was trained.
    pub model: Config,
    /// The sha256 of the model's weights as float32.
    pub weights_sha256: String,
    /// The number type that the networks computed in.
    pub compute: String,
    /// Every n-th frame is taken, to come close to this rate; `None`: all.
    pub fps: Option<f64>,
    /// Images of a folder of frames that are shown in a second; `None`: 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_rate: Option<String>,
    /// The shorter side of the frames is resized to this; `None`: as it is.
    pub shorter_side: Option<i64>,
    /// `[height, width]` that are cut out of the middle; `None`: all of it.
    pub crop: Option<[i64; 2]>,
    /// How pixels were read; with empty texts in datasets of versions that did not say.
    #[serde(default)]
    pub reading: Reading,
    /// How clips are filled up to the model's factors; how much is said with each video.
    pub padding: String,
    /// What a model that is not causal takes at a time.
    pub window: Option<Window>,
    /// The files.
    pub shards: ShardFormat,
    /// What is stored of a video.
    pub latent: Latent,
    /// Frames, rows and columns that a token stands for.
    pub compression: [i64; 3],
}

impl Dataset {
    /// What `options` make with this model.
    pub(crate) fn new(
        tokenizer: &Tokenizer,
        options: &TokenizeOptions,
        ffmpeg: &Ffmpeg,
    ) -> Result<Self, TokenizeError> {
        let config = tokenizer.config();
        let quantizer = tokenizer.quantizer();
        let latent = match quantizer.codebook_size() {
            Some(codes) => Latent::Indices { codes, bits: bits_per_index(codes) },
            None => Latent::Moments { channels: quantizer.latent_channels(), dtype: options.latents },
        };
        match latent {
            Latent::Moments { dtype: NumberType::U8, .. } => {
                return Err(TokenizeError::setting("latents", "f16 or bf16", "u8"));
            }
            Latent::Moments { dtype: NumberType::Bf16, .. } if options.format == ShardFormat::Webdataset => {
                return Err(TokenizeError::setting("latents in webdataset shards", "f16 (numpy has no bf16)", "bf16"));
            }
            _ => {}
        }
        let Preparation { sample_fps, shorter_side, crop, .. } = options.preparation;
        let InputOptions { frame_rate, read, .. } = options.preparation.input;
        let (f_t, f_s) = (config.model.temporal_factor(), config.model.spatial_factor());
        Ok(Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            model: Config { train: None, ..config.clone() },
            weights_sha256: tokenizer.weights_sha256().to_owned(),
            compute: format!("{:?}", tokenizer.kind()).to_lowercase(),
            fps: sample_fps,
            frame_rate: (frame_rate != InputOptions::FRAME_RATE).then(|| frame_rate.to_string()),
            shorter_side,
            crop,
            reading: ffmpeg.reading(read),
            padding: PADDING.to_owned(),
            window: (!config.model.causality.is_causal()).then_some(Window::PUBLISHED),
            shards: options.format,
            latent,
            compression: [f_t, f_s, f_s],
        })
    }

    /// The dataset in a folder.
    ///
    /// # Errors
    /// If there is none, or one of a format that is not known.
    pub fn open(folder: &std::path::Path) -> Result<Self, TokenizeError> {
        Self::read(&Folder::at(folder))
    }

    pub(crate) fn read(folder: &Folder) -> Result<Self, TokenizeError> {
        let missing = |problem: String| TokenizeError::NoDataset { path: folder.root().to_owned(), problem };
        let text = fs::read_to_string(folder.dataset()).map_err(|error| missing(error.to_string()))?;
        let dataset: Self = serde_json::from_str(&text).map_err(|error| missing(error.to_string()))?;
        match dataset.format {
            FORMAT if dataset.latent.is_possible() => Ok(dataset),
            FORMAT => Err(missing(format!("no model has the latent {:?}", dataset.latent))),
            other => Err(missing(format!("format {other} is not known, only {FORMAT}"))),
        }
    }

    /// Makes the folder this dataset's, or checks that it is.
    pub(crate) fn claim(&self, folder: &Folder) -> Result<(), TokenizeError> {
        let path = folder.dataset();
        if !path.exists() {
            let text = to_json(self)?;
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

/// A value as indented JSON with an end of line.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String, TokenizeError> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| TokenizeError::setting("a value", "one that JSON can hold", error))?;
    Ok(text + "\n")
}

/// The first key, by its path, of which the values differ, and these.
fn difference(there: &Value, here: &Value) -> Option<(String, String, String)> {
    let (Value::Object(a), Value::Object(b)) = (there, here) else {
        return (there != here).then(|| (String::new(), there.to_string(), here.to_string()));
    };
    let mut keys = b.keys().chain(a.keys().filter(|key| !b.contains_key(*key))).filter(|key| *key != FREE);
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
    fn the_difference_of_two_datasets_is_named_and_versions_are_none() {
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

    #[test]
    fn latents_that_no_model_has_are_refused_and_their_sizes_do_not_overflow() {
        let (most, dtype) = (i64::MAX, NumberType::F16);
        for (latent, is_possible) in [
            (Latent::Indices { codes: 512, bits: 9 }, true),
            (Latent::Indices { codes: 512, bits: 10 }, false),
            (Latent::Indices { codes: 0, bits: 1 }, false),
            (Latent::Indices { codes: most, bits: u32::MAX }, false),
            (Latent::Moments { channels: 4, dtype }, true),
            (Latent::Moments { channels: -4, dtype }, false),
            (Latent::Moments { channels: most, dtype }, false),
        ] {
            assert_eq!(latent.is_possible(), is_possible, "{latent:?}");
            assert!(latent.layouts([most; 3]).iter().all(|layout| layout.bytes() > most.unsigned_abs() / 8));
        }
    }

    #[test]
    fn packed_indices_take_whole_bytes_and_moments_two_bytes_a_number() {
        let indices = Latent::Indices { codes: 262_144, bits: 18 }.layouts([3, 5, 7]);
        assert_eq!((indices[0].shape.as_slice(), indices[0].bytes()), (&[237][..], 237));
        let moments = Latent::Moments { channels: 4, dtype: NumberType::F16 }.layouts([3, 5, 7]);
        assert_eq!(moments.iter().map(|layout| layout.bytes()).collect::<Vec<_>>(), [840, 840]);
    }
}
