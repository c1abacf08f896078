//! VidTok video tokenizers (arXiv 2412.13061): from video to a compact latent or tokens, and back.
//!
//! - [`Tokenizer`]: [`open`](Tokenizer::open) a model, [`encode`](Tokenizer::encode) and [`decode`](Tokenizer::decode)
//!   clips; [`encode_video`](Tokenizer::encode_video) and [`decode_video`](Tokenizer::decode_video) take whole videos in
//!   bounded memory.
//! - [`StreamEncoder`], [`StreamDecoder`], [`StreamReconstructor`]: clips that arrive in chunks. A stream can be saved to
//!   a file and resumed.
//! - [`Tokenizer::forward_train`]: the forward pass of a training step.
//! - [`TokenizerBuilder::quantizer`]: models with a quantizer of the program's own.
//!
//! The programs in `examples/` show each of these.
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
//! // A video in [-1, 1], of any length and size.
//! let video = Tensor::zeros([1, 3, 5, 15, 20], (Kind::Float, Device::Cpu));
//! let encoded = tokenizer.encode(&video, EncodeOptions::default())?;
//! assert_eq!(encoded.indices.as_ref().unwrap().size(), [1, 3, 8, 10]);
//! assert_eq!(tokenizer.decode(&encoded)?.size(), video.size());
//! # Ok::<(), vidtok::Error>(())
//! ```

mod builder;
mod coding;
mod config;
mod error;
mod files;
mod latent_statistics;
mod linear;
mod memory;
mod model;
mod padding;
mod pixel_range;
mod stream;
mod tokenizer;
mod training;

pub use builder::{BoxError, TokenizerBuilder};
pub use coding::encoded::Encoded;
pub use config::Config;
pub use error::Error;
pub use files::checkpoint;
pub use files::encoded::EncodedFile;
pub use files::weights::{Weights, ema_key, sha256};
pub use latent_statistics::LatentStatistics;
pub use memory::free::{default_budget, free_bytes, resident_bytes};
pub use memory::plan::{MemoryPlan, Work};
pub use padding::Padding;
pub use pixel_range::{PixelRange, PixelRangeError};
pub use stream::decoder::StreamDecoder;
pub use stream::encoder::StreamEncoder;
pub use stream::reconstructor::StreamReconstructor;
pub use stream::{EncodeOptions, PUBLISHED_WINDOW, Window};
pub use tokenizer::Tokenizer;
pub use training::{TrainingOptions, TrainingPass};

// The types of other crates in this crate's signatures.
pub use vidtok_arch::{
    ArchConfig, ArchError, Causality, DecoderConfig, Klt, KltFit, Patch, PatchTransform, Resample, StreamError,
};
pub use vidtok_core::{
    Codec, CodecError, FrameRate, FrameSink, FrameSource, FrameTimes, PixelAspect, ProcessGroup, Quantized, Quantizer,
    Reconstructed, Reconstructor, Regularized, SingleProcess, VideoError, VideoInfo, to_frames, to_model_range,
};
pub use vidtok_quant::{CustomConfig, FsqConfig, KlConfig, QuantizerConfig, QuantizerError};
pub use vidtok_torch::{Init, ParamPath, ParameterError, Parameters, TensorFileError};
pub use {tch, toml};
