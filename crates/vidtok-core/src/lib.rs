//! The traits and plain data types that the VidTok crates share: [`Quantizer`], [`Codec`], [`Loss`], [`Metric`],
//! [`FrameSource`] and [`FrameSink`], [`ProcessGroup`]. It contains no networks.
//!
//! Public tensors of the project are `[b, c, t, h, w]`: batch, channel, time, height, width. Pixels are in [-1, 1]
//! unless the documentation says otherwise.
//!
//! ```
//! use vidtok_core::FrameRate;
//!
//! let ntsc: FrameRate = "30000/1001".parse()?;
//! assert!((ntsc.as_f64() - 29.97).abs() < 1e-3);
//! # Ok::<(), vidtok_core::ParseFrameRateError>(())
//! ```

mod bytes;
mod codec;
mod distributed;
mod files;
mod loss;
mod metric;
mod one_line;
mod quantizer;
mod video;

pub use bytes::Bytes;
pub use codec::{Codec, CodecError, Reconstructed, Reconstructor};
pub use distributed::launch::{Launch, LaunchError, Rendezvous};
pub use distributed::process_group::{ProcessGroup, SingleProcess, WorldRank};
pub use files::claim::Claim;
pub use files::fetched::fetched;
pub use files::{remove_partial, remove_temporary, temporary_beside, write_atomically};
pub use loss::{Differentiated, Loss};
pub use metric::{Metric, MetricError, Samples};
pub use one_line::one_line;
pub use quantizer::{Quantized, Quantizer, Regularized};
pub use video::error::VideoError;
pub use video::frame_times::{FrameTimes, FrameTimesError};
pub use video::pixel_aspect::{ParsePixelAspectError, PixelAspect};
pub use video::pixels::{to_frames, to_model_range};
pub use video::tensor_bytes::tensor_from_bytes;
pub use video::{FrameRate, FrameSink, FrameSource, ParseFrameRateError, VideoInfo};
