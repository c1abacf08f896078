//! A training run from its configuration to its results, stage by stage.
//!
//! A run can be ended at any moment and taken up again: everything that a step depends on is in the last state, the
//! configuration, or follows from the seed and the step. A stage is over when its summary stands.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind};
use vidtok::{Config, Tokenizer, Weights};
use vidtok_data::{Ffmpeg, Loader};
use vidtok_metrics::Lpips;

use crate::checkpoints::Checkpoints;
use crate::data::Data;
use crate::log::{Log, LogEntry};
use crate::losses::locate_lpips;
use crate::pictures::Pictures;
use crate::run_folder::{RunFolder, StageFolder};
use crate::{Losses, Quality, Stage, StepReport, TrainConfig, TrainError, Trainer, Validation, Validator};

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
    /// Once it is set, the run finishes its step, saves its state and ends.
    pub stop: Arc<AtomicBool>,
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
    /// Numbers that are trained.
    pub parameters: i64,
    /// Videos, or scenes.
    pub videos: usize,
    /// Whether procedural scenes stand in for a folder that does not exist.
    pub stand_in: bool,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its folder.
    pub folder: PathBuf,
    /// Its finished stages.
    pub stages: Vec<StageSummary>,
    /// Whether it was stopped before its end.
    pub stopped: bool,
}

/// What came of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageSummary {
    /// Its name, if the run has stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The model before its first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Quality>,
    /// The model after its last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Quality>,
    /// The moving averages after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ema: Option<Quality>,
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
) -> Result<Summary, TrainError> {
    let first = Stage::all(config)?.swap_remove(0).name; // before anything is made
    let folder = RunFolder::create(runs, config)?;
    let result = run(&folder, config, options, observer);
    if result.is_err() {
        folder.discard_unless_begun(first.as_deref());
    }
    result
}

/// Goes on with an ended or killed run where its last state stands; a finished one gives its summary again.
///
/// # Errors
/// If `folder` is no run's, or as for [`train`].
pub fn resume(folder: &Path, options: &RunOptions, observer: &mut dyn Observer) -> Result<Summary, TrainError> {
    let (folder, config) = RunFolder::open(folder)?;
    run(&folder, &config, options, observer)
}

fn run(
    folder: &RunFolder,
    config: &Config,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<Summary, TrainError> {
    let mut summary = Summary { folder: folder.path().to_owned(), stages: Vec::new(), stopped: false };
    for stage in Stage::all(config)? {
        let files = folder.stage(stage.name.as_deref())?;
        let before = summary.stages.last().map(|stage| stage.state.clone());
        let done = match read_summary(&files)? {
            Some(done) => Some(done),
            None => StageRun::open(config, &stage, files, before, options, observer)?.run(observer)?,
        };
        match done {
            Some(done) => summary.stages.push(done),
            None => {
                summary.stopped = true;
                break;
            }
        }
    }
    Ok(summary)
}

const SUMMARY: &str = "summary.json";

fn read_summary(files: &StageFolder) -> Result<Option<StageSummary>, TrainError> {
    let path = files.file(SUMMARY);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| TrainError::io(&path, error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TrainError::io(&path, error)),
    }
}

/// A stage that is being run.
struct StageRun<'a> {
    stage: &'a Stage,
    files: StageFolder,
    stop: &'a AtomicBool,
    ffmpeg: Ffmpeg,
    data: Data,
    validator: Validator,
    trainer: Trainer,
    checkpoints: Checkpoints,
    log: Log,
    pictures: Pictures,
}

impl<'a> StageRun<'a> {
    /// Makes everything ready: from the newest state that is whole, or from the beginning. `before` is the state that
    /// the stage before has left.
    fn open(
        config: &Config,
        stage: &'a Stage,
        files: StageFolder,
        before: Option<PathBuf>,
        options: &'a RunOptions,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let train = &stage.config;
        let ffmpeg = Ffmpeg::locate()?;
        observer.busy("looking at the videos");
        let data = Data::open(&ffmpeg, train, files.path())?;
        let lpips = locate_lpips(&train.loss, options.device, observer)?;
        let validator = Validator::new(
            data.validation_clips(train.validation.clips)?,
            lpips.clone(),
            train.loss.perceptual.as_ref().map_or(0.0, |perceptual| perceptual.weight),
        );
        let checkpoints = Checkpoints::open(files.checkpoints(), train.checkpoints.keep)?;
        let resumed = checkpoints
            .newest(observer, |path| Trainer::resume(path, config, train.clone(), lpips.clone(), options.device))?;
        let trainer = match resumed {
            Some(trainer) => trainer,
            None => {
                let weights =
                    before.as_ref().or(train.init_from.as_ref()).map(|path| Weights::read(path)).transpose()?;
                let trainer = begin(config, train, weights, lpips, options.device, observer)?;
                // A full disk or a folder that cannot be written to shows before the first step.
                checkpoints.save(&trainer)?;
                checkpoints.check_room()?;
                trainer
            }
        };
        let step = trainer.step_number();
        let log = Log::open(&files.file("log.jsonl"), step)?;
        let pictures = Pictures::create(&files, step)?;
        let parameters = trainer.tokenizer().parameters().trained().map(|(_, tensor)| tensor.numel() as i64).sum();
        observer.started(&Start {
            folder: files.path().to_owned(),
            stage: stage.name.clone(),
            step,
            steps: train.steps,
            clips: train.batch_size as u64 * train.accumulate,
            parameters,
            videos: data.videos(),
            stand_in: data.stands_in(),
        });
        let stop = &options.stop;
        Ok(Self { stage, files, stop, ffmpeg, data, validator, trainer, checkpoints, log, pictures })
    }

    /// Takes the steps that are left; none if it was stopped.
    fn run(mut self, observer: &mut dyn Observer) -> Result<Option<StageSummary>, TrainError> {
        let train = &self.stage.config;
        if self.log.validations().next().is_none() {
            self.validate(observer)?;
        }
        let first_batch = self.trainer.step_number() * train.accumulate;
        let mut loader = self.data.loader(train, first_batch)?;
        while self.trainer.step_number() < train.steps {
            if self.stop.load(Ordering::Relaxed) {
                self.checkpoints.save(&self.trainer)?;
                return Ok(None);
            }
            self.step(&mut loader, observer)?;
            let step = self.trainer.step_number();
            let last = step == train.steps;
            if last || step.is_multiple_of(train.validation.every) {
                self.validate(observer)?;
            }
            if last || step.is_multiple_of(train.checkpoints.every) {
                self.checkpoints.save(&self.trainer)?;
            }
        }
        drop(loader);
        self.finish(observer).map(Some)
    }

    fn step(&mut self, loader: &mut Loader, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let (start, waited) = (Instant::now(), loader.waited());
        let count = self.stage.config.accumulate as usize;
        let batches = loader.by_ref().take(count).collect::<Result<Vec<_>, _>>()?;
        let waiting = (loader.waited() - waited).as_secs_f64();
        let report = self.trainer.step(&batches)?;
        let seconds = start.elapsed().as_secs_f64();
        let waiting = waiting / seconds.max(f64::MIN_POSITIVE);
        if report.skipped {
            let names: Vec<&str> = batches.iter().flat_map(|batch| &batch.names).map(String::as_str).collect();
            observer.warned(&format!(
                "step {} was skipped: numbers that are not finite on {}",
                report.step,
                names.join(", ")
            ));
        }
        for reason in self.data.new_quarantined() {
            observer.warned(&format!("set aside: {reason}"));
        }
        observer.stepped(&report, waiting);
        self.pictures.step(&report)?;
        self.log.add(LogEntry::Step { report, seconds, waiting })
    }

    /// Measures the model and its averages, and draws what they make of the clips.
    fn validate(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let step = self.trainer.step_number();
        let tokenizer = self.trainer.tokenizer();
        let Some((model, reconstructions)) = self.validator.measure(tokenizer)? else { return Ok(()) };
        let averaged = self
            .trainer
            .ema()
            .map(|ema| ema.with_averages(tokenizer.parameters(), || self.validator.measure(tokenizer)));
        let ema = averaged.transpose()?.flatten().map(|(quality, _)| quality);
        let validation = Validation { step, model, ema };
        let best = self.log.validations().map(Validation::rec).fold(f64::INFINITY, f64::min);
        if step > 0 && validation.rec() < best {
            tokenizer.save(&self.files.file("best.safetensors"), &format!("training, the best after {step} steps"))?;
        }
        self.pictures.validation(&validation, self.validator.clips(), &reconstructions)?;
        observer.validated(&validation);
        self.log.add(LogEntry::Validation(validation))
    }

    /// What stays of a stage.
    fn finish(self, observer: &mut dyn Observer) -> Result<StageSummary, TrainError> {
        observer.busy("drawing the result");
        let origin = format!("trained for {} steps", self.trainer.step_number());
        let tokenizer = self.trainer.tokenizer();
        let model = self.files.file("model.safetensors");
        tokenizer.save(&model, &origin)?;
        if let Some(ema) = self.trainer.ema() {
            let path = self.files.file("model_ema.safetensors");
            ema.with_averages(tokenizer.parameters(), || {
                tokenizer.save(&path, &format!("{origin}, averaged weights"))
            })?;
        }
        let title = self.files.path().display().to_string();
        let curves = self.pictures.curves(&title, self.log.entries())?;
        let video = self.files.file("side_by_side.mp4");
        self.data.write_example(tokenizer, &self.ffmpeg, &video)?;
        let mut validations = self.log.validations();
        let before = validations.next().filter(|first| first.step == 0).map(|first| first.model.clone());
        let after = self.log.validations().next_back();
        let summary = StageSummary {
            stage: self.stage.name.clone(),
            before,
            after: after.map(|last| last.model.clone()),
            after_ema: after.and_then(|last| last.ema.clone()),
            skipped: self.trainer.skipped(),
            model,
            state: self.checkpoints.path(self.trainer.step_number()),
            pictures: self.files.validation(),
            curves,
            video,
        };
        let path = self.files.file(SUMMARY);
        let text = serde_json::to_vec_pretty(&summary).map_err(|error| TrainError::io(&path, error.into()))?;
        vidtok_core::write_atomically(&path, |temporary| fs::write(temporary, text))
            .map_err(|error| TrainError::io(&path, error))?;
        Ok(summary)
    }
}

/// The trainer before the first step: with the weights of a file, the discriminator's too if it has them, or with fresh
/// ones.
fn begin(
    config: &Config,
    train: &TrainConfig,
    weights: Option<Weights>,
    lpips: Option<Rc<Lpips>>,
    device: Device,
    observer: &mut dyn Observer,
) -> Result<Trainer, TrainError> {
    // One seed for all, so that fresh losses follow from it wherever the tokenizer's weights come from.
    let seed = train.seed as i64;
    tch::manual_seed(seed);
    let losses = Losses::new(&train.loss, lpips, device);
    let tokenizer = match weights {
        None => Tokenizer::init(config.clone(), seed, device)?,
        Some(weights) => {
            let saved = weights.losses();
            if !losses.take_over(&saved) && !saved.is_empty() {
                let path = weights.path().display();
                observer.warned(&format!("{path}: its losses are not those of this run, which start anew"));
            }
            Tokenizer::with_weights(config.clone(), weights, device, Kind::Float)?
        }
    };
    Ok(Trainer::new(tokenizer, losses, train.clone()))
}
