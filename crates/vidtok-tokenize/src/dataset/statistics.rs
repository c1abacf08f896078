//! Sums over the videos of a shard, in a small file beside it; the manifest adds them up.
//!
//! They are taken of what is stored, in the order of the videos, so they depend on nothing else.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vidtok_core::{Quantizer, tensor_from_bytes};
use vidtok_metrics::CodebookUse;
use vidtok_torch::{TensorFile, write_tensors};

use crate::dataset::{Latent, TensorLayout};
use crate::error::TokenizeError;
use crate::shard::Shard;
use crate::shard::packing::unpack;

const STATISTICS: &str = "vidtok.statistics";
const CODES: &str = "codes";
const COUNTS: &str = "counts";
/// Numbers that are read at a time; a multiple of 8, so that indices of any width end with a byte.
const BLOCK: u64 = 1 << 17;

/// What is counted of videos.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Videos that were tokenized.
    pub videos: u64,
    /// Videos that could not be used.
    pub skipped: u64,
    /// Frames that were tokenized.
    pub frames: u64,
    /// Their pixels.
    pub pixels: u64,
    /// How long they are shown, in seconds.
    pub seconds: f64,
    /// Latent positions.
    pub tokens: u64,
    /// Bytes of the tokens' tensors.
    pub token_bytes: u64,
    /// Bytes of the shards' files.
    pub shard_bytes: u64,
    /// Bytes of the videos' files.
    pub source_bytes: u64,
    /// Pixels of all their frames, at their own size and rate.
    pub source_pixels: u64,
}

/// Sums of a latent's channels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatentSums {
    /// Positions.
    pub count: u64,
    /// The sum of each channel.
    pub sum: Vec<f64>,
    /// The sum of each channel's squares.
    pub squares: Vec<f64>,
}

/// Statistics of one shard or of several.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) totals: Totals,
    /// Of the means; only for moments.
    pub(crate) latent: LatentSums,
    /// Only for indices.
    pub(crate) codes: CodebookUse,
}

/// Of a shard's statistics all but the codes.
#[derive(Serialize, Deserialize)]
struct Sums {
    totals: Totals,
    latent: LatentSums,
}

impl LatentSums {
    fn resize(&mut self, channels: usize) {
        self.sum.resize(channels.max(self.sum.len()), 0.0);
        self.squares.resize(channels.max(self.squares.len()), 0.0);
    }

    fn add(&mut self, channel: usize, values: &[f64], weight: impl Fn(usize) -> f64) {
        for (place, value) in values.iter().enumerate() {
            self.sum[channel] += weight(place) * value;
            self.squares[channel] += weight(place) * value * value;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.resize(other.sum.len());
        self.count += other.count;
        self.sum.iter_mut().zip(&other.sum).for_each(|(all, sum)| *all += sum);
        self.squares.iter_mut().zip(&other.squares).for_each(|(all, sum)| *all += sum);
    }

    /// Mean and standard deviation of each channel; of nothing there are none.
    #[must_use]
    pub fn mean_and_std(&self) -> (Vec<f64>, Vec<f64>) {
        let count = self.count as f64;
        let channels = self.sum.iter().zip(&self.squares).filter(|_| self.count > 0);
        let moments = channels.map(|(sum, squares)| {
            let mean = sum / count;
            (mean, (squares / count - mean * mean).max(0.0).sqrt())
        });
        moments.unzip()
    }

    /// The sums over the codes' latents, each as often as it came.
    pub(crate) fn of_codes(codes: &CodebookUse, quantizer: &dyn Quantizer) -> Self {
        let mut sums = Self { count: codes.total(), ..Self::default() };
        let counts: Vec<(i64, u64)> = codes.counts().collect();
        for block in counts.chunks(BLOCK as usize) {
            let indices: Vec<i32> = block.iter().map(|(code, _)| *code as i32).collect();
            let Some(latents) = quantizer.indices_to_codes(&Tensor::from_slice(&indices).view([1, -1, 1, 1])) else {
                break;
            };
            let channels = latents.size()[1];
            sums.resize(channels as usize);
            for channel in 0..channels {
                let values = doubles(&latents.select(1, channel).flatten(0, -1));
                sums.add(channel as usize, &values, |place| block[place].1 as f64);
            }
        }
        sums
    }
}

impl Statistics {
    /// Adds the videos of a part, of which `latent` is stored.
    pub(crate) fn add(&mut self, part: &Shard, latent: Latent) -> Result<(), TokenizeError> {
        for video in part.stored() {
            let entry = &video.entry;
            let totals = &mut self.totals;
            totals.videos += 1;
            totals.frames += entry.frames.unsigned_abs();
            totals.pixels += entry.pixels();
            totals.seconds += entry.seconds();
            totals.tokens += entry.positions();
            totals.token_bytes += video.tensors.iter().map(|(layout, _)| layout.bytes()).sum::<u64>();
            totals.source_bytes += entry.source.bytes;
            totals.source_pixels += entry.source.pixels();
            let Some((layout, start)) = video.tensors.first() else { continue };
            match latent {
                Latent::Indices { bits, .. } => self.count(part, *start, entry.positions(), bits)?,
                Latent::Moments { channels, .. } => {
                    self.latent.resize(channels as usize);
                    self.latent.count += entry.positions();
                    self.sum(part, layout, *start, entry.positions())?;
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, part: &Shard, start: u64, positions: u64, bits: u32) -> Result<(), TokenizeError> {
        for first in (0..positions).step_by(BLOCK as usize) {
            let count = BLOCK.min(positions - first);
            let width = u64::from(bits);
            let bytes = part.bytes(start + first * width / 8, (count * width).div_ceil(8))?;
            let mut indices = unpack(&bytes, bits, 0, count as usize);
            indices.sort_unstable();
            let runs = indices.chunk_by(|a, b| a == b).map(|run| (i64::from(run[0]), run.len() as u64));
            self.codes.merge(&CodebookUse::from_counts(runs));
        }
        Ok(())
    }

    fn sum(&mut self, part: &Shard, layout: &TensorLayout, start: u64, positions: u64) -> Result<(), TokenizeError> {
        let bytes = layout.dtype.bytes();
        for channel in 0..self.latent.sum.len() {
            for first in (0..positions).step_by(BLOCK as usize) {
                let count = BLOCK.min(positions - first);
                let place = channel as u64 * positions + first;
                let block = part.bytes(start + place * bytes, count * bytes)?;
                let values = tensor_from_bytes(&block, &[count as i64], layout.dtype.kind());
                let values = values.map_err(|error| TokenizeError::damaged(&part.path, error))?;
                self.latent.add(channel, &doubles(&values), |_| 1.0);
            }
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        let (all, one) = (&mut self.totals, &other.totals);
        all.videos += one.videos;
        all.skipped += one.skipped;
        all.frames += one.frames;
        all.pixels += one.pixels;
        all.seconds += one.seconds;
        all.tokens += one.tokens;
        all.token_bytes += one.token_bytes;
        all.shard_bytes += one.shard_bytes;
        all.source_bytes += one.source_bytes;
        all.source_pixels += one.source_pixels;
        self.latent.merge(&other.latent);
        self.codes.merge(&other.codes);
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), TokenizeError> {
        let sums = Sums { totals: self.totals.clone(), latent: self.latent.clone() };
        let sums = serde_json::to_string(&sums);
        let sums = sums.map_err(|error| TokenizeError::setting("statistics", "finite numbers", error))?;
        let [codes, counts] = histogram(&self.codes);
        write_tensors(path, [(CODES, &codes), (COUNTS, &counts)], [(STATISTICS, sums)])?;
        Ok(())
    }

    pub(crate) fn read(path: &Path) -> Result<Self, TokenizeError> {
        let file = TensorFile::open(path)?;
        let text = file.metadata(STATISTICS).unwrap_or_default();
        let Sums { totals, latent } =
            serde_json::from_str(text).map_err(|error| TokenizeError::damaged(path, error))?;
        let numbers = |name: &str| {
            let tensor = file.tensor(name)?.to_kind(Kind::Int64);
            Vec::<i64>::try_from(&tensor).map_err(|error| TokenizeError::damaged(path, error))
        };
        let counts = numbers(COUNTS)?.into_iter().map(i64::unsigned_abs);
        let codes = CodebookUse::from_counts(numbers(CODES)?.into_iter().zip(counts));
        Ok(Self { totals, latent, codes })
    }
}

/// Writes how often each code came: `codes` int32 `[n]`, ascending, and `counts` int64 `[n]`.
pub(crate) fn write_histogram(path: &Path, codes: &CodebookUse) -> Result<(), TokenizeError> {
    let [codes, counts] = histogram(codes);
    write_tensors(path, [(CODES, &codes), (COUNTS, &counts)], [])?;
    Ok(())
}

fn histogram(codes: &CodebookUse) -> [Tensor; 2] {
    let (codes, counts): (Vec<i32>, Vec<i64>) = codes.counts().map(|(code, count)| (code as i32, count as i64)).unzip();
    [Tensor::from_slice(&codes), Tensor::from_slice(&counts)]
}

/// The numbers of a tensor `[n]`.
fn doubles(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).to_device(tch::Device::Cpu).contiguous()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_survive_their_file_and_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let mut one = Statistics { codes: CodebookUse::from_counts([(3, 2), (262_143, 5)]), ..Statistics::default() };
        one.totals = Totals { videos: 2, seconds: 0.1, ..Totals::default() };
        one.latent = LatentSums { count: 2, sum: vec![1.0, 0.1], squares: vec![1.0, 0.3] };
        one.write(&path).unwrap();
        let mut read = Statistics::read(&path).unwrap();
        assert_eq!((&read.totals, &read.latent), (&one.totals, &one.latent));
        read.merge(&one);
        assert_eq!(read.codes.counts().collect::<Vec<_>>(), [(3, 4), (262_143, 10)]);
        assert_eq!((read.totals.videos, read.latent.count, read.latent.sum[0]), (4, 4, 2.0));
        let (mean, std) = LatentSums { count: 4, sum: vec![4.0], squares: vec![8.0] }.mean_and_std();
        assert_eq!((mean, std), (vec![1.0], vec![1.0]));
        assert_eq!(LatentSums::default().mean_and_std(), (vec![], vec![]));
    }

    #[test]
    fn the_latent_of_codes_is_weighted_by_how_often_they_came() {
        use vidtok_quant::{Fsq, FsqConfig};
        let fsq = Fsq::new(&FsqConfig::new([2, 2])).unwrap();
        // Codes 0 and 3 are (-1, -1) and (0, 0).
        let sums = LatentSums::of_codes(&CodebookUse::from_counts([(0, 3), (3, 1)]), &fsq);
        let (mean, std) = sums.mean_and_std();
        assert_eq!((sums.count, mean), (4, vec![-0.75, -0.75]));
        assert!(std.iter().all(|std| (std - 0.1875_f64.sqrt()).abs() < 1e-12), "{std:?}");
    }
}
