//! Evaluation of video tokenizers, and of other codecs beside them, under a recorded protocol.
//!
//! [`evaluate`] runs [`Codec`](vidtok_core::Codec)s over a folder of videos: tokenizers, classical codecs, TorchScript
//! pairs ([`CodecSpec`]). It stores the results of each video, so that a stopped evaluation resumes. [`Evaluation`] holds
//! the summary and writes it as JSON, CSV and an HTML page.

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
pub use codecs::klt::Klt;
pub use codecs::torch_script::TorchScript;
pub use error::EvalError;
pub use protocol::Protocol;
pub use results::{CodebookSummary, CodecSummary, Evaluation, SkippedVideo, Stamp, VideoSummary};
pub use run::{EvaluateOptions, EvaluationProgress, evaluate};
pub use spec::CodecSpec;
pub use vidtok_metrics::MetricKind;
