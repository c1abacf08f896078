//! A stage that is being run: by one process, or by one of several that share it.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tch::{Device, Kind};
use vidtok::{Config, Tokenizer, Weights};
use vidtok_data::{Batch, Ffmpeg, LoadError, Loader};
use vidtok_metrics::Lpips;

use crate::config::TrainConfig;
use crate::config::stages::Stage;
use crate::error::TrainError;
use crate::error::{named, some_of};
use crate::run::checkpoints::Checkpoints;
use crate::run::data::Data;
use crate::run::folder::StageFolder;
use crate::run::records::Records;
use crate::run::validation::{Validation, Validator};
use crate::run::{Observer, RunOptions, StageSummary, Start};
use crate::step::losses::Losses;
use crate::step::losses::LpipsNets;
use crate::step::report::StepReport;
use crate::step::trainer::Trainer;

/// How a stage has ended.
pub(crate) enum Ended {
    /// With all its steps; the process that keeps the files says what came of it.
    Finished(Option<Box<StageSummary>>),
    /// It was stopped before.
    Stopped,
}

/// A stage that is being run.
pub(crate) struct StageRun<'a> {
    stage: &'a Stage,
    options: &'a RunOptions,
    data: Data,
    trainer: Trainer,
    /// The files, in the process that keeps them.
    records: Option<Records>,
    /// The step of the last state that is known to be whole.
    saved: u64,
}

/// The batches of a step, and how long they were waited for.
struct Fetched {
    batches: Vec<Batch>,
    start: Instant,
    waited: Duration,
}

impl<'a> StageRun<'a> {
    /// Makes everything ready: from the newest state that is whole, or from the beginning. `before` is the state that
    /// the stage before has left.
    pub(crate) fn open(
        config: &Config,
        stage: &'a Stage,
        files: StageFolder,
        before: Option<PathBuf>,
        options: &'a RunOptions,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let train = &stage.config;
        train.check_memory(options.share().world_size)?;
        let mut unheard = Unheard;
        let leads = options.leads();
        let observer = if leads { observer } else { &mut unheard };
        let ffmpeg = Ffmpeg::locate()?;
        observer.busy("looking at the videos");
        let data = Data::open(&ffmpeg, train, files.path(), options.share())?;
        data.left_out().iter().for_each(|line| observer.warned(line));
        let LpipsNets { loss: lpips, measure } = LpipsNets::locate(&train.loss, options.device, observer)?;
        let having_lpips = options.mean(f64::from(u8::from(lpips.is_some())))?;
        if having_lpips > 0.0 && having_lpips < 1.0 {
            return Err(TrainError::LpipsOfSome);
        }
        let begin = |weights, observer: &mut dyn Observer| {
            begin(config, train, weights, lpips.clone(), options.device, observer)
        };
        let (mut trainer, records) = if leads {
            // What is left out of the training loss is no part of `rec` either.
            let perceptual = train.loss.perceptual.as_ref().filter(|_| lpips.is_some());
            let weight = perceptual.map_or(0.0, |perceptual| perceptual.weight);
            let validator = Validator::new(data.validation_clips(train.validation.clips)?, measure, weight);
            let checkpoints = Checkpoints::open(files.checkpoints(), train.checkpoints.keep)?;
            let resumed = checkpoints
                .newest(observer, |path| Trainer::resume(path, config, train.clone(), lpips.clone(), options.device))?;
            let trainer = match resumed {
                Some(trainer) => trainer,
                None => {
                    let weights =
                        before.as_ref().or(train.init_from.as_ref()).map(|path| Weights::read(path)).transpose()?;
                    let trainer = begin(weights, observer)?;
                    // A full disk or a folder that cannot be written to shows before the first step.
                    checkpoints.save(&trainer)?;
                    checkpoints.check_room()?;
                    trainer
                }
            };
            let step = trainer.step_number();
            (trainer, Some(Records::open(files.clone(), ffmpeg, validator, checkpoints, step)?))
        } else {
            (begin(None, observer)?, None)
        };
        if let Some(group) = &options.group {
            trainer.join(group)?;
        }
        let parameters = trainer.tokenizer().parameters().trained().map(|(_, tensor)| tensor.numel() as i64).sum();
        observer.started(&Start {
            folder: files.path().to_owned(),
            stage: stage.name.clone(),
            step: trainer.step_number(),
            steps: train.steps,
            clips: train.batch_size as u64 * train.accumulate,
            processes: options.share().world_size,
            parameters,
            videos: data.videos(),
            stand_in: data.stands_in(),
        });
        let saved = trainer.step_number();
        Ok(Self { stage, options, data, trainer, records, saved })
    }

    /// Takes the steps that are left, unless it is stopped.
    pub(crate) fn run(mut self, observer: &mut dyn Observer) -> Result<Ended, TrainError> {
        self.look(observer)?;
        if self.trainer.step_number() < self.stage.config.steps {
            self.take_steps(observer)?;
        }
        if self.stopped(false)? {
            self.save()?;
            return Ok(Ended::Stopped);
        }
        let Self { stage, options, data, trainer, records, .. } = self;
        let Some(records) = records else { return Ok(Ended::Finished(None)) };
        match records.finish(stage, &trainer, &data, observer) {
            // It is done anew from the last state, which is saved.
            Err(_) if options.is_stopped() => Ok(Ended::Stopped),
            done => Ok(Ended::Finished(Some(Box::new(done?)))),
        }
    }

    fn take_steps(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let train = &self.stage.config;
        let first_batch = self.trainer.step_number() * train.accumulate;
        let mut loader = self.data.loader(train, first_batch, self.options.share())?;
        while self.trainer.step_number() < train.steps {
            let fetched = self.fetch(&mut loader)?;
            let stopped = self.stopped(fetched.is_none())?;
            let Some(fetched) = fetched.filter(|_| !stopped) else { return Ok(()) };
            self.step(&fetched, observer)?;
            self.look(observer)?;
        }
        Ok(())
    }

    /// Measures and saves where the configuration says so, and after the last step.
    fn look(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let (train, step) = (&self.stage.config, self.trainer.step_number());
        let due = |every| step == train.steps || step.is_multiple_of(every);
        let Some(records) = &mut self.records else { return Ok(()) };
        if due(train.validation.every) && !records.measured(step) {
            records.validate(&self.trainer, &self.options.stop, observer)?;
        }
        if due(train.checkpoints.every) { self.save() } else { Ok(()) }
    }

    /// Keeps the state.
    fn save(&mut self) -> Result<(), TrainError> {
        let step = self.trainer.step_number();
        if let Some(records) = self.records.as_ref().filter(|_| self.saved != step) {
            records.save(&self.trainer)?;
            self.saved = step;
        }
        Ok(())
    }

    /// The batches of the next step; none if this process was told to stop while it waited for them.
    fn fetch(&self, loader: &mut Loader) -> Result<Option<Fetched>, TrainError> {
        let (start, waited) = (Instant::now(), loader.waited());
        let mut batches = Vec::new();
        for _ in 0..self.stage.config.accumulate {
            match loader.next_unless(|| self.options.is_stopped()) {
                // Its decoder may have been ended with us.
                Some(Err(LoadError::Stopped)) if self.options.is_stopped() => return Ok(None),
                Some(batch) => batches.push(batch?),
                None => return Ok(None),
            }
        }
        Ok(Some(Fetched { batches, start, waited: loader.waited() - waited }))
    }

    /// Whether a process that shares the run, this one if `told`, was told to stop.
    fn stopped(&self, told: bool) -> Result<bool, TrainError> {
        let told = told || self.options.is_stopped();
        Ok(self.options.mean(f64::from(u8::from(told)))? > 0.0)
    }

    fn step(&mut self, fetched: &Fetched, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let Fetched { batches, start, waited } = fetched;
        let report = self.trainer.step(batches)?;
        let seconds = start.elapsed().as_secs_f64();
        let waiting = waited.as_secs_f64() / seconds.max(f64::MIN_POSITIVE);
        for warning in self.data.new_warnings() {
            observer.warned(&warning);
        }
        let Some(records) = &mut self.records else { return Ok(()) };
        if report.skipped {
            let names: Vec<String> = batches.iter().flat_map(|batch| batch.names.iter().cloned()).collect();
            observer.warned(&format!(
                "step {} was skipped, {} so far: {} on {}",
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

/// In the place of the observer where another process says the same.
struct Unheard;

impl Observer for Unheard {
    fn started(&mut self, _: &Start) {}

    fn stepped(&mut self, _: &StepReport, _: f64) {}

    fn validated(&mut self, _: &Validation) {}

    fn busy(&mut self, _: &str) {}

    fn warned(&mut self, _: &str) {}
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
