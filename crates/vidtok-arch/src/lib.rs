//! The networks of VidTok (arXiv 2412.13061): an encoder and a decoder of 2D and 1D residual blocks, with 3D blocks
//! only where they pay off.
//!
//! The networks read and return `[b, c, t, h, w]`. Inside, activations are contiguous `[b, t, h, w, c]`. One type,
//! [`Causality`], selects among the three ways in which released models treat time; every block is written once.
//!
//! A clip is computed at once, in chunks of frames, or in strips of rows, by the same code: [`StreamState`] holds what
//! layers remember from step to step.
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use vidtok_arch::{ArchConfig, Causality, Encoder, Patch, Resample, StreamState};
//! use vidtok_torch::ParamPath;
//!
//! let config = ArchConfig {
//!     causality: Causality::V1_0,
//!     ch: 8,
//!     ch_mult: vec![1, 2],
//!     num_res_blocks: 1,
//!     spatial_down: vec![0],
//!     spatial_up: vec![1],
//!     temporal_down: vec![0],
//!     temporal_up: vec![1],
//!     patch: Patch::default(),
//!     resample: Resample::default(),
//!     middle: true,
//!     linear: false,
//!     decoder: None,
//! };
//! config.validate()?;
//! let root = ParamPath::fresh(Device::Cpu);
//! let encoder = Encoder::new(&root.sub("encoder"), &config, 4);
//!
//! let video = Tensor::zeros([1, 3, 4, 16, 16], (Kind::Float, Device::Cpu));
//! let encoded = encoder.forward(&video, &mut StreamState::whole_clip())?;
//! assert_eq!(encoded.size(), [1, 4, 2, 8, 8]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
mod causality;
mod config;
mod decoder;
mod encoder;
mod klt;
mod layer;
mod linear;
mod memory;
mod network;
mod patch;
mod stream;

pub use blocks::resample::Resample;
pub use causality::Causality;
pub use config::{ArchConfig, ArchError, DecoderConfig};
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use klt::{Klt, KltFit};
pub use memory::footprint::Footprint;
pub use patch::{Patch, PatchTransform};
pub use stream::error::StreamError;
pub use stream::state::StreamState;
