//! Errors of training.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use vidtok_core::{Bytes, MetricError, VideoError};
use vidtok_data::{DatasetError, LoadError};
use vidtok_metrics::WeightsError;
use vidtok_report::ReportError;
use vidtok_torch::{ProcessGroupError, panic_message};

/// Training failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The configuration's name cannot be the name of a folder.
    #[error("the configuration's name is {name:?}: as the name of the run's folder, it must {needed}")]
    Name {
        /// The name, or its beginning.
        name: String,
        /// The requirement that it violates.
        needed: String,
    },
    /// The `[train]` table is missing or invalid.
    #[error("[train]: {message}")]
    Config {
        /// The problem.
        message: String,
    },
    /// A recipe is invalid.
    #[error("{}: {message}", path.display())]
    Recipe {
        /// The file.
        path: PathBuf,
        /// The problem.
        message: String,
    },
    /// The model cannot be built, run or saved.
    #[error(transparent)]
    Model(#[from] vidtok::Error),
    /// The list of videos cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Clips cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A video cannot be read or written.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// A metric is not defined for the clips.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// An image cannot be drawn or written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file of the run cannot be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error from the system.
        source: io::Error,
    },
    /// The weights of LPIPS are missing or cannot be read.
    #[error(transparent)]
    Lpips(#[from] WeightsError),
    /// A saved state is damaged.
    #[error("{}: the state is damaged: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem.
        message: String,
    },
    /// An intact file is not a state, or belongs to another model or to other losses.
    #[error("{}: {message}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// The problem.
        message: String,
    },
    /// The teacher does not fit the model in training.
    #[error("the teacher {}: {message}", path.display())]
    Teacher {
        /// The teacher's file.
        path: PathBuf,
        /// The problem.
        message: String,
    },
    /// The disk has no room for the states to come.
    #[error(
        "{}: {} free, but the states of this run need up to {} more",
        path.display(),
        Bytes(*free).rounded_down(),
        Bytes(*needed).rounded_up()
    )]
    Full {
        /// The folder of the states.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// Required bytes.
        needed: u64,
    },
    /// A batch of clips does not fit into memory.
    #[error(
        "[train]: batches of {clips} clips of {frames} frames of {}x{} need {} in each process, but only {} of memory is free; \
         lower batch_size, data.frames or data.size",
        size[0],
        size[1],
        Bytes(*needed).rounded_up(),
        Bytes(*free).rounded_down()
    )]
    Memory {
        /// Clips per process.
        clips: usize,
        /// Frames per clip.
        frames: usize,
        /// Height and width of the clips.
        size: [i64; 2],
        /// Required bytes.
        needed: u64,
        /// Free bytes.
        free: u64,
    },
    /// The processes of a run would minimise different losses.
    #[error("LPIPS was fetched on some of the machines of this run only; run `cargo xtask assets` on all of them")]
    LpipsOnSomeRanks,
    /// The processes of a run lost contact with each other.
    #[error(transparent)]
    Processes(#[from] ProcessGroupError),
    /// libtorch failed, mostly for lack of memory.
    #[error("{context}: {message}")]
    Failed {
        /// The step, or the folder of the run.
        context: String,
        /// The message from libtorch, with the rank of the process if there are several.
        message: String,
    },
    /// A run failed after it had started, and can be resumed.
    #[error("{source}; to resume from the last state: vidtok train --resume {}", run.display())]
    Interrupted {
        /// The run's folder.
        run: PathBuf,
        /// The error.
        source: Box<TrainError>,
    },
    /// Another process is training in the run's folder.
    #[error("{}: another process is training in this folder; wait until it ends", run.display())]
    InUse {
        /// The run's folder.
        run: PathBuf,
    },
    /// Too many steps in a row had a loss or gradients that were not finite.
    #[error(
        "step {step}: {steps} steps in a row were skipped because of numbers that are not finite (in the last one, {} on \
         {}); try a lower learning rate",
        named(faults),
        some_of(clips)
    )]
    NotFinite {
        /// The index of the step, from 0.
        step: u64,
        /// The number of skipped steps in a row.
        steps: u64,
        /// The numbers of the last step that are not finite, by their names in a [`StepReport`](crate::StepReport).
        faults: Vec<(&'static str, f64)>,
        /// The clips of the step.
        clips: Vec<String>,
    },
}

/// Lists numbers with their names.
pub(crate) fn named(numbers: &[(&str, f64)]) -> String {
    numbers.iter().map(|(name, value)| format!("{name} is {value}")).collect::<Vec<_>>().join(", ")
}

/// Lists the first few clips.
pub(crate) fn some_of(clips: &[String]) -> String {
    const LISTED: usize = 8;
    let more = clips.len().saturating_sub(LISTED);
    let named = clips.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// Runs `work` and turns a panic into an error, since libtorch's functions panic on failure. `context` names the work.
pub(crate) fn caught<T>(context: String, work: impl FnOnce() -> Result<T, TrainError>) -> Result<T, TrainError> {
    let failed = |panic: Box<dyn Any + Send>| TrainError::Failed { context, message: panic_message(panic.as_ref()) };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(failed(panic)))
}

impl TrainError {
    /// An error of the file system.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_disk_space_is_reported_in_fitting_units() {
        let message = |free, needed| TrainError::Full { path: "runs".into(), free, needed }.to_string();
        let states = "but the states of this run need up to";
        assert_eq!(message(0, 600_000), format!("runs: 0 B free, {states} 586 KiB more"));
        assert_eq!(message((3 << 20) + 9, (3 << 20) + 10), format!("runs: 3 MiB free, {states} 4 MiB more"));
    }
}
