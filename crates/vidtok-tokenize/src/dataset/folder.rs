//! The paths of a dataset's files.

use std::fs;
use std::path::{Path, PathBuf};

use vidtok_core::Claim;

use crate::error::TokenizeError;
use crate::storage::latent::ShardFormat;

/// The folder of a dataset.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Creates the folders that do not exist yet.
    pub(crate) fn create(root: &Path) -> Result<Self, TokenizeError> {
        let folder = Self::at(root);
        for part in ["claims", "parts", "shards", "statistics"] {
            let path = root.join(part);
            fs::create_dir_all(&path).map_err(TokenizeError::file(path))?;
        }
        Ok(folder)
    }

    /// Waits for the lock on the files that all workers share: the settings, the lists of videos and the manifest.
    pub(crate) fn lock(&self) -> Result<Claim, TokenizeError> {
        let path = self.root.join("claims/dataset.lock");
        Claim::wait(&path).map_err(TokenizeError::file(path))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn dataset(&self) -> PathBuf {
        self.root.join("dataset.json")
    }

    pub(crate) fn videos(&self) -> PathBuf {
        self.root.join("videos.jsonl")
    }

    pub(crate) fn skipped(&self) -> PathBuf {
        self.root.join("skipped.jsonl")
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.root.join("manifest.json")
    }

    pub(crate) fn codes(&self) -> PathBuf {
        self.root.join("codes.safetensors")
    }

    pub(crate) fn claim(&self, shard: usize) -> PathBuf {
        self.root.join(format!("claims/shard-{shard:06}.lock"))
    }

    /// The folder of finished videos of a shard that is not finished.
    pub(crate) fn parts(&self, shard: usize) -> PathBuf {
        self.root.join(format!("parts/shard-{shard:06}"))
    }

    /// The folder of finished shards.
    pub(crate) fn shards(&self) -> PathBuf {
        self.root.join("shards")
    }

    /// The path of a shard's file relative to the folder.
    pub(crate) fn shard_name(shard: usize, format: ShardFormat) -> String {
        format!("shards/shard-{shard:06}.{}", format.extension())
    }

    pub(crate) fn shard(&self, shard: usize, format: ShardFormat) -> PathBuf {
        self.root.join(Self::shard_name(shard, format))
    }

    /// The statistics of a shard. The shard is finished when this file exists.
    pub(crate) fn statistics(&self, shard: usize) -> PathBuf {
        self.root.join(format!("statistics/shard-{shard:06}.safetensors"))
    }

    pub(crate) fn is_finished(&self, shard: usize) -> bool {
        self.statistics(shard).exists()
    }
}
