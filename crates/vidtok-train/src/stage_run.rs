//! A stage that is being run: by one process, or by one of several that share it.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tch::{Device, Kind};
use vidtok::{Config, Tokenizer, Weights};
use vidtok_data::{Ffmpeg, Loader};
use vidtok_metrics::Lpips;

use crate::checkpoints::Checkpoints;
use crate::data::Data;
use crate::losses::LpipsNets;
use crate::records::Records;
use crate::run_folder::StageFolder;
use crate::{
    Losses, Observer, RunOptions, Stage, StageSummary, Start, StepReport, TrainConfig, TrainError, Trainer, Validation,
    Validator,
};

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
            let validator = Validator::new(
                data.validation_clips(train.validation.clips)?,
                measure,
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
            processes: options.share().count,
            parameters,
            videos: data.videos(),
            stand_in: data.stands_in(),
        });
        Ok(Self { stage, options, data, trainer, records })
    }

    /// Takes the steps that are left, unless it is stopped.
    pub(crate) fn run(mut self, observer: &mut dyn Observer) -> Result<Ended, TrainError> {
        let train = &self.stage.config;
        if let Some(records) = self.records.as_mut().filter(|records| !records.measured()) {
            records.validate(&self.trainer, observer)?;
        }
        let first_batch = self.trainer.step_number() * train.accumulate;
        let mut loader = self.data.loader(train, first_batch, self.options.share())?;
        while self.trainer.step_number() < train.steps {
            if self.stopped()? {
                if let Some(records) = &self.records {
                    records.save(&self.trainer)?;
                }
                return Ok(Ended::Stopped);
            }
            self.step(&mut loader, observer)?;
            let step = self.trainer.step_number();
            let last = step == train.steps;
            let Some(records) = &mut self.records else { continue };
            if last || step.is_multiple_of(train.validation.every) {
                records.validate(&self.trainer, observer)?;
            }
            if last || step.is_multiple_of(train.checkpoints.every) {
                records.save(&self.trainer)?;
            }
        }
        drop(loader);
        let Self { stage, data, trainer, records, .. } = self;
        let finish = |records: Records| records.finish(stage, &trainer, &data, observer);
        Ok(Ended::Finished(records.map(finish).transpose()?.map(Box::new)))
    }

    /// Whether a process that shares the run was told to stop.
    fn stopped(&self) -> Result<bool, TrainError> {
        let told = f64::from(u8::from(self.options.stop.load(Ordering::Relaxed)));
        Ok(self.options.mean(told)? > 0.0)
    }

    fn step(&mut self, loader: &mut Loader, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let (start, waited) = (Instant::now(), loader.waited());
        let count = self.stage.config.accumulate as usize;
        let batches = loader.by_ref().take(count).collect::<Result<Vec<_>, _>>()?;
        let waiting = (loader.waited() - waited).as_secs_f64();
        let report = self.trainer.step(&batches)?;
        let seconds = start.elapsed().as_secs_f64();
        let waiting = waiting / seconds.max(f64::MIN_POSITIVE);
        for warning in self.data.new_warnings() {
            observer.warned(&warning);
        }
        let Some(records) = &mut self.records else { return Ok(()) };
        if report.skipped {
            let names: Vec<&str> = batches.iter().flat_map(|batch| &batch.names).map(String::as_str).collect();
            observer.warned(&format!(
                "step {} was skipped: numbers that are not finite on {}",
                report.step,
                names.join(", ")
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
