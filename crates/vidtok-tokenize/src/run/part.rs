//! The finished videos of an unfinished shard, one file each, from which a stopped run continues.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};
use tempfile::TempPath;
use vidtok_core::{Quantized, temporary_beside, write_atomically};

use crate::dataset::settings::Dataset;
use crate::error::TokenizeError;
use crate::json;
use crate::run::skipped::SkippedVideo;
use crate::shard::safetensors::header;
use crate::storage::entry::VideoEntry;
use crate::storage::latent::{Latent, TensorLayout};
use crate::storage::packing::Packer;

/// The file of the shard's video at `index`, which exists once the video is finished.
pub(super) fn tokens_path(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("{index:06}.safetensors"))
}

/// The file that states why the video at `index` is skipped.
fn skipped_path(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("{index:06}.skipped.json"))
}

/// Whether the video at `index` is finished or skipped.
pub(super) fn is_finished(folder: &Path, index: usize) -> bool {
    tokens_path(folder, index).exists() || skipped_path(folder, index).exists()
}

/// Records that the video at `index` is skipped.
pub(super) fn skip(folder: &Path, index: usize, video: &SkippedVideo) -> Result<(), TokenizeError> {
    let (path, text) = (skipped_path(folder, index), json::pretty(video)?);
    write_atomically(&path, |temporary| fs::write(temporary, &text)).map_err(TokenizeError::file(path))
}

/// The record of the video at `index` if it is skipped.
pub(super) fn read_skipped(folder: &Path, index: usize) -> Result<Option<SkippedVideo>, TokenizeError> {
    let path = skipped_path(folder, index);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(&path).map_err(TokenizeError::file(&path))?;
    serde_json::from_slice(&text).map(Some).map_err(|error| TokenizeError::damaged(&path, error))
}

/// Writes the tokens of one video. Each chunk is written at once, so that memory does not grow with the video.
#[derive(Debug)]
pub(super) struct PartWriter {
    path: PathBuf,
    temporary: TempPath,
    file: File,
    latent: Latent,
    tokens: [i64; 3],
    /// The offset of each tensor in the file.
    starts: Vec<u64>,
    packer: Packer,
    /// Bytes of packed indices that were written.
    packed: u64,
    /// Latent frames that were written.
    frames: i64,
}

impl PartWriter {
    pub(super) fn create(path: PathBuf, dataset: &Dataset, entry: &VideoEntry) -> Result<Self, TokenizeError> {
        let header = header(dataset, std::slice::from_ref(entry))?;
        let temporary = temporary_beside(&path).map_err(TokenizeError::file(&path))?;
        let open = || {
            let file = File::options().write(true).open(&temporary)?;
            file.write_all_at(&header, 0)?;
            Ok(file)
        };
        let file = open().map_err(TokenizeError::file(&path))?;
        let advance = |next: &mut u64, layout: &TensorLayout| Some(std::mem::replace(next, *next + layout.bytes()));
        let starts = dataset.latent.layouts(entry.tokens).iter().scan(header.len() as u64, advance).collect();
        let packer = Packer::new(dataset.latent.bits().unwrap_or(1));
        let (latent, tokens) = (dataset.latent, entry.tokens);
        Ok(Self { path, temporary, file, latent, tokens, starts, packer, packed: 0, frames: 0 })
    }

    /// Appends the latent frames of a chunk.
    pub(super) fn push(&mut self, quantized: &Quantized) -> Result<(), TokenizeError> {
        let [t, h, w] = self.tokens;
        let count = quantized.latent.size()[2];
        if count > t - self.frames {
            return Err(self.wrong(self.frames + count));
        }
        match (self.latent, &quantized.indices, &quantized.logvar) {
            (Latent::Indices { .. }, Some(indices), _) => {
                let bytes = bytes(&indices.to_kind(Kind::Int));
                let indices = bytes.as_chunks::<4>().0.iter().map(|index| u32::from_ne_bytes(*index));
                let packed = self.packer.push(indices);
                self.write(self.starts[0] + self.packed, &packed)?;
                self.packed += packed.len() as u64;
            }
            (Latent::Moments { channels, dtype }, _, Some(logvar)) => {
                for (index, tensor) in [&quantized.latent, logvar].into_iter().enumerate() {
                    let tensor = tensor.to_kind(dtype.kind());
                    if tensor.isfinite().all().to_kind(Kind::Int64).int64_value(&[]) == 0 {
                        return Err(vidtok::Error::NotFinite.into());
                    }
                    let bytes = bytes(&tensor);
                    let frame = (h * w).unsigned_abs() * dtype.bytes();
                    let length = (count.unsigned_abs() * frame) as usize;
                    for (channel, bytes) in (0..channels).zip(bytes.chunks(length.max(1))) {
                        let first = (channel * t + self.frames).unsigned_abs() * frame;
                        self.write(self.starts[index] + first, bytes)?;
                    }
                }
            }
            _ => return Err(self.wrong(0)),
        }
        self.frames += count;
        Ok(())
    }

    /// Gives the file its final name, which marks the video as finished.
    pub(super) fn commit(self) -> Result<(), TokenizeError> {
        if self.frames != self.tokens[0] {
            return Err(self.wrong(self.frames));
        }
        if let Some(byte) = self.packer.clone().finish().filter(|_| self.latent.bits().is_some()) {
            self.write(self.starts[0] + self.packed, &[byte])?;
        }
        self.file.sync_all().map_err(TokenizeError::file(&self.path))?;
        self.temporary.persist(&self.path).map_err(|error| TokenizeError::File { path: self.path, source: error.error })
    }

    fn write(&self, start: u64, bytes: &[u8]) -> Result<(), TokenizeError> {
        self.file.write_all_at(bytes, start).map_err(TokenizeError::file(&self.path))
    }

    fn wrong(&self, frames: i64) -> TokenizeError {
        TokenizeError::setting("latent frames of a video", self.tokens[0], frames)
    }
}

/// The bytes of a tensor in memory order.
fn bytes(tensor: &Tensor) -> Vec<u8> {
    let tensor = tensor.to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, tensor.numel());
    bytes
}
