//! How the tokens of a video are stored: number types, tensors, and the file formats of shards.

use serde::{Deserialize, Serialize};
use tch::Kind;

use crate::storage::packing::{bits_per_index, packed_bytes};

/// The largest codebook and the most channels that a quantizer may have.
const MAX_CODES: i64 = 1 << 31;
const MAX_CHANNELS: i64 = 1 << 16;

/// The file format of a dataset's shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShardFormat {
    /// A safetensors file with all videos of a shard.
    Safetensors,
    /// A tar file with several members for each video, as WebDataset reads it.
    Webdataset,
}

impl ShardFormat {
    /// The extension of the shards' file names.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Webdataset => "tar",
        }
    }
}

/// The number type of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberType {
    /// Unsigned bytes.
    U8,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of float32.
    Bf16,
}

impl NumberType {
    /// libtorch's equivalent.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::U8 => Kind::Uint8,
            Self::F16 => Kind::Half,
            Self::Bf16 => Kind::BFloat16,
        }
    }

    /// The size of a number in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// What a dataset stores of each video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Latent {
    /// Packed codebook indices, for discrete models.
    Indices {
        /// The size of the codebook.
        codes: i64,
        /// Bits per index.
        bits: u32,
    },
    /// Mean and log-variance of the posterior, for continuous models.
    Moments {
        /// The channels of either tensor.
        channels: i64,
        /// Their number type.
        dtype: NumberType,
    },
}

/// The name, type and shape of a stored tensor.
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
    /// The size of the tensor in bytes; on overflow, a number that is larger than any file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shape.iter().fold(self.dtype.bytes(), |bytes, &extent| bytes.saturating_mul(extent))
    }
}

impl Latent {
    /// The tensors that are stored of a video with `[t, h, w]` tokens.
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

    /// Whether a model can have this latent. A damaged file may hold any numbers.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::Indices { codes, bits } => (1..=MAX_CODES).contains(&codes) && bits == bits_per_index(codes),
            Self::Moments { channels, .. } => (1..=MAX_CHANNELS).contains(&channels),
        }
    }

    /// Bits per index; `None` for moments.
    #[must_use]
    pub fn bits(self) -> Option<u32> {
        match self {
            Self::Indices { bits, .. } => Some(bits),
            Self::Moments { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_latents_are_invalid_and_their_sizes_do_not_overflow() {
        let (max, dtype) = (i64::MAX, NumberType::F16);
        for (latent, is_valid) in [
            (Latent::Indices { codes: 512, bits: 9 }, true),
            (Latent::Indices { codes: 512, bits: 10 }, false),
            (Latent::Indices { codes: 0, bits: 1 }, false),
            (Latent::Indices { codes: max, bits: u32::MAX }, false),
            (Latent::Moments { channels: 4, dtype }, true),
            (Latent::Moments { channels: -4, dtype }, false),
            (Latent::Moments { channels: max, dtype }, false),
        ] {
            assert_eq!(latent.is_valid(), is_valid, "{latent:?}");
            assert!(latent.layouts([max; 3]).iter().all(|layout| layout.bytes() > max.unsigned_abs() / 8));
        }
    }

    #[test]
    fn packed_indices_are_padded_to_bytes_and_moments_take_two_bytes_each() {
        let indices = Latent::Indices { codes: 262_144, bits: 18 }.layouts([3, 5, 7]);
        assert_eq!((indices[0].shape.as_slice(), indices[0].bytes()), (&[237][..], 237));
        let moments = Latent::Moments { channels: 4, dtype: NumberType::F16 }.layouts([3, 5, 7]);
        assert_eq!(moments.iter().map(|layout| layout.bytes()).collect::<Vec<_>>(), [840, 840]);
    }
}
