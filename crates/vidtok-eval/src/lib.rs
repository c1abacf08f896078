//! Evaluation of video tokenizers, and of anything else that makes less of videos, with a stamped protocol.
//!
//! [`evaluate`] runs [`Codec`](vidtok_core::Codec)s over a folder of videos: tokenizers, classical encoders,
//! TorchScript pairs ([`CodecSpec`]). What it measured of each video is kept, so a run that was stopped goes on.
//! [`Evaluation`] sums it up, as JSON, CSV, and a page to look at.

mod codecs;
mod error;
mod evaluation;
mod instruments;
mod measured;
mod page;
mod part;
mod protocol;
mod run;
mod spec;

pub use codecs::{Downsample, H264, Identity, Jpeg, TorchScript};
pub use error::EvalError;
pub use evaluation::{CodebookSummary, CodecSummary, Evaluation, Stamp, Unmeasured, VideoSummary};
pub use instruments::{InstrumentSet, Instruments, Measures, MetricKind};
pub use measured::Measured;
pub use protocol::Protocol;
pub use run::{EvaluateOptions, Progress, evaluate};
pub use spec::CodecSpec;
