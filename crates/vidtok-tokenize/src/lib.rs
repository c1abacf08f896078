//! Folders of videos as sharded datasets of tokens, for the training of generative models, and back.
//!
//! [`tokenize`] may run on any number of machines at once, be killed and started again; the shards are the same to the
//! byte. `docs/TOKEN_DATASETS.md` describes the files for other readers.
//!
//! Indices are packed into as few bits as they need:
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
//! A dataset is read shard by shard, each video a stretch of latent frames at a time:
//!
//! ```no_run
//! use vidtok_tokenize::{Dataset, Shard, Tokens, shards};
//!
//! let folder = "tokens".as_ref();
//! let dataset = Dataset::open(folder)?;
//! for path in shards(folder, &dataset)? {
//!     let shard = Shard::open(&path, dataset.latent)?;
//!     for (place, video) in shard.videos().enumerate() {
//!         match shard.tokens(place, 0, video.tokens[0])? {
//!             Tokens::Indices(indices) => println!("{}: {:?}", video.key, indices.size()), // [1, t, h, w]
//!             Tokens::Moments { mean, .. } => println!("{}: {:?}", video.key, mean.size()), // [1, z, t, h, w]
//!         }
//!     }
//! }
//! # Ok::<(), vidtok_tokenize::TokenizeError>(())
//! ```

mod dataset;
mod detokenize;
mod error;
mod run;
mod shard;

pub use dataset::entry::{SourceEntry, VideoEntry};
pub use dataset::manifest::{CodesSummary, LatentSummary, Manifest, ShardSummary};
pub use dataset::statistics::{LatentSums, Totals};
pub use dataset::{Dataset, Latent, NumberType, ShardFormat, TensorLayout};
pub use detokenize::{DetokenizeOptions, detokenize, shards};
pub use error::TokenizeError;
pub use run::{Meter, TokenizeOptions, TokenizeProgress, TokenizeSummary, tokenize};
pub use shard::packing::{Packer, bits_per_index, packed_bytes, unpack};
pub use shard::{Shard, Tokens};
