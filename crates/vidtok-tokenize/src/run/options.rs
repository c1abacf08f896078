//! What to tokenize, and how.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vidtok_data::Preparation;

use crate::storage::latent::{NumberType, ShardFormat};

/// What [`tokenize`](crate::tokenize) does.
#[derive(Clone, Debug)]
pub struct TokenizeOptions {
    /// A folder of videos, or a CSV with a column `videos` of paths relative to its folder.
    pub data: PathBuf,
    /// The folder of the dataset. Videos that are finished there are not tokenized again.
    pub out: PathBuf,
    /// How frames are sampled, resized and cropped.
    pub preparation: Preparation,
    /// The file format of the shards.
    pub format: ShardFormat,
    /// The number type of stored moments; indices are always packed.
    pub latents: NumberType,
    /// Videos per shard.
    pub shard_videos: usize,
    /// The memory limit in bytes; on a GPU, without the weights. It may change the rounding of the last bits, nothing
    /// else.
    pub max_memory: u64,
    /// Threads that decode videos ahead of the networks.
    pub decoders: usize,
    /// Whether skipped videos are retried although they have not changed.
    pub retry: bool,
    /// This worker's rank, from 0.
    pub rank: usize,
    /// The number of ranks, which begin at different shards. More workers may join with any of these ranks.
    pub world_size: usize,
    /// Stops the work once it is set. The unfinished video is lost. To end waits for ffmpeg too, use
    /// [`Stop`](vidtok_data::Stop).
    pub stop: Arc<AtomicBool>,
}

impl TokenizeOptions {
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
