//! What is kept of a stage: its states, its log, what a person looks at, and what came of it.

use std::fs;

use vidtok_data::Ffmpeg;

use crate::checkpoints::Checkpoints;
use crate::data::Data;
use crate::log::{Log, LogEntry};
use crate::pictures::Pictures;
use crate::run_folder::StageFolder;
use crate::{Observer, Stage, StageSummary, StepReport, TrainError, Trainer, Validation, Validator};

const SUMMARY: &str = "summary.json";

/// What came of a stage, if it is over.
pub(crate) fn read_summary(files: &StageFolder) -> Result<Option<StageSummary>, TrainError> {
    let path = files.file(SUMMARY);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| TrainError::io(&path, error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TrainError::io(&path, error)),
    }
}

/// The files of a stage that is being run.
pub(crate) struct Records {
    files: StageFolder,
    ffmpeg: Ffmpeg,
    validator: Validator,
    checkpoints: Checkpoints,
    log: Log,
    pictures: Pictures,
}

impl Records {
    /// Of a stage that begins, or goes on, at `step`.
    pub(crate) fn open(
        files: StageFolder,
        ffmpeg: Ffmpeg,
        validator: Validator,
        checkpoints: Checkpoints,
        step: u64,
    ) -> Result<Self, TrainError> {
        let log = Log::open(&files.file("log.jsonl"), step)?;
        let pictures = Pictures::create(&files, step)?;
        Ok(Self { files, ffmpeg, validator, checkpoints, log, pictures })
    }

    /// Whether the model was measured before.
    pub(crate) fn measured(&self) -> bool {
        self.log.validations().next().is_some()
    }

    /// Keeps the state.
    pub(crate) fn save(&self, trainer: &Trainer) -> Result<(), TrainError> {
        self.checkpoints.save(trainer)
    }

    /// Keeps the numbers of a step.
    pub(crate) fn step(&mut self, report: StepReport, seconds: f64, waiting: f64) -> Result<(), TrainError> {
        self.pictures.step(&report)?;
        self.log.add(LogEntry::Step { report, seconds, waiting })
    }

    /// Measures the model and its averages, and draws what they make of the clips.
    pub(crate) fn validate(&mut self, trainer: &Trainer, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let step = trainer.step_number();
        let tokenizer = trainer.tokenizer();
        let Some((model, reconstructions)) = self.validator.measure(tokenizer)? else { return Ok(()) };
        let measure_averages = || self.validator.measure(tokenizer);
        let averaged = trainer.ema().map(|ema| ema.with_averages(tokenizer.parameters(), measure_averages));
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
    pub(crate) fn finish(
        self,
        stage: &Stage,
        trainer: &Trainer,
        data: &Data,
        observer: &mut dyn Observer,
    ) -> Result<StageSummary, TrainError> {
        observer.busy("drawing the result");
        let origin = format!("trained for {} steps", trainer.step_number());
        let tokenizer = trainer.tokenizer();
        let model = self.files.file("model.safetensors");
        tokenizer.save(&model, &origin)?;
        if let Some(ema) = trainer.ema() {
            let path = self.files.file("model_ema.safetensors");
            ema.with_averages(tokenizer.parameters(), || {
                tokenizer.save(&path, &format!("{origin}, averaged weights"))
            })?;
        }
        let title = self.files.path().display().to_string();
        let curves = self.pictures.curves(&title, self.log.entries())?;
        let video = self.files.file("side_by_side.mp4");
        data.write_example(tokenizer, &self.ffmpeg, &video)?;
        let mut validations = self.log.validations();
        let before = validations.next().filter(|first| first.step == 0).map(|first| first.model.clone());
        let after = self.log.validations().next_back();
        let summary = StageSummary {
            stage: stage.name.clone(),
            before,
            after: after.map(|last| last.model.clone()),
            after_ema: after.and_then(|last| last.ema.clone()),
            skipped: trainer.skipped(),
            model,
            state: self.checkpoints.path(trainer.step_number()),
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
