//! Files of tokens: written in one piece, and read a stretch of frames at a time.
//!
//! What is done of a video is a file of the same kind as a safetensors shard, with one video in it.

pub(crate) mod packing;
pub(crate) mod safetensors;
pub(crate) mod webdataset;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tch::Tensor;
use vidtok_core::tensor_from_bytes;

use crate::dataset::entry::VideoEntry;
use crate::dataset::{Dataset, Latent, ShardFormat, TensorLayout};
use crate::error::TokenizeError;
use crate::shard::packing::unpack;

/// An open file of tokens.
#[derive(Debug)]
pub struct Shard {
    pub(crate) path: PathBuf,
    file: File,
    latent: Latent,
    videos: Vec<StoredVideo>,
}

/// Where a video's tensors lie in its file.
#[derive(Clone, Debug)]
pub(crate) struct StoredVideo {
    pub(crate) entry: VideoEntry,
    /// Each tensor with the place of its first byte, in the order of [`Latent::layouts`].
    pub(crate) tensors: Vec<(TensorLayout, u64)>,
}

impl Shard {
    /// Opens a shard of a dataset that stores `latent`; the extension tells the format.
    ///
    /// # Errors
    /// If the file cannot be read, or is no whole shard of such a dataset.
    pub fn open(path: &Path, latent: Latent) -> Result<Self, TokenizeError> {
        let file = File::open(path).map_err(TokenizeError::file(path))?;
        let is_tar = path.extension().is_some_and(|extension| extension == ShardFormat::Webdataset.extension());
        let videos =
            if is_tar { webdataset::read(path, &file, latent)? } else { safetensors::read(path, &file, latent)? };
        Ok(Self { path: path.to_owned(), file, latent, videos })
    }

    /// The videos in it, in order.
    pub fn videos(&self) -> impl ExactSizeIterator<Item = &VideoEntry> {
        self.videos.iter().map(|video| &video.entry)
    }

    /// `count` latent frames of the video at `place` from latent frame `start` on: indices int32 `[1, t, h, w]`, or mean
    /// and log-variance `[1, z, t, h, w]` in the stored number type.
    ///
    /// # Errors
    /// If there are no such frames, or the file cannot be read.
    pub fn tokens(&self, place: usize, start: i64, count: i64) -> Result<Tokens, TokenizeError> {
        let video = self.videos.get(place).filter(|video| {
            let t = video.entry.tokens[0];
            start >= 0 && count >= 1 && count <= t && start <= t - count
        });
        let Some(StoredVideo { entry, tensors }) = video else {
            let found = format!("latent frames {start} to {start}+{count} of video {place}");
            return Err(TokenizeError::damaged(&self.path, format!("no {found} in it")));
        };
        let [t, h, w] = entry.tokens;
        let frame = (h * w).unsigned_abs();
        match (self.latent, tensors.as_slice()) {
            (Latent::Indices { bits, .. }, [(_, offset)]) => {
                let first = start.unsigned_abs() * frame * u64::from(bits);
                let end = (first + count.unsigned_abs() * frame * u64::from(bits)).div_ceil(8);
                let bytes = self.bytes(offset + first / 8, end - first / 8)?;
                let values = unpack(&bytes, bits, first % 8, (count.unsigned_abs() * frame) as usize);
                let values: Vec<i32> = values.into_iter().map(|index| index as i32).collect();
                Ok(Tokens::Indices(Tensor::from_slice(&values).view([1, count, h, w])))
            }
            (Latent::Moments { channels, dtype }, [mean, logvar]) => {
                let read = |(_, offset): &(TensorLayout, u64)| {
                    let mut bytes = Vec::new();
                    for channel in 0..channels {
                        let first = (channel * t + start).unsigned_abs() * frame * dtype.bytes();
                        bytes.extend(self.bytes(offset + first, count.unsigned_abs() * frame * dtype.bytes())?);
                    }
                    tensor_from_bytes(&bytes, &[1, channels, count, h, w], dtype.kind())
                        .map_err(|error| TokenizeError::damaged(&self.path, error))
                };
                Ok(Tokens::Moments { mean: read(mean)?, logvar: read(logvar)? })
            }
            _ => Err(TokenizeError::damaged(&self.path, "its tensors are not those of the dataset")),
        }
    }

    pub(crate) fn stored(&self) -> &[StoredVideo] {
        &self.videos
    }

    /// Bytes of the file from `start` on.
    pub(crate) fn bytes(&self, start: u64, count: u64) -> Result<Vec<u8>, TokenizeError> {
        let mut bytes = vec![0; count as usize];
        self.file.read_exact_at(&mut bytes, start).map_err(TokenizeError::file(&self.path))?;
        Ok(bytes)
    }

    /// Reads the bytes of a tensor, a few at a time.
    fn reader(&self, layout: &TensorLayout, start: u64) -> io::Result<impl Read + '_> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start))?;
        Ok(file.take(layout.bytes()))
    }
}

/// A stretch of a video's tokens.
#[derive(Debug)]
pub enum Tokens {
    /// Codebook indices, int32 `[1, t, h, w]`.
    Indices(Tensor),
    /// Mean and log-variance, `[1, z, t, h, w]`.
    Moments {
        /// The mean.
        mean: Tensor,
        /// The logarithm of the variance.
        logvar: Tensor,
    },
}

/// Writes the shard of the videos in `parts`, one file each, to `path`.
pub(crate) fn write(path: &Path, dataset: &Dataset, parts: &[PathBuf]) -> Result<(), TokenizeError> {
    let file = File::create(path).map_err(TokenizeError::file(path))?;
    match dataset.shards {
        ShardFormat::Safetensors => safetensors::write(path, &file, dataset, parts)?,
        ShardFormat::Webdataset => webdataset::write(path, &file, dataset, parts)?,
    }
    file.sync_all().map_err(TokenizeError::file(path))
}

/// That what a file says of a video is possible.
fn check(path: &Path, entry: &VideoEntry) -> Result<(), TokenizeError> {
    match entry.is_possible() {
        true => Ok(()),
        false => Err(TokenizeError::damaged(path, format!("the numbers of {:?} are those of no video", entry.key))),
    }
}

/// A part's video; parts hold one each.
fn only_video(part: &Shard) -> Result<&StoredVideo, TokenizeError> {
    match part.stored() {
        [video] => Ok(video),
        other => Err(TokenizeError::damaged(&part.path, format!("expected one video, found {}", other.len()))),
    }
}

/// The largest header or JSON that is read, in bytes; safetensors has this limit too.
const MOST_JSON: u64 = 100_000_000;
