//! A video in a shard: its metadata, and where its tensors are in the file.

use std::path::Path;

use crate::error::TokenizeError;
use crate::storage::entry::VideoEntry;
use crate::storage::latent::TensorLayout;

/// The largest header or JSON text that is read, in bytes. The `safetensors` crate has the same limit.
pub(super) const MAX_JSON: u64 = 100_000_000;

/// A video in a file of tokens.
#[derive(Clone, Debug)]
pub(crate) struct StoredVideo {
    pub(crate) entry: VideoEntry,
    /// Each tensor with the offset of its first byte, in the order of [`layouts`](crate::Latent::layouts).
    pub(crate) tensors: Vec<(TensorLayout, u64)>,
}

/// Checks that a file's metadata of a video is valid.
pub(super) fn check(path: &Path, entry: &VideoEntry) -> Result<(), TokenizeError> {
    match entry.is_valid() {
        true => Ok(()),
        false => Err(TokenizeError::damaged(path, format!("the sizes of video {:?} are invalid", entry.key))),
    }
}
