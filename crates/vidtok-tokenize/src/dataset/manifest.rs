//! What a finished dataset holds, in `manifest.json`: where it comes from, its shards, its size and its statistics.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vidtok_core::{Quantizer, write_atomically};

use crate::dataset::folder::Folder;
use crate::dataset::statistics::{LatentSums, Statistics, Totals, write_histogram};
use crate::dataset::{Dataset, Latent, to_json};
use crate::error::TokenizeError;
use crate::run::work_list::WorkList;

/// A finished dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The settings.
    pub dataset: Dataset,
    /// What is counted of all videos.
    pub totals: Totals,
    /// Latent positions for each second of video.
    pub tokens_per_second: f64,
    /// Bits of the tokens' tensors for each pixel of the frames that were tokenized.
    pub bits_per_pixel: f64,
    /// Bits of the videos' files, with their sound, for each pixel of their own frames: what their codecs need.
    pub source_bits_per_pixel: f64,
    /// Bytes of the tokens' tensors for each byte of the videos' files.
    pub bytes_per_source_byte: f64,
    /// The latent that the decoder reads, channel by channel.
    pub latent: LatentSummary,
    /// Only for indices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<CodesSummary>,
    /// All shards in order; those without a readable video have no file.
    pub shards: Vec<ShardSummary>,
}

/// Mean and standard deviation of each channel over all positions: of the stored means, or of the codes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatentSummary {
    /// The means.
    pub mean: Vec<f64>,
    /// The standard deviations.
    pub std: Vec<f64>,
}

/// How the codebook is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodesSummary {
    /// Number of codes.
    pub size: i64,
    /// Different codes that came.
    pub used: usize,
    /// The entropy of the codes in bits.
    pub entropy_bits: f64,
    /// 2 to the power of that: so many codes that come equally often would have this entropy.
    pub perplexity: f64,
    /// How often each came, in the folder: `codes` int32 `[n]` and `counts` int64 `[n]`.
    pub histogram: String,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardSummary {
    /// Its file in the folder; `None` if it has no videos.
    pub file: Option<String>,
    /// Videos in it.
    pub videos: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Manifest {
    /// The manifest in a folder.
    ///
    /// # Errors
    /// If there is none, as before all shards are finished.
    pub fn open(folder: &Path) -> Result<Self, TokenizeError> {
        let path = Folder::at(folder).manifest();
        let text = fs::read(&path).map_err(TokenizeError::file(&path))?;
        serde_json::from_slice(&text).map_err(|error| TokenizeError::damaged(&path, error))
    }

    /// Adds up the statistics of all shards, which must be finished, and writes the result. The folder's lock must be
    /// held.
    pub(crate) fn write(
        folder: &Folder,
        dataset: &Dataset,
        list: &WorkList,
        quantizer: &dyn Quantizer,
    ) -> Result<Self, TokenizeError> {
        if let Some(written) = Self::open(folder.root()).ok().filter(|known| known.shards.len() == list.shards.len()) {
            return Ok(written);
        }
        let mut all = Statistics::default();
        let mut shards = Vec::with_capacity(list.shards.len());
        for listed in &list.shards {
            let one = Statistics::read(&folder.statistics(listed.shard))?;
            let Totals { videos, shard_bytes, .. } = one.totals;
            let file = (videos > 0).then(|| Folder::shard_name(listed.shard, dataset.shards));
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
        // Of nothing all is 0.
        let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let manifest = Self {
            dataset: dataset.clone(),
            tokens_per_second: ratio(totals.tokens as f64, totals.seconds),
            bits_per_pixel: ratio(8.0 * totals.token_bytes as f64, totals.pixels as f64),
            source_bits_per_pixel: ratio(8.0 * totals.source_bytes as f64, totals.source_pixels as f64),
            bytes_per_source_byte: ratio(totals.token_bytes as f64, totals.source_bytes as f64),
            latent: LatentSummary { mean, std },
            codes,
            totals,
            shards,
        };
        let (path, text) = (folder.manifest(), to_json(&manifest)?);
        write_atomically(&path, |temporary| fs::write(temporary, &text)).map_err(TokenizeError::file(path))?;
        Ok(manifest)
    }
}
