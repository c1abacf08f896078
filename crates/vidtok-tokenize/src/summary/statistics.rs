//! Sums over the videos of a shard, in a small file of their own. The manifest adds them up.
//!
//! They are computed from the stored tensors in the order of the videos, and depend on nothing else.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vidtok_core::{Quantizer, tensor_from_bytes};
use vidtok_metrics::CodebookUse;
use vidtok_torch::{TensorFile, write_tensors};

use crate::error::TokenizeError;
use crate::json;
use crate::shard::reader::Shard;
use crate::shard::stored::StoredVideo;
use crate::storage::latent::{Latent, TensorLayout};
use crate::storage::packing::unpack;

const STATISTICS: &str = "vidtok.statistics";
const CODES: &str = "codes";
const COUNTS: &str = "counts";
/// The numbers that are read at a time: a multiple of 8, so that a block of indices of any width ends at a byte.
const BLOCK: u64 = 1 << 17;

/// Files whose counts are held at once.
const BATCH: usize = 64;

/// Counts and sums over videos.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Videos that were tokenized.
    pub videos: u64,
    /// Videos that could not be used.
    pub skipped: u64,
    /// Frames that were tokenized.
    pub frames: u64,
    /// Pixels of the tokenized frames.
    pub pixels: u64,
    /// The duration of the tokenized frames in seconds.
    pub seconds: f64,
    /// Latent positions.
    pub tokens: u64,
    /// Bytes of the stored tensors.
    pub token_bytes: u64,
    /// Bytes of the shard files.
    pub shard_bytes: u64,
    /// Bytes of the video files.
    pub source_bytes: u64,
    /// Pixels of all frames in the video files, before sampling and resizing.
    pub source_pixels: u64,
}

/// Sums over the channels of a latent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatentSums {
    /// The number of latent positions.
    pub count: u64,
    /// The sum of each channel.
    pub sum: Vec<f64>,
    /// The sum of the squares of each channel.
    pub squares: Vec<f64>,
}

/// Statistics of one shard or of several.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) totals: Totals,
    /// Sums of the stored means; empty for indices.
    pub(crate) latent: LatentSums,
    /// The use of the codebook; empty for moments.
    pub(crate) codes: CodebookUse,
}

/// The part of the statistics that is stored as JSON: all except the codes.
#[derive(Serialize, Deserialize)]
struct Sums {
    totals: Totals,
    latent: LatentSums,
}

impl Totals {
    fn add(&mut self, video: &StoredVideo) {
        let entry = &video.entry;
        self.videos += 1;
        self.frames += entry.frames.unsigned_abs();
        self.pixels += entry.pixels();
        self.seconds += entry.seconds();
        self.tokens += entry.positions();
        self.token_bytes += video.tensors.iter().map(|(layout, _)| layout.bytes()).sum::<u64>();
        self.source_bytes += entry.source.bytes;
        self.source_pixels += entry.source.pixels();
    }

    fn merge(&mut self, other: &Self) {
        self.videos += other.videos;
        self.skipped += other.skipped;
        self.frames += other.frames;
        self.pixels += other.pixels;
        self.seconds += other.seconds;
        self.tokens += other.tokens;
        self.token_bytes += other.token_bytes;
        self.shard_bytes += other.shard_bytes;
        self.source_bytes += other.source_bytes;
        self.source_pixels += other.source_pixels;
    }
}

impl LatentSums {
    fn resize(&mut self, channels: usize) {
        self.sum.resize(channels.max(self.sum.len()), 0.0);
        self.squares.resize(channels.max(self.squares.len()), 0.0);
    }

    fn add(&mut self, channel: usize, values: &[f64], weight: impl Fn(usize) -> f64) {
        for (index, value) in values.iter().enumerate() {
            self.sum[channel] += weight(index) * value;
            self.squares[channel] += weight(index) * value * value;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.resize(other.sum.len());
        self.count += other.count;
        self.sum.iter_mut().zip(&other.sum).for_each(|(all, sum)| *all += sum);
        self.squares.iter_mut().zip(&other.squares).for_each(|(all, sum)| *all += sum);
    }

    /// The mean and the standard deviation of each channel; empty if there are no positions.
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

    /// The sums over the latents of all codes, each weighted by its count.
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
                sums.add(channel as usize, &values, |index| block[index].1 as f64);
            }
        }
        sums
    }
}

impl Statistics {
    /// The statistics of the videos in `parts`, one file each.
    pub(crate) fn of_parts(parts: &[PathBuf], latent: Latent) -> Result<Self, TokenizeError> {
        let mut all = Self::default();
        match latent {
            // Counts are exact in any order, so the files are read in parallel.
            Latent::Indices { bits, .. } => {
                let of_part = |path: &PathBuf| Self::of_indices(&Shard::open(path, latent)?, bits);
                for batch in parts.chunks(BATCH) {
                    let each: Vec<Self> = batch.par_iter().map(of_part).collect::<Result<_, _>>()?;
                    each.iter().for_each(|one| all.merge(one));
                }
            }
            // Floating-point sums depend on their order, and libtorch has its own threads.
            Latent::Moments { channels, .. } => {
                for path in parts {
                    all.latent.resize(channels as usize);
                    all.add_moments(&Shard::open(path, latent)?)?;
                }
            }
        }
        Ok(all)
    }

    fn of_indices(part: &Shard, bits: u32) -> Result<Self, TokenizeError> {
        let mut one = Self::default();
        for video in part.stored() {
            one.totals.add(video);
            if let Some((_, start)) = video.tensors.first() {
                one.count(part, *start, video.entry.positions(), bits)?;
            }
        }
        Ok(one)
    }

    fn add_moments(&mut self, part: &Shard) -> Result<(), TokenizeError> {
        for video in part.stored() {
            self.totals.add(video);
            if let Some((layout, start)) = video.tensors.first() {
                self.latent.count += video.entry.positions();
                self.sum(part, layout, *start, video.entry.positions())?;
            }
        }
        Ok(())
    }

    /// Counts the packed indices that begin at `start`.
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

    /// Adds the channels of the tensor that begins at `start`.
    fn sum(&mut self, part: &Shard, layout: &TensorLayout, start: u64, positions: u64) -> Result<(), TokenizeError> {
        let bytes = layout.dtype.bytes();
        for channel in 0..self.latent.sum.len() {
            for first in (0..positions).step_by(BLOCK as usize) {
                let count = BLOCK.min(positions - first);
                let offset = channel as u64 * positions + first;
                let block = part.bytes(start + offset * bytes, count * bytes)?;
                let values = tensor_from_bytes(&block, &[count as i64], layout.dtype.kind());
                let values = values.map_err(|error| TokenizeError::damaged(&part.path, error))?;
                self.latent.add(channel, &doubles(&values), |_| 1.0);
            }
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.totals.merge(&other.totals);
        self.latent.merge(&other.latent);
        self.codes.merge(&other.codes);
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), TokenizeError> {
        let sums = Sums { totals: self.totals.clone(), latent: self.latent.clone() };
        let sums = json::compact(&sums)?;
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

/// Writes the count of each code: `codes` int32 `[n]`, ascending, and `counts` int64 `[n]`.
pub(crate) fn write_histogram(path: &Path, codes: &CodebookUse) -> Result<(), TokenizeError> {
    let [codes, counts] = histogram(codes);
    write_tensors(path, [(CODES, &codes), (COUNTS, &counts)], [])?;
    Ok(())
}

fn histogram(codes: &CodebookUse) -> [Tensor; 2] {
    let (codes, counts): (Vec<i32>, Vec<i64>) = codes.counts().map(|(code, count)| (code as i32, count as i64)).unzip();
    [Tensor::from_slice(&codes), Tensor::from_slice(&counts)]
}

/// The numbers of a tensor `[n]` as doubles.
fn doubles(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).to_device(tch::Device::Cpu).contiguous()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_restored_from_their_file_and_add_up() {
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
    fn the_latent_sums_of_codes_are_weighted_by_their_counts() {
        use vidtok_quant::{Fsq, FsqConfig};
        let fsq = Fsq::new(&FsqConfig::new([2, 2])).unwrap();
        // Codes 0 and 3 are (-1, -1) and (0, 0).
        let sums = LatentSums::of_codes(&CodebookUse::from_counts([(0, 3), (3, 1)]), &fsq);
        let (mean, std) = sums.mean_and_std();
        assert_eq!((sums.count, mean), (4, vec![-0.75, -0.75]));
        assert!(std.iter().all(|std| (std - 0.1875_f64.sqrt()).abs() < 1e-12), "{std:?}");
    }
}
