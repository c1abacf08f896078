//! The summary of a finished dataset, in `manifest.json`: its settings, shards, size and statistics.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vidtok::LatentStatistics;
use vidtok_core::{Quantizer, write_atomically};

use crate::dataset::folder::Folder;
use crate::dataset::settings::Dataset;
use crate::error::TokenizeError;
use crate::json;
use crate::storage::latent::Latent;
use crate::summary::statistics::{LatentSums, Statistics, Totals, write_histogram};

/// The summary of a finished dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The settings.
    pub dataset: Dataset,
    /// Counts and sums over all videos.
    pub totals: Totals,
    /// Latent positions per second of video.
    pub tokens_per_second: f64,
    /// Bits of the stored tensors per pixel of the tokenized frames.
    pub bits_per_pixel: f64,
    /// Bits of the video files, including sound, per pixel of their own frames.
    pub source_bits_per_pixel: f64,
    /// Bytes of the stored tensors per byte of the video files.
    pub bytes_per_source_byte: f64,
    /// The statistics of the decoder's input over all positions: of the stored means, or of the codes' latents.
    pub latent: LatentStatistics,
    /// The use of the codebook; `None` for moments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<CodesSummary>,
    /// All shards in order. A shard without a readable video has no file.
    pub shards: Vec<ShardSummary>,
}

/// The use of the codebook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodesSummary {
    /// The size of the codebook.
    pub size: i64,
    /// The number of distinct codes in the dataset.
    pub used: usize,
    /// The entropy of the codes in bits.
    pub entropy_bits: f64,
    /// 2 to the power of the entropy: the number of equally frequent codes with the same entropy.
    pub perplexity: f64,
    /// The file with the count of each code, relative to the folder: `codes` int32 `[n]` and `counts` int64 `[n]`.
    pub histogram: String,
}

/// The file and the size of a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardSummary {
    /// The file, relative to the folder; `None` if the shard has no videos.
    pub file: Option<String>,
    /// The number of videos.
    pub videos: u64,
    /// The size of the file in bytes.
    pub bytes: u64,
}

impl Manifest {
    /// Reads the manifest of the dataset in `folder`.
    ///
    /// # Errors
    /// If the folder has no manifest, as is the case until all shards are finished, or a damaged one.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, TokenizeError> {
        let path = Folder::at(folder.as_ref()).manifest();
        let text = fs::read(&path).map_err(TokenizeError::file(&path))?;
        serde_json::from_slice(&text).map_err(|error| TokenizeError::damaged(&path, error))
    }

    /// Adds up the statistics of all shards and writes the manifest.
    ///
    /// The shards must be finished, and the caller must hold the folder's lock.
    pub(crate) fn write(
        folder: &Folder,
        dataset: &Dataset,
        all_shards: &[usize],
        quantizer: &dyn Quantizer,
    ) -> Result<Self, TokenizeError> {
        if let Some(written) = Self::open(folder.root()).ok().filter(|known| known.shards.len() == all_shards.len()) {
            return Ok(written);
        }
        let mut all = Statistics::default();
        let mut shards = Vec::with_capacity(all_shards.len());
        for &shard in all_shards {
            let one = Statistics::read(&folder.statistics(shard))?;
            let Totals { videos, shard_bytes, .. } = one.totals;
            let file = (videos > 0).then(|| Folder::shard_name(shard, dataset.shards));
            shards.push(ShardSummary { file, videos, bytes: shard_bytes });
            all.merge(&one);
        }
        let Statistics { totals, latent, codes } = all;
        let (latent, codes) = match dataset.latent {
            Latent::Moments { .. } => (latent, None),
            Latent::Indices { codes: size, .. } => {
                write_histogram(&folder.codes(), &codes)?;
                let histogram = folder.codes().file_name().unwrap_or_default().to_string_lossy().into_owned();
                let entropy_bits = codes.entropy_bits().max(0.0);
                let used = codes.used();
                let summary = CodesSummary { size, used, entropy_bits, perplexity: entropy_bits.exp2(), histogram };
                (LatentSums::of_codes(&codes, quantizer), Some(summary))
            }
        };
        let (mean, std) = latent.mean_and_std();
        // In an empty dataset, all ratios are 0.
        let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let manifest = Self {
            dataset: dataset.clone(),
            tokens_per_second: ratio(totals.tokens as f64, totals.seconds),
            bits_per_pixel: ratio(8.0 * totals.token_bytes as f64, totals.pixels as f64),
            source_bits_per_pixel: ratio(8.0 * totals.source_bytes as f64, totals.source_pixels as f64),
            bytes_per_source_byte: ratio(totals.token_bytes as f64, totals.source_bytes as f64),
            latent: LatentStatistics { mean, std },
            codes,
            totals,
            shards,
        };
        let (path, text) = (folder.manifest(), json::pretty(&manifest)?);
        write_atomically(&path, |temporary| fs::write(temporary, &text)).map_err(TokenizeError::file(path))?;
        Ok(manifest)
    }
}
