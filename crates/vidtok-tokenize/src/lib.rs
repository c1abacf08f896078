//! Tokenizes folders of videos into sharded datasets, for training generative models, and decodes them again.
//!
//! Any number of machines may run [`tokenize`] at once. It can be killed and restarted at any moment; the shards are
//! equal to the byte. `docs/TOKEN_DATASETS.md` specifies the files for other readers.
//!
//! Codebook indices are packed into as few bits as they need:
//!
//! ```
//! use vidtok_tokenize::{Packer, bits_per_index, unpack};
//!
//! let bits = bits_per_index(262_144);
//! let mut packer = Packer::new(bits);
//! let mut bytes = packer.push([5, 262_143, 0]);
//! bytes.extend(packer.finish());
//! assert_eq!((bits, bytes.len()), (18, 7)); // 54 bits
//! assert_eq!(unpack(&bytes, bits, 0, 3), [5, 262_143, 0]);
//! ```
//!
//! A dataset is read shard by shard, and each video in any range of latent frames:
//!
//! ```no_run
//! use vidtok_tokenize::{Dataset, Shard, Tokens, shards};
//!
//! let dataset = Dataset::open("tokens")?;
//! for path in shards("tokens", &dataset)? {
//!     let shard = Shard::open(&path, dataset.latent)?;
//!     for (index, video) in shard.videos().enumerate() {
//!         match shard.tokens(index, 0, video.tokens[0])? {
//!             Tokens::Indices(indices) => println!("{}: {:?}", video.key, indices.size()), // [1, t, h, w]
//!             Tokens::Moments { mean, .. } => println!("{}: {:?}", video.key, mean.size()), // [1, z, t, h, w]
//!         }
//!     }
//! }
//! # Ok::<(), vidtok_tokenize::TokenizeError>(())
//! ```
//!
//! The modules build on each other in this order: `storage` (what is stored of a video), `dataset` (settings and
//! folder), `shard` (files), `summary` (statistics and manifest), `run` (the work), `detokenize`.

mod budget;
mod dataset;
mod detokenize;
mod error;
mod json;
mod run;
mod shard;
mod storage;
mod summary;

pub use dataset::settings::Dataset;
pub use detokenize::{DetokenizeOptions, detokenize};
pub use error::TokenizeError;
pub use run::apart::{PlannedShard, finish_dataset, plan_shards, tokenize_shard};
pub use run::options::TokenizeOptions;
pub use run::progress::{Meter, TokenizeProgress, TokenizeSummary};
pub use run::tokenize;
pub use shard::reader::{Shard, Tokens, shards};
pub use storage::entry::{SourceEntry, VideoEntry};
pub use storage::latent::{Latent, NumberType, ShardFormat, TensorLayout};
pub use storage::packing::{Packer, bits_per_index, packed_bytes, unpack};
pub use summary::manifest::{CodesSummary, Manifest, ShardSummary};
pub use summary::statistics::{LatentSums, Totals};
