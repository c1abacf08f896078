//! Reads files of tokens.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tch::Tensor;
use vidtok_core::tensor_from_bytes;

use crate::dataset::folder::Folder;
use crate::dataset::settings::Dataset;
use crate::error::TokenizeError;
use crate::shard::stored::StoredVideo;
use crate::shard::{safetensors, webdataset};
use crate::storage::entry::VideoEntry;
use crate::storage::latent::{Latent, ShardFormat, TensorLayout};
use crate::storage::packing::unpack;

/// The paths of the finished shards in a dataset's folder, in order.
///
/// # Errors
/// If the folder cannot be read.
pub fn shards(folder: impl AsRef<Path>, dataset: &Dataset) -> Result<Vec<PathBuf>, TokenizeError> {
    let folder = Folder::at(folder.as_ref()).shards();
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).map_err(TokenizeError::file(&folder))? {
        let path = entry.map_err(TokenizeError::file(&folder))?.path();
        if path.extension().is_some_and(|extension| extension == dataset.shards.extension()) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// An open shard, or the part file of one video.
#[derive(Debug)]
pub struct Shard {
    pub(crate) path: PathBuf,
    file: File,
    latent: Latent,
    videos: Vec<StoredVideo>,
}

impl Shard {
    /// Opens a shard of a dataset that stores `latent`. The file's extension determines the format.
    ///
    /// # Errors
    /// If the file cannot be read, or is not a complete shard of such a dataset.
    pub fn open(path: impl AsRef<Path>, latent: Latent) -> Result<Self, TokenizeError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(TokenizeError::file(path))?;
        let is_tar = path.extension().is_some_and(|extension| extension == ShardFormat::Webdataset.extension());
        let videos =
            if is_tar { webdataset::read(path, &file, latent)? } else { safetensors::read(path, &file, latent)? };
        Ok(Self { path: path.to_owned(), file, latent, videos })
    }

    /// The metadata of its videos, in order.
    pub fn videos(&self) -> impl ExactSizeIterator<Item = &VideoEntry> {
        self.videos.iter().map(|video| &video.entry)
    }

    /// Reads `count` latent frames of the video at `index`, beginning with latent frame `start`: indices int32
    /// `[1, count, h, w]`, or mean and log-variance `[1, z, count, h, w]` in the stored number type.
    ///
    /// # Errors
    /// If the video or the frames do not exist, or the file cannot be read.
    pub fn tokens(&self, index: usize, start: i64, count: i64) -> Result<Tokens, TokenizeError> {
        let video = self.videos.get(index).filter(|video| {
            let t = video.entry.tokens[0];
            start >= 0 && count >= 1 && count <= t && start <= t - count
        });
        let Some(StoredVideo { entry, tensors }) = video else {
            let problem = format!("has no {count} latent frames from {start} on in video {index}");
            return Err(TokenizeError::damaged(&self.path, problem));
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
            _ => Err(TokenizeError::damaged(&self.path, "its tensors do not match the dataset")),
        }
    }

    /// The video of a part file.
    pub(crate) fn only_video(&self) -> Result<&StoredVideo, TokenizeError> {
        match self.videos.as_slice() {
            [video] => Ok(video),
            other => Err(TokenizeError::damaged(&self.path, format!("expected one video, found {}", other.len()))),
        }
    }

    pub(crate) fn stored(&self) -> &[StoredVideo] {
        &self.videos
    }

    /// Reads `count` bytes of the file from `start` on.
    pub(crate) fn bytes(&self, start: u64, count: u64) -> Result<Vec<u8>, TokenizeError> {
        let mut bytes = vec![0; count as usize];
        self.file.read_exact_at(&mut bytes, start).map_err(TokenizeError::file(&self.path))?;
        Ok(bytes)
    }

    /// A reader of the bytes of a tensor, which are too many to hold at once.
    pub(crate) fn reader(&self, layout: &TensorLayout, start: u64) -> io::Result<impl Read + '_> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start))?;
        Ok(file.take(layout.bytes()))
    }
}

/// The tokens of a range of a video's latent frames.
#[derive(Debug)]
pub enum Tokens {
    /// Codebook indices, int32 `[1, t, h, w]`.
    Indices(Tensor),
    /// Mean and log-variance of the posterior, `[1, z, t, h, w]`.
    Moments {
        /// The mean.
        mean: Tensor,
        /// The natural logarithm of the variance.
        logvar: Tensor,
    },
}
