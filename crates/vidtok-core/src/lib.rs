//! The traits and plain data types that the VidTok crates share. No networks live here.
//!
//! Public tensors of the project are `[b, c, t, h, w]`: batch, channel, time, height, width; pixels are in [-1, 1]
//! unless a name says otherwise.
//!
//! ```
//! use vidtok_core::FrameRate;
//!
//! let ntsc: FrameRate = "30000/1001".parse()?;
//! assert!((ntsc.as_f64() - 29.97).abs() < 1e-3);
//! # Ok::<(), vidtok_core::ParseFrameRateError>(())
//! ```

mod claim;
mod codec;
mod deps;
mod error;
mod files;
mod frame_times;
mod launch;
mod loss;
mod metric;
mod peers;
mod pixel_aspect;
mod quantizer;
mod video;

pub use claim::Claim;
pub use codec::{Codec, CodecError, Reconstructed, Reconstructor};
pub use deps::fetched;
pub use error::VideoError;
pub use files::{remove_partial, remove_temporary, temporary_beside, write_atomically};
pub use frame_times::{FrameTimes, FrameTimesError};
pub use launch::{Launch, LaunchError, Rendezvous};
pub use loss::{Differentiated, Loss};
pub use metric::{Metric, MetricError};
pub use peers::{Alone, Peers, Share};
pub use pixel_aspect::{ParsePixelAspectError, PixelAspect};
pub use quantizer::{Quantized, Quantizer, Regularized};
pub use video::{FrameRate, FrameSink, FrameSource, ParseFrameRateError, VideoInfo};
