//! A training run from its configuration to its results, stage by stage.
//!
//! A run can end at any moment and be resumed: everything that a step depends on is in the last state or in the
//! configuration, or follows from the seed and the step. A stage is finished when its summary exists.
//!
//! If several processes train together, rank 0 is the leader: it writes the files, reports to the observer, and sends its
//! state to the others. The number of processes may change when a run is resumed.

pub(crate) mod checkpoints;
pub(crate) mod clips;
pub(crate) mod folder;
pub(crate) mod lpips;
pub(crate) mod more_steps;
pub(crate) mod observer;
pub(crate) mod options;
pub(crate) mod plan;
pub(crate) mod records;
pub(crate) mod stage;
pub(crate) mod summary;
pub(crate) mod validation;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tch::Tensor;
use vidtok::Config;
use vidtok_core::WorldRank;
use vidtok_data::LoadError;

use crate::config::stages::Stage;
use crate::error::{TrainError, caught};
use crate::run::folder::{RunFolder, checked_name};
use crate::run::observer::Observer;
use crate::run::options::RunOptions;
use crate::run::stage::{Ended, StageRun};
use crate::run::summary::TrainingSummary;

/// Trains a model as `config` says, stage by stage; the run's folder is created in `runs`.
///
/// # Errors
/// If the configuration is invalid, no video can be read, a file cannot be written, or too many steps in a row are
/// skipped.
pub fn train(
    config: &Config,
    runs: &Path,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<TrainingSummary, TrainError> {
    let first = check_processes(config, options.rank().world_size)?.swap_remove(0).name; // before anything is created
    let (folder, config) = agree(options, || Ok((RunFolder::create(runs, config)?, config.clone())))?;
    let result = run(&folder, &config, options, observer);
    if result.is_err() && options.leads() {
        folder.discard_unless_started(first.as_deref());
    }
    result
}

/// Resumes a stopped or killed run from its last state; for a finished run it returns the summary again, unless
/// `overrides` add steps.
///
/// Overrides (`train.steps=N`, `train.stages.NAME.steps=N`) may change only numbers of steps. From then on learning
/// rates follow the schedule over the new number; steps already taken are not repeated.
///
/// # Errors
/// If `folder` is not the folder of a run, another process is training in it, `overrides` change anything else or a stage
/// from which the next one has started, or as for [`train`].
pub fn resume(
    folder: &Path,
    overrides: &[String],
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<TrainingSummary, TrainError> {
    let open = || {
        let (folder, config) = RunFolder::open(folder)?;
        let (config, differing) = more_steps::changed(&folder, &config, overrides)?;
        more_steps::store(&folder, &config, &differing)?;
        Ok((folder, config))
    };
    let (folder, config) = agree(options, open)?;
    run(&folder, &config, options, observer)
}

/// Checks that `count` processes could resume a run.
///
/// # Errors
/// The errors of [`resume`] that can be known in advance.
pub fn check_resume(folder: &Path, overrides: &[String], count: usize) -> Result<(), TrainError> {
    let (folder, config) = RunFolder::open(folder)?;
    let (config, _) = more_steps::changed(&folder, &config, overrides)?;
    stages(&config, count).map(drop)
}

/// Creates or opens the run in the leader, and sends its folder and configuration to the other processes.
fn agree(
    options: &RunOptions,
    open: impl FnOnce() -> Result<(RunFolder, Config), TrainError>,
) -> Result<(RunFolder, Config), TrainError> {
    let Some(group) = &options.group else { return open() };
    let own = if options.leads() { Some(open()?) } else { None };
    let (path, text) = match &own {
        Some((folder, config)) => (folder.path().as_os_str().as_bytes().to_vec(), config.to_toml()?),
        None => Default::default(),
    };
    let path = group.broadcast_bytes(&path)?;
    let text = group.broadcast_bytes(text.as_bytes())?;
    match own {
        Some(own) => Ok(own),
        None => {
            let config = Config::parse(&String::from_utf8_lossy(&text))?;
            Ok((RunFolder::at(Path::new(OsStr::from_bytes(&path))), config))
        }
    }
}

/// The stages of a run, whose batches must divide evenly among `count` processes.
fn stages(config: &Config, count: usize) -> Result<Vec<Stage>, TrainError> {
    let (stages, rank) = (Stage::all(config)?, WorldRank { rank: 0, world_size: count });
    match stages.iter().map(|stage| stage.config.batch_size).find(|&batch| rank.of(batch).is_none()) {
        Some(batch) => Err(LoadError::UnevenBatch { batch, processes: count }.into()),
        None => Ok(stages),
    }
}

/// The stages of a run, checked to be trainable by `count` processes.
///
/// # Errors
/// If the configuration is invalid, or its batches do not divide evenly among the processes.
pub fn check_processes(config: &Config, count: usize) -> Result<Vec<Stage>, TrainError> {
    checked_name(config)?;
    stages(config, count)
}

fn run(
    folder: &RunFolder,
    config: &Config,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<TrainingSummary, TrainError> {
    // Errors after the start, from which the run can be resumed.
    let interrupted = |error| match error {
        TrainError::Processes(_) | TrainError::Failed { .. } => {
            TrainError::Interrupted { run: folder.path().to_owned(), source: Box::new(error) }
        }
        other => other,
    };
    if options.leads() && folder.is_unlocked() {
        let run = folder.path().display();
        observer.warned(&format!(
            "{run}: the file system does not support locks; do not let another process train in this folder"
        ));
    }
    let path = || folder.path().display().to_string();
    let mut summary =
        TrainingSummary { folder: folder.path().to_owned(), stages: Vec::new(), stopped: false, ended_before: true };
    for stage in stages(config, options.rank().world_size)? {
        let name = stage.name.as_deref();
        let files = if options.leads() { folder.stage(name)? } else { folder.stage_elsewhere(name) };
        let before = summary.stages.last().map(|stage| stage.state.clone());
        let done = if options.leads() { records::read_summary(&files)? } else { None };
        if broadcast_from_leader(options, done.is_some())? {
            summary.stages.extend(done);
            continue;
        }
        summary.ended_before = false;
        let run = match caught(path(), || StageRun::open(config, &stage, files, before, options, observer)) {
            // Nothing has been done yet; the signal that stopped us may have stopped ffmpeg too.
            Err(_) if options.is_stopped() => return Ok(TrainingSummary { stopped: true, ..summary }),
            opened => opened?,
        };
        let ended = caught(path(), || run.run(observer)).map_err(interrupted)?;
        let finished = broadcast_from_leader(options, matches!(ended, Ended::Finished(_))).map_err(interrupted)?;
        if !finished {
            summary.stopped = true;
            break;
        }
        if let Ended::Finished(done) = ended {
            summary.stages.extend(done.map(|done| *done));
        }
    }
    wait_for_leader(options)?;
    Ok(summary)
}

/// Keeps all processes alive until the leader has finished: it may still need their connections.
fn wait_for_leader(options: &RunOptions) -> Result<(), TrainError> {
    broadcast_from_leader(options, true).map(|_| ())
}

/// Returns the leader's `value` in all processes.
fn broadcast_from_leader(options: &RunOptions, value: bool) -> Result<bool, TrainError> {
    let Some(group) = &options.group else { return Ok(value) };
    let value = Tensor::from(value).to_device(options.device);
    group.broadcast(&value)?;
    Ok(value.int64_value(&[]) != 0)
}
