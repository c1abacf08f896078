//! What is done of a shard in work: a file a video, from which a run that was stopped goes on.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};
use tempfile::TempPath;
use vidtok_core::{Quantized, temporary_beside, write_atomically};

use crate::dataset::entry::VideoEntry;
use crate::dataset::{Dataset, Latent, TensorLayout, to_json};
use crate::error::TokenizeError;
use crate::run::work_list::SkippedVideo;
use crate::shard::packing::Packer;
use crate::shard::safetensors::header;

/// Where the video at a place of a shard is kept once it is done.
pub(crate) fn done(folder: &Path, place: usize) -> PathBuf {
    folder.join(format!("{place:06}.safetensors"))
}

/// Where it is said why a video is left out.
fn skipped(folder: &Path, place: usize) -> PathBuf {
    folder.join(format!("{place:06}.skipped.json"))
}

/// Whether nothing is left to do for the video at a place.
pub(crate) fn is_done(folder: &Path, place: usize) -> bool {
    done(folder, place).exists() || skipped(folder, place).exists()
}

/// Leaves a video out of its shard, for good.
pub(crate) fn skip(folder: &Path, place: usize, video: &SkippedVideo) -> Result<(), TokenizeError> {
    let (path, text) = (skipped(folder, place), to_json(video)?);
    write_atomically(&path, |temporary| fs::write(temporary, &text)).map_err(TokenizeError::file(path))
}

/// Why the video at a place was left out, if it was.
pub(crate) fn read_skipped(folder: &Path, place: usize) -> Result<Option<SkippedVideo>, TokenizeError> {
    let path = skipped(folder, place);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(&path).map_err(TokenizeError::file(&path))?;
    serde_json::from_slice(&text).map(Some).map_err(|error| TokenizeError::damaged(&path, error))
}

/// A video's tokens on their way into a file. Memory does not grow with the video: each chunk goes to its place at once.
#[derive(Debug)]
pub(crate) struct PartWriter {
    path: PathBuf,
    temporary: TempPath,
    file: File,
    latent: Latent,
    tokens: [i64; 3],
    /// Where each tensor begins.
    starts: Vec<u64>,
    packer: Packer,
    packed: u64,
    /// Latent frames that were written.
    frames: i64,
}

impl PartWriter {
    pub(crate) fn create(path: PathBuf, dataset: &Dataset, entry: &VideoEntry) -> Result<Self, TokenizeError> {
        let header = header(dataset, std::slice::from_ref(entry))?;
        let temporary = temporary_beside(&path).map_err(TokenizeError::file(&path))?;
        let open = || {
            let file = File::options().write(true).open(&temporary)?;
            file.write_all_at(&header, 0)?;
            Ok(file)
        };
        let file = open().map_err(TokenizeError::file(&path))?;
        let place = |next: &mut u64, layout: &TensorLayout| Some(std::mem::replace(next, *next + layout.bytes()));
        let starts = dataset.latent.layouts(entry.tokens).iter().scan(header.len() as u64, place).collect();
        let packer = Packer::new(dataset.latent.bits().unwrap_or(1));
        let (latent, tokens) = (dataset.latent, entry.tokens);
        Ok(Self { path, temporary, file, latent, tokens, starts, packer, packed: 0, frames: 0 })
    }

    /// Appends latent frames.
    pub(crate) fn push(&mut self, quantized: &Quantized) -> Result<(), TokenizeError> {
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
                for (place, tensor) in [&quantized.latent, logvar].into_iter().enumerate() {
                    let tensor = tensor.to_kind(dtype.kind());
                    if tensor.isfinite().all().to_kind(Kind::Int64).int64_value(&[]) == 0 {
                        return Err(vidtok::Error::NotFinite.into());
                    }
                    let bytes = bytes(&tensor);
                    let frame = (h * w).unsigned_abs() * dtype.bytes();
                    let length = (count.unsigned_abs() * frame) as usize;
                    for (channel, bytes) in (0..channels).zip(bytes.chunks(length.max(1))) {
                        let first = (channel * t + self.frames).unsigned_abs() * frame;
                        self.write(self.starts[place] + first, bytes)?;
                    }
                }
            }
            _ => return Err(self.wrong(0)),
        }
        self.frames += count;
        Ok(())
    }

    /// Gives the file its name: the video is done.
    pub(crate) fn commit(self) -> Result<(), TokenizeError> {
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

/// The numbers of a tensor, as they stand in memory.
fn bytes(tensor: &Tensor) -> Vec<u8> {
    let tensor = tensor.to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, tensor.numel());
    bytes
}
