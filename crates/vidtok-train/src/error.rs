//! What can go wrong in training.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use vidtok_core::{MetricError, VideoError};
use vidtok_data::{DatasetError, LoadError};
use vidtok_metrics::WeightsError;
use vidtok_report::ReportError;
use vidtok_torch::{ProcessGroupError, panic_message};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The configuration's name cannot be a folder's.
    #[error("the configuration's name is {name:?}: the run's folder is called so, so it must {needed}")]
    Name {
        /// The name, or how it starts.
        name: String,
        /// What is needed.
        needed: String,
    },
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
    /// A saved state is not whole.
    #[error("{}: the state is damaged: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A whole file is no state, or that of another model or other losses.
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
        path.display(),
        in_bytes(*free),
        in_bytes(*needed)
    )]
    Full {
        /// Where they would lie.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// There is no memory for a batch of clips.
    #[error(
        "[train]: batches of {clips} clips of {frames} frames of {}x{} take {} in each process, and {} of memory are free; \
         lower batch_size, data.frames or data.size",
        size[0],
        size[1],
        in_bytes(*needed),
        in_bytes(*free)
    )]
    Memory {
        /// Clips of this process.
        clips: usize,
        /// Frames of each.
        frames: usize,
        /// Their height and width.
        size: [i64; 2],
        /// Bytes that they take.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The processes of a run would not minimise the same loss.
    #[error("LPIPS has been fetched where some of the processes run and not where others do")]
    LpipsOfSome,
    /// The processes of a run have lost each other.
    #[error(transparent)]
    Processes(#[from] ProcessGroupError),
    /// libtorch has failed, for lack of memory mostly.
    #[error("{place}: {message}")]
    Failed {
        /// What was being done, or where.
        place: String,
        /// What libtorch says, and which process says so if there are several.
        message: String,
    },
    /// A run has failed in the middle, and can be taken up again.
    #[error("{source}; to go on from the last state: vidtok train --resume {}", run.display())]
    Interrupted {
        /// The run's folder.
        run: PathBuf,
        /// What has happened.
        source: Box<TrainError>,
    },
    /// Another process trains in the run's folder.
    #[error("{}: another process is training in this folder; it must end before another one goes on", run.display())]
    InUse {
        /// The run's folder.
        run: PathBuf,
    },
    /// Too often in a row the loss or the gradients were no finite numbers.
    #[error(
        "step {step}: {steps} steps in a row were skipped for numbers that are not finite (in the last one {} on {}); a \
         lower learning rate may help",
        named(faults),
        some_of(clips)
    )]
    NotFinite {
        /// The step, from 0.
        step: u64,
        /// Steps in a row.
        steps: u64,
        /// Those of the last step that are not finite, by their names in a [`StepReport`](crate::StepReport).
        faults: Vec<(&'static str, f64)>,
        /// The clips of the step.
        clips: Vec<String>,
    },
}

/// A number of bytes for people.
fn in_bytes(bytes: u64) -> String {
    match bytes {
        0..10_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// Numbers with their names.
pub(crate) fn named(numbers: &[(&str, f64)]) -> String {
    numbers.iter().map(|(name, value)| format!("{name} is {value}")).collect::<Vec<_>>().join(", ")
}

/// The first of these clips.
pub(crate) fn some_of(clips: &[String]) -> String {
    const NAMED: usize = 8;
    let more = clips.len().saturating_sub(NAMED);
    let named = clips.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// What `work` returns, or an error with what it panicked with: libtorch's functions panic where they fail. `place` says
/// what was being done.
pub(crate) fn caught<T>(place: String, work: impl FnOnce() -> Result<T, TrainError>) -> Result<T, TrainError> {
    let failed = |panic: Box<dyn Any + Send>| TrainError::Failed { place, message: panic_message(panic.as_ref()) };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(failed(panic)))
}

impl TrainError {
    /// What the system said of a file.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}
