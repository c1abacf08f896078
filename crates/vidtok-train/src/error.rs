//! What can go wrong in training.

use std::io;
use std::path::{Path, PathBuf};

use vidtok_core::{Bytes, MetricError, VideoError};
use vidtok_data::{DatasetError, LoadError};
use vidtok_metrics::WeightsError;
use vidtok_report::ReportError;
use vidtok_torch::ProcessGroupError;

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
    /// A recipe is wrong.
    #[error("{}: {message}", path.display())]
    Recipe {
        /// The file.
        path: PathBuf,
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
    /// A picture cannot be drawn or written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file of the run cannot be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The weights of LPIPS cannot be read.
    #[error(transparent)]
    Lpips(#[from] WeightsError),
    /// A saved state cannot be gone on from.
    #[error("{}: {message}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// There is no room for the states to come.
    #[error(
        "{}: {} are free, and the states of this run need up to {} more",
        path.display(), Bytes(*free).rounded_down(), Bytes(*needed).rounded_up()
    )]
    Full {
        /// Where they would lie.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// The processes of a run would not minimise the same loss.
    #[error("LPIPS has been fetched where some of the processes run and not where others do")]
    LpipsOfSome,
    /// The processes of a run have lost each other.
    #[error(transparent)]
    Processes(#[from] ProcessGroupError),
    /// They have lost each other in the middle of a run.
    #[error("{source}; to go on from the last state: vidtok train --resume {}", run.display())]
    Interrupted {
        /// The run's folder.
        run: PathBuf,
        /// What has happened.
        source: ProcessGroupError,
    },
    /// Too often in a row the loss or the gradients were no finite numbers.
    #[error(
        "step {step}: {steps} steps in a row have given numbers that are not finite (the last a loss of {loss} and \
         gradients of norm {gradient_norm}, on {}); a lower learning rate may help",
        clips.join(", ")
    )]
    NotFinite {
        /// The step, from 0.
        step: u64,
        /// Steps in a row.
        steps: u64,
        /// The loss.
        loss: f64,
        /// The norm.
        gradient_norm: f64,
        /// The clips of the step.
        clips: Vec<String>,
    },
}

impl TrainError {
    /// What the system said of a file.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_lacks_is_told_in_units_that_show_it() {
        let said = |free, needed| TrainError::Full { path: "runs".into(), free, needed }.to_string();
        let states = "the states of this run need up to";
        assert_eq!(said(0, 600_000), format!("runs: 0 B are free, and {states} 586 KiB more"));
        assert_eq!(said((3 << 20) + 9, (3 << 20) + 10), format!("runs: 3 MiB are free, and {states} 4 MiB more"));
    }
}
