//! A training run from its configuration to its results, stage by stage.
//!
//! A run can be ended at any moment and taken up again: everything that a step depends on is in the last state, the
//! configuration, or follows from the seed and the step. A stage is over when its summary stands.
//!
//! Where several processes share a run, the first of them keeps its files and is the one that is heard; it tells the others
//! what to go on from. Their number may change whenever a run goes on.

pub(crate) mod checkpoints;
pub(crate) mod data;
pub(crate) mod folder;
pub(crate) mod more_steps;
pub(crate) mod plan;
pub(crate) mod records;
pub(crate) mod stage;
pub(crate) mod validation;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};
use vidtok::Config;
use vidtok_core::{ProcessGroup, WorldRank};
use vidtok_data::LoadError;
use vidtok_torch::C10dProcessGroup;

use crate::config::stages::Stage;
use crate::error::TrainError;
use crate::error::caught;
use crate::run::folder::{RunFolder, checked_name};
use crate::run::stage::{Ended, StageRun};
use crate::run::validation::{Scores, Validation};
use crate::step::report::StepReport;

/// Hears what happens in a run.
pub trait Observer {
    /// A stage begins, or goes on.
    fn started(&mut self, start: &Start);

    /// A step was taken; `waiting` is the share of its time that was spent waiting for clips.
    fn stepped(&mut self, report: &StepReport, waiting: f64);

    /// The model was measured.
    fn validated(&mut self, validation: &Validation);

    /// Something takes a while that is no step.
    fn busy(&mut self, what: &str);

    /// Something is not as it should be, and the run goes on.
    fn warned(&mut self, message: &str);
}

/// How a run is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where to compute.
    pub device: Device,
    /// Once it is set, the run finishes the step that it is in, saves its state and ends; it waits neither for clips nor for
    /// the end of a validation. In one process it is set for all.
    pub stop: Arc<AtomicBool>,
    /// The processes that share the run; each makes the same call.
    pub group: Option<Rc<C10dProcessGroup>>,
}

impl RunOptions {
    /// Whether this process keeps the files: it is alone, or the first.
    pub(crate) fn leads(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.rank() == 0)
    }

    /// Whether this process was told to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Which part of each batch is this process's.
    pub(crate) fn share(&self) -> WorldRank {
        self.group
            .as_ref()
            .map_or(WorldRank::SINGLE, |group| WorldRank { rank: group.rank(), world_size: group.world_size() })
    }

    /// The mean over all processes of a number that each has.
    pub(crate) fn mean(&self, number: f64) -> Result<f64, TrainError> {
        match &self.group {
            Some(group) => Ok(group.try_mean(&Tensor::from(number))?.double_value(&[])),
            None => Ok(number),
        }
    }
}

/// What is known of a stage at its start.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Its folder.
    pub folder: PathBuf,
    /// Its name, if the run has stages.
    pub stage: Option<String>,
    /// Steps taken before.
    pub step: u64,
    /// Steps to take in all.
    pub steps: u64,
    /// Clips in a step.
    pub clips: u64,
    /// Processes that share it.
    pub processes: usize,
    /// Numbers that are trained.
    pub parameters: i64,
    /// Videos, or scenes.
    pub videos: usize,
    /// Whether procedural scenes stand in for a folder that does not exist.
    pub stand_in: bool,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingSummary {
    /// Its folder.
    pub folder: PathBuf,
    /// Its finished stages.
    pub stages: Vec<StageSummary>,
    /// Whether it was stopped before its end.
    pub stopped: bool,
    /// Whether it had ended before this call, which has taken no step then.
    pub ended_before: bool,
}

/// What came of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageSummary {
    /// Its name, if the run has stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The model before its first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Scores>,
    /// The model after its last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Scores>,
    /// The moving averages after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ema: Option<Scores>,
    /// Steps that changed nothing, because a number was not finite.
    pub skipped: u64,
    /// The trained one-file model.
    pub model: PathBuf,
    /// The state after the last step, which is one too, with everything that belongs to training.
    pub state: PathBuf,
    /// Clips beside their reconstructions.
    pub pictures: PathBuf,
    /// The course of the numbers.
    pub curves: PathBuf,
    /// A clip beside its reconstruction, moving.
    pub video: PathBuf,
}

/// Trains a model as `config` says, stage by stage; the run's folder is made below `runs`.
///
/// # Errors
/// If the configuration is wrong, no video can be read, a file cannot be written, or too many steps in a row had to be
/// skipped.
pub fn train(
    config: &Config,
    runs: &Path,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<TrainingSummary, TrainError> {
    let first = check_processes(config, options.share().world_size)?.swap_remove(0).name; // before anything is made
    let (folder, config) = agree(options, || Ok((RunFolder::create(runs, config)?, config.clone())))?;
    let result = run(&folder, &config, options, observer);
    if result.is_err() && options.leads() {
        folder.discard_unless_begun(first.as_deref());
    }
    result
}

/// Goes on with an ended or killed run where its last state stands; a finished one gives its summary again, unless
/// `overrides` have more steps for it.
///
/// Overrides (`train.steps=N`, `train.stages.NAME.steps=N`) may change nothing but numbers of steps. The steps to come are
/// those of a run that had the new number from the start and stands at the same state: their learning rates follow the
/// schedule over the new number.
///
/// # Errors
/// If `folder` is no run's, another process trains in it, `overrides` change anything else or a stage that others have
/// begun from, or as for [`train`].
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

/// Makes sure that a run can be taken up by `count` processes, and by no others meanwhile.
///
/// # Errors
/// As for [`resume`], of what can be known beforehand.
pub fn check_resume(folder: &Path, overrides: &[String], count: usize) -> Result<(), TrainError> {
    let (folder, config) = RunFolder::open(folder)?;
    let (config, _) = more_steps::changed(&folder, &config, overrides)?;
    stages(&config, count).map(drop)
}

/// What the first process makes or finds is the run of all.
fn agree(
    options: &RunOptions,
    first: impl FnOnce() -> Result<(RunFolder, Config), TrainError>,
) -> Result<(RunFolder, Config), TrainError> {
    let Some(group) = &options.group else { return first() };
    let own = if options.leads() { Some(first()?) } else { None };
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

/// The stages, of whose batches each of so many processes can have an equal part.
fn stages(config: &Config, count: usize) -> Result<Vec<Stage>, TrainError> {
    let (stages, share) = (Stage::all(config)?, WorldRank { rank: 0, world_size: count });
    match stages.iter().map(|stage| stage.config.batch_size).find(|&batch| share.of(batch).is_none()) {
        Some(batch) => Err(LoadError::UnevenBatch { batch, processes: count }.into()),
        None => Ok(stages),
    }
}

/// The stages of a run that `count` processes can begin.
///
/// # Errors
/// If they cannot share its batches, or the configuration is wrong.
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
    // From a run that has begun.
    let interrupted = |error| match error {
        TrainError::Processes(_) | TrainError::Failed { .. } => {
            TrainError::Interrupted { run: folder.path().to_owned(), source: Box::new(error) }
        }
        other => other,
    };
    if options.leads() && folder.is_unlocked() {
        let run = folder.path().display();
        observer.warned(&format!("{run}: its file system knows no locks; nothing keeps other processes out of it"));
    }
    let path = || folder.path().display().to_string();
    let mut summary =
        TrainingSummary { folder: folder.path().to_owned(), stages: Vec::new(), stopped: false, ended_before: true };
    for stage in stages(config, options.share().world_size)? {
        let name = stage.name.as_deref();
        let files = if options.leads() { folder.stage(name)? } else { folder.stage_elsewhere(name) };
        let before = summary.stages.last().map(|stage| stage.state.clone());
        let done = if options.leads() { records::read_summary(&files)? } else { None };
        if said_by_first(options, done.is_some())? {
            summary.stages.extend(done);
            continue;
        }
        summary.ended_before = false;
        let run = match caught(path(), || StageRun::open(config, &stage, files, before, options, observer)) {
            // Nothing has been done yet, and what was waited for may have been taken away.
            Err(_) if options.is_stopped() => return Ok(TrainingSummary { stopped: true, ..summary }),
            opened => opened?,
        };
        let ended = caught(path(), || run.run(observer)).map_err(interrupted)?;
        let finished = said_by_first(options, matches!(ended, Ended::Finished(_))).map_err(interrupted)?;
        if !finished {
            summary.stopped = true;
            break;
        }
        if let Ended::Finished(done) = ended {
            summary.stages.extend(done.map(|done| *done));
        }
    }
    wait_for_first(options)?;
    Ok(summary)
}

/// Nobody leaves while another still needs him.
fn wait_for_first(options: &RunOptions) -> Result<(), TrainError> {
    said_by_first(options, true).map(|_| ())
}

/// The first process's `word`, for all.
fn said_by_first(options: &RunOptions, word: bool) -> Result<bool, TrainError> {
    let Some(group) = &options.group else { return Ok(word) };
    let said = Tensor::from(word).to_device(options.device);
    group.broadcast(&said)?;
    Ok(said.int64_value(&[]) != 0)
}
