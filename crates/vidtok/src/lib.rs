//! VidTok video tokenizers: from video to a compact latent or tokens, and back.
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use vidtok::{Config, EncodeOptions, Tokenizer};
//!
//! let config = Config::parse(
//!     r#"
//!     name = "tiny"
//!     [model]
//!     causality = "v1.0"
//!     ch = 8
//!     ch_mult = [1, 2]
//!     num_res_blocks = 1
//!     spatial_down = [0]
//!     spatial_up = [1]
//!     temporal_down = [0]
//!     temporal_up = [1]
//!     [quantizer]
//!     kind = "fsq"
//!     levels = [8, 8, 8]
//!     "#,
//! )?;
//! let tokenizer = Tokenizer::init(config, 0, Device::Cpu)?;
//!
//! // Any number of frames and any size, in [-1, 1].
//! let video = Tensor::zeros([1, 3, 5, 15, 20], (Kind::Float, Device::Cpu));
//! let encoded = tokenizer.encode(&video, EncodeOptions::default())?;
//! assert_eq!(encoded.indices.as_ref().unwrap().size(), [1, 3, 8, 10]);
//! assert_eq!(tokenizer.decode(&encoded)?.size(), video.size());
//! # Ok::<(), vidtok::Error>(())
//! ```

mod config;
mod error;
mod files;
mod memory;
mod padding;
mod pixel_range;
mod stream;
mod tokenizer;
mod training;

pub use config::Config;
pub use error::Error;
pub use files::checkpoint;
pub use files::encoded::{Encoded, EncodedFile};
pub use files::weights::{Weights, ema_key, sha256};
pub use memory::free::{free_bytes, resident_bytes};
pub use memory::plan::{MemoryPlan, Work};
pub use padding::Padding;
pub use pixel_range::PixelRange;
pub use stream::decoder::StreamDecoder;
pub use stream::encoder::StreamEncoder;
pub use stream::reconstructor::StreamReconstructor;
pub use stream::{EncodeOptions, PUBLISHED_WINDOW, Window};
pub use tokenizer::Tokenizer;
pub use training::{TrainingOptions, TrainingPass};
pub use vidtok_arch::{ArchConfig, Causality, StreamError};
pub use vidtok_quant::QuantizerConfig;
