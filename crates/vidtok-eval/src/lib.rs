//! Evaluation of video tokenizers, and of anything else that makes less of videos, with a stamped protocol.
//!
//! [`evaluate`] runs [`Codec`](vidtok_core::Codec)s over a folder of videos: tokenizers, classical encoders,
//! TorchScript pairs ([`CodecSpec`]). What it measured of each video is kept, so a run that was stopped goes on.
//! [`Evaluation`] sums it up, as JSON, CSV, and a page to look at.

mod codecs;
mod error;
mod protocol;
mod results;
mod run;
mod spec;

pub use codecs::downsample::Downsample;
pub use codecs::h264::H264;
pub use codecs::identity::Identity;
pub use codecs::jpeg::Jpeg;
pub use codecs::torch_script::TorchScript;
pub use error::EvalError;
pub use protocol::Protocol;
pub use results::video::Measured;
pub use results::{CodebookSummary, CodecSummary, Evaluation, Stamp, Unmeasured, VideoSummary};
pub use run::metric_set::{InstrumentSet, Instruments, Measures, MetricKind};
pub use run::{EvaluateOptions, EvaluationProgress, evaluate};
pub use spec::CodecSpec;
