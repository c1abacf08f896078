//! What can go wrong in training.

use std::io;
use std::path::PathBuf;

use vidtok_core::{MetricError, VideoError};
use vidtok_data::{DatasetError, LoadError};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The `[train]` table is missing or wrong.
    #[error("[train]: {message}")]
    Config {
        /// What is wrong.
        message: String,
    },
    /// The model cannot be built, run or written.
    #[error(transparent)]
    Model(#[from] vidtok::Error),
    /// The list of videos cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Clips cannot be made.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A video cannot be read or written.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// A metric is not defined for the clips.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// A file of the run cannot be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The loss or the gradients are no finite numbers.
    #[error(
        "step {step}: the loss is {loss} and the norm of the gradients {gradient_norm}; a lower learning rate may help"
    )]
    NotFinite {
        /// The step, from 0.
        step: u64,
        /// The loss.
        loss: f64,
        /// The norm.
        gradient_norm: f64,
    },
}
