//! What can go wrong with an evaluation.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;

use tch::TchError;
use vidtok_core::{CodecError, MetricError, VideoError};
use vidtok_data::DatasetError;
use vidtok_report::ReportError;
use vidtok_torch::TensorFileError;

/// An evaluation cannot be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A text names no codec.
    #[error("{text:?} is no codec: expected {}", crate::spec::FORMS)]
    Spec {
        /// The text.
        text: String,
    },
    /// A setting makes no sense.
    #[error("{what}: expected {expected}, found {found}")]
    Setting {
        /// What it belongs to.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// Two codecs have one name.
    #[error("two codecs are called {name:?}; give one of them another name (NAME=...)")]
    SameName {
        /// The name.
        name: String,
    },
    /// Results of another evaluation are in the folder.
    #[error("{}: holds an evaluation with another {what}; take another folder", path.display())]
    OtherEvaluation {
        /// The folder.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// None of the videos could be measured.
    #[error("none of the {videos} videos can be measured; the first: {reason}")]
    NoVideos {
        /// How many there are.
        videos: usize,
        /// What is wrong with the first.
        reason: String,
    },
    /// A metric of a video, or of all, is NaN or infinite.
    #[error("{of}: {metric} is {value}, which is no result")]
    NotFinite {
        /// What was measured.
        of: String,
        /// The metric.
        metric: &'static str,
        /// Its value.
        value: f64,
    },
    /// The work was stopped from outside; what is done stays.
    #[error("the evaluation was stopped")]
    Stopped,
    /// No TorchScript.
    #[error("{}: no TorchScript: {source}", path.display())]
    TorchScript {
        /// The file.
        path: PathBuf,
        /// What libtorch says.
        source: TchError,
    },
    /// Weights of a metric cannot be had.
    #[error(transparent)]
    Weights(#[from] vidtok_metrics::WeightsError),
    /// A codec failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A metric is not defined.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// A video of the data cannot be read.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// A video for the page cannot be written.
    #[error(transparent)]
    Player(VideoError),
    /// There is no list of videos.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A file of tensors cannot be read or written.
    #[error(transparent)]
    TensorFile(#[from] TensorFileError),
    /// The page cannot be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
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
