//! Errors of an evaluation.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;

use tch::TchError;
use vidtok_core::{CodecError, MetricError, VideoError};
use vidtok_data::DatasetError;
use vidtok_report::ReportError;
use vidtok_torch::TensorFileError;

/// The forms of a [`CodecSpec`](crate::CodecSpec).
const FORMS: &str = "a model file, identity, jpeg:QUALITY, h264:KILOBITSk, down:TIMExSPACE, klt:COEFFICIENTS or torchscript:ENCODER,DECODER";

/// An evaluation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A text does not name a codec.
    #[error("{text:?} is not a codec: expected {}", FORMS)]
    Spec {
        /// The text.
        text: String,
    },
    /// A setting is invalid.
    #[error("{what}: expected {expected}, found {found}")]
    Setting {
        /// The codec that it belongs to.
        what: &'static str,
        /// The valid settings.
        expected: &'static str,
        /// The setting.
        found: String,
    },
    /// Two codecs have the same name.
    #[error("two codecs have the name {name:?}; name one of them differently (NAME=MODEL)")]
    SameName {
        /// The name.
        name: String,
    },
    /// The folder holds the results of another evaluation.
    #[error("{}: holds an evaluation with another {what}; choose another folder", path.display())]
    OtherEvaluation {
        /// The folder.
        path: PathBuf,
        /// The difference.
        what: String,
    },
    /// No video could be measured.
    #[error("none of the {videos} videos could be measured; the first one failed: {reason}")]
    NoVideos {
        /// The number of videos.
        videos: usize,
        /// Why the first one failed.
        reason: String,
    },
    /// A metric is NaN or infinite.
    #[error("{of}: {metric} is {value}, expected a finite number")]
    NotFinite {
        /// The video, or the codec, that was measured.
        of: String,
        /// The metric.
        metric: &'static str,
        /// The value of the metric.
        value: f64,
    },
    /// The evaluation was stopped from outside; the next one resumes from its results.
    #[error("the evaluation was stopped")]
    Stopped,
    /// A file is not TorchScript.
    #[error("{}: not a TorchScript file: {source}", path.display())]
    TorchScript {
        /// The file.
        path: PathBuf,
        /// The error from libtorch.
        source: TchError,
    },
    /// The weights of a metric are missing or unusable.
    #[error(transparent)]
    Weights(#[from] vidtok_metrics::WeightsError),
    /// A codec failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A metric is not defined for the frames.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// An input video cannot be read.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// A player for the page cannot be written.
    #[error(transparent)]
    Player(VideoError),
    /// The list of videos cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A tensor file cannot be read or written.
    #[error(transparent)]
    TensorFile(#[from] TensorFileError),
    /// The page cannot be created.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error from the system.
        source: io::Error,
    },
}

impl EvalError {
    pub(crate) fn setting(what: &'static str, expected: &'static str, found: impl Display) -> Self {
        Self::Setting { what, expected, found: found.to_string() }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
