//! A running stage, in one process or in one of several that train together.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tch::{Device, Kind};
use vidtok::{Config, Tokenizer, TokenizerBuilder, Weights};
use vidtok_core::WorldRank;
use vidtok_data::{Batch, Ffmpeg, LoadError, Loader};

use crate::config::TrainConfig;
use crate::config::stages::Stage;
use crate::error::{TrainError, named, some_of};
use crate::run::checkpoints::Checkpoints;
use crate::run::clips::StageClips;
use crate::run::folder::StageFolder;
use crate::run::lpips::LpipsNets;
use crate::run::observer::{Observer, Start};
use crate::run::options::RunOptions;
use crate::run::records::Records;
use crate::run::summary::StageSummary;
use crate::run::validation::Validator;
use crate::step::losses::{LossParts, Losses};
use crate::step::teacher::Teacher;
use crate::step::trainer::Trainer;

/// The end of a stage.
pub(crate) enum Ended {
    /// All steps were taken; the leader has the summary.
    Finished(Option<Box<StageSummary>>),
    /// It was stopped before.
    Stopped,
}

/// A running stage.
pub(crate) struct StageRun<'a> {
    stage: &'a Stage,
    options: &'a RunOptions,
    clips: StageClips,
    trainer: Trainer,
    /// The files, in the leader.
    records: Option<Records>,
    /// The step of the last state that was saved.
    saved: u64,
}

/// The batches of a step, and the time spent waiting for them.
struct Fetched {
    batches: Vec<Batch>,
    start: Instant,
    waited: Duration,
}

impl<'a> StageRun<'a> {
    /// Prepares a stage: it resumes from its newest intact state, or starts from `previous`, the last state of the stage
    /// before, or from the beginning.
    pub(crate) fn open(
        config: &Config,
        stage: &'a Stage,
        files: StageFolder,
        previous: Option<PathBuf>,
        options: &'a RunOptions,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let (train, rank) = (&stage.config, options.rank());
        train.check_memory(rank.world_size)?;
        if options.device.is_cuda() {
            vidtok_torch::use_deterministic(train.deterministic);
        }
        let mut noop = NoopObserver;
        let observer = if options.leads() { observer } else { &mut noop };
        let ffmpeg = Ffmpeg::locate()?;
        observer.busy("probing the videos");
        let clips = StageClips::open(&ffmpeg, train, files.path(), rank)?;
        clips.left_out().iter().for_each(|line| observer.warned(line));
        let LpipsNets { loss: lpips, validation } = LpipsNets::locate(&train.loss, options.device, observer)?;
        let ranks_with_lpips = options.mean(f64::from(u8::from(lpips.is_some())))?;
        if ranks_with_lpips > 0.0 && ranks_with_lpips < 1.0 {
            return Err(TrainError::LpipsOnSomeRanks);
        }
        // `rec` has the term only if the training loss has it.
        let perceptual_weight = match (&train.loss.perceptual, &lpips) {
            (Some(perceptual), Some(_)) => perceptual.weight,
            _ => 0.0,
        };
        let tokenizer = options.tokenizer.clone().device(options.device).kind(Kind::Float);
        let mut losses = LossParts::of(&train.loss, lpips);
        losses.reconstruction.extend(options.losses.iter().cloned());
        let teacher = train.teacher.as_ref().map(|config| Teacher::open(config, &tokenizer)).transpose()?;
        let opening =
            Opening { config, train, losses, device: options.device, tokenizer, teacher, clips: &clips, rank };
        let (mut trainer, records) = if options.leads() {
            let validator =
                Validator::new(clips.validation_clips(train.validation.clips)?, validation, perceptual_weight);
            let checkpoints = Checkpoints::open(files.checkpoints(), train.checkpoints.keep)?;
            let trainer = opening.leader(&checkpoints, previous, observer)?;
            let records = Records::open(files.clone(), ffmpeg, validator, checkpoints, trainer.step_number())?;
            (trainer, Some(records))
        } else {
            (opening.follower(observer)?, None)
        };
        trainer.set_earlier_steps(stage.earlier_steps);
        if let Some(group) = &options.group {
            trainer.join(group)?;
        }
        if let Some(teacher) = opening.teacher {
            trainer.set_teacher(teacher)?;
        }
        let parameters = trainer.tokenizer().parameters().trained().map(|(_, tensor)| tensor.numel() as i64).sum();
        let saved = trainer.step_number();
        observer.started(&Start {
            folder: files.path().to_owned(),
            stage: stage.name.clone(),
            step: saved,
            steps: train.steps,
            clips: train.batch_size as u64 * train.accumulate,
            processes: rank.world_size,
            parameters,
            videos: clips.videos(),
            procedural_fallback: clips.procedural_fallback(),
        });
        Ok(Self { stage, options, clips, trainer, records, saved })
    }

    /// Takes the remaining steps, unless the run is stopped.
    pub(crate) fn run(mut self, observer: &mut dyn Observer) -> Result<Ended, TrainError> {
        self.validate_and_save_if_due(observer)?;
        if self.trainer.step_number() < self.stage.config.steps {
            self.take_steps(observer)?;
        }
        if self.stopped(false)? {
            self.save()?;
            return Ok(Ended::Stopped);
        }
        let Self { stage, options, clips, trainer, records, .. } = self;
        let Some(records) = records else { return Ok(Ended::Finished(None)) };
        match records.finish(stage, &trainer, &clips, observer) {
            // The results can be written again from the last state, which is saved.
            Err(_) if options.is_stopped() => Ok(Ended::Stopped),
            done => Ok(Ended::Finished(Some(Box::new(done?)))),
        }
    }

    fn take_steps(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let train = &self.stage.config;
        let first_batch = self.trainer.step_number() * train.accumulate;
        let mut loader = self.clips.loader(train, first_batch, self.options.rank())?;
        while self.trainer.step_number() < train.steps {
            let fetched = self.fetch(&mut loader)?;
            let stopped = self.stopped(fetched.is_none())?;
            let Some(fetched) = fetched.filter(|_| !stopped) else { return Ok(()) };
            self.step(&fetched, observer)?;
            self.validate_and_save_if_due(observer)?;
        }
        Ok(())
    }

    /// Validates and saves at the configured steps and after the last one.
    fn validate_and_save_if_due(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let (train, step) = (&self.stage.config, self.trainer.step_number());
        let due = |every| step == train.steps || step.is_multiple_of(every);
        let Some(records) = &mut self.records else { return Ok(()) };
        if due(train.validation.every) && !records.is_validated(step) {
            records.validate(&self.trainer, &self.options.stop, observer)?;
        }
        if due(train.checkpoints.every) { self.save() } else { Ok(()) }
    }

    /// Saves the state, unless it is already saved.
    fn save(&mut self) -> Result<(), TrainError> {
        let step = self.trainer.step_number();
        if let Some(records) = self.records.as_ref().filter(|_| self.saved != step) {
            records.save(&self.trainer)?;
            self.saved = step;
        }
        Ok(())
    }

    /// Waits for the batches of the next step; `None` if this process was stopped in the meantime.
    fn fetch(&self, loader: &mut Loader) -> Result<Option<Fetched>, TrainError> {
        let (start, waited) = (Instant::now(), loader.waited());
        let mut batches = Vec::new();
        for _ in 0..self.stage.config.accumulate {
            match loader.next_unless(|| self.options.is_stopped()) {
                // The signal that stopped us may have stopped the decoder too.
                Some(Err(LoadError::Stopped)) if self.options.is_stopped() => return Ok(None),
                Some(batch) => batches.push(batch?),
                None => return Ok(None),
            }
        }
        Ok(Some(Fetched { batches, start, waited: loader.waited() - waited }))
    }

    /// Whether any process of the run was stopped; this one was if `stopped`.
    fn stopped(&self, stopped: bool) -> Result<bool, TrainError> {
        let stopped = stopped || self.options.is_stopped();
        Ok(self.options.mean(f64::from(u8::from(stopped)))? > 0.0)
    }

    fn step(&mut self, fetched: &Fetched, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let Fetched { batches, start, waited } = fetched;
        let report = self.trainer.step(batches)?;
        let seconds = start.elapsed().as_secs_f64();
        let waiting = waited.as_secs_f64() / seconds.max(f64::MIN_POSITIVE);
        for warning in self.clips.new_warnings() {
            observer.warned(&warning);
        }
        let Some(records) = &mut self.records else { return Ok(()) };
        if report.skipped {
            let names: Vec<String> = batches.iter().flat_map(|batch| batch.names.iter().cloned()).collect();
            observer.warned(&format!(
                "step {} was skipped ({} so far): {} on {}",
                report.step,
                self.trainer.skipped(),
                named(&report.faults()),
                some_of(&names)
            ));
        }
        observer.stepped(&report, waiting);
        records.step(report, seconds, waiting)
    }
}

/// Ignores everything, in processes other than the leader.
struct NoopObserver;

impl Observer for NoopObserver {}

/// Creates the trainer of a stage.
struct Opening<'a> {
    config: &'a Config,
    train: &'a TrainConfig,
    losses: LossParts,
    device: Device,
    tokenizer: TokenizerBuilder,
    teacher: Option<Teacher>,
    clips: &'a StageClips,
    rank: WorldRank,
}

impl Opening<'_> {
    /// The trainer of the leader: from the newest intact state of the stage, or else from initial weights, which it saves.
    fn leader(
        &self,
        checkpoints: &Checkpoints,
        previous: Option<PathBuf>,
        observer: &mut dyn Observer,
    ) -> Result<Trainer, TrainError> {
        let resumed = checkpoints.newest(observer, |path| {
            Trainer::resume(
                path,
                |weights| self.tokenizer.with_weights(self.config.clone(), weights),
                self.losses.clone(),
                self.train.clone(),
            )
        })?;
        if let Some(trainer) = resumed {
            return Ok(trainer);
        }
        let weights = previous.as_ref().or(self.train.init_from.as_ref()).map(Weights::read).transpose()?;
        let trainer = match weights {
            Some(weights) => self.fresh(Some(weights), |_, _| Ok(()), observer)?,
            None => self.fresh(None, |tokenizer, observer| self.fit_linear(tokenizer, observer), observer)?,
        };
        // Saving now reveals a full or read-only disk before the first step.
        checkpoints.save(&trainer)?;
        checkpoints.check_room()?;
        Ok(trainer)
    }

    /// The trainer of any other process, which loads the leader's state when it joins the group.
    fn follower(&self, observer: &mut dyn Observer) -> Result<Trainer, TrainError> {
        self.fresh(None, |_, _| Ok(()), observer)
    }

    /// Fits the linear maps of a new model to the first training batches.
    fn fit_linear(&self, tokenizer: &Tokenizer, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let model = &self.config.model;
        if !model.linear && !model.has_linear_decoder() {
            return Ok(());
        }
        observer.busy("fitting the linear maps");
        let batches = self.clips.loader(self.train, 0, self.rank)?.take(self.train.linear_batches);
        let clips = batches.map(|batch| Ok(batch?.clips)).collect::<Result<Vec<_>, TrainError>>()?;
        // A teacher's encoder is fitted already.
        Ok(if self.teacher.is_some() { tokenizer.fit_linear_decoder(&clips) } else { tokenizer.fit_linear(&clips) }?)
    }

    /// A trainer before the first step: with `weights`, and the losses' parameters among them if there are any, or with
    /// random ones that `prepare` may change.
    fn fresh(
        &self,
        weights: Option<Weights>,
        prepare: impl FnOnce(&Tokenizer, &mut dyn Observer) -> Result<(), TrainError>,
        observer: &mut dyn Observer,
    ) -> Result<Trainer, TrainError> {
        // The losses' initial parameters follow from the seed, wherever the tokenizer's weights come from.
        let seed = self.train.seed as i64;
        tch::manual_seed(seed);
        let losses = Losses::from_parts(self.losses.clone(), self.device);
        let tokenizer = match weights {
            None => {
                let tokenizer = self.tokenizer.init(self.config.clone(), seed)?;
                self.copy_encoder_to(&tokenizer)?;
                prepare(&tokenizer, observer)?;
                tokenizer
            }
            Some(weights) => {
                let saved = weights.losses();
                if !losses.load(&saved) && !saved.is_empty() {
                    let path = weights.path().display();
                    observer
                        .warned(&format!("{path}: its losses differ from those of this run, which start from scratch"));
                }
                let tokenizer = self.tokenizer.with_weights(self.config.clone(), weights)?;
                self.copy_encoder_to(&tokenizer)?;
                tokenizer
            }
        };
        Ok(Trainer::new(tokenizer, losses, self.train.clone()))
    }

    /// Gives the model the encoder of the teacher, if there is one.
    fn copy_encoder_to(&self, tokenizer: &Tokenizer) -> Result<(), TrainError> {
        self.teacher.as_ref().map_or(Ok(()), |teacher| teacher.copy_encoder_to(tokenizer))
    }
}
