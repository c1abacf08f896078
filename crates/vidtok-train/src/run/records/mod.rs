//! The files of a stage: states, log, images, curves, and the summary.

pub(crate) mod example_video;
pub(crate) mod images;
pub(crate) mod log;

use std::fs;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};

use vidtok_data::Ffmpeg;

use crate::config::stages::Stage;
use crate::error::TrainError;
use crate::run::checkpoints::Checkpoints;
use crate::run::clips::StageClips;
use crate::run::folder::StageFolder;
use crate::run::observer::Observer;
use crate::run::records::images::Images;
use crate::run::records::log::{Log, LogEntry, Validations};
use crate::run::summary::StageSummary;
use crate::run::validation::{Validation, Validator};
use crate::step::report::StepReport;
use crate::step::trainer::Trainer;

const SUMMARY: &str = "summary.json";

/// Reads the summary of a finished stage. The paths in it follow the folder if it was moved.
pub(crate) fn read_summary(files: &StageFolder) -> Result<Option<StageSummary>, TrainError> {
    let path = files.file(SUMMARY);
    let mut summary: StageSummary = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| TrainError::io(&path, error.into()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TrainError::io(&path, error)),
    };
    let StageSummary { model, state, images, curves, video, .. } = &mut summary;
    for (file, folder) in [
        (model, files.path()),
        (state, &files.checkpoints()),
        (images, files.path()),
        (curves, files.path()),
        (video, files.path()),
    ] {
        *file = file.file_name().map_or_else(|| folder.to_owned(), |name| folder.join(name));
    }
    Ok(Some(summary))
}

/// Removes the summary, which makes a finished stage one that continues.
pub(crate) fn remove_summary(files: &StageFolder) -> Result<(), TrainError> {
    let path = files.file(SUMMARY);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(TrainError::io(&path, error)),
        _ => Ok(()),
    }
}

/// Writes the files of a running stage.
pub(crate) struct Records {
    files: StageFolder,
    ffmpeg: Ffmpeg,
    validator: Validator,
    checkpoints: Checkpoints,
    log: Log,
    images: Images,
}

impl Records {
    /// The files of a stage that starts or resumes at `step`.
    pub(crate) fn open(
        files: StageFolder,
        ffmpeg: Ffmpeg,
        validator: Validator,
        checkpoints: Checkpoints,
        step: u64,
    ) -> Result<Self, TrainError> {
        let log = Log::open(&files.file("log.jsonl"), step)?;
        let images = Images::create(&files, step)?;
        Ok(Self { files, ffmpeg, validator, checkpoints, log, images })
    }

    /// Whether the last validation was after this many steps.
    pub(crate) fn is_validated(&self, step: u64) -> bool {
        self.log.validations().last.as_ref().is_some_and(|last| last.step == step)
    }

    /// Saves the state.
    pub(crate) fn save(&self, trainer: &Trainer) -> Result<(), TrainError> {
        self.checkpoints.save(trainer)
    }

    /// Logs the numbers of a step.
    pub(crate) fn step(&mut self, report: StepReport, seconds: f64, waiting: f64) -> Result<(), TrainError> {
        self.images.step(&report)?;
        self.log.add(&LogEntry::Step { report, seconds, waiting })
    }

    /// Validates the model and its averages, and draws the reconstructions; abandoned if `stop` is set in the meantime.
    pub(crate) fn validate(
        &mut self,
        trainer: &Trainer,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let step = trainer.step_number();
        let tokenizer = trainer.tokenizer();
        let stopped = || stop.load(Ordering::Relaxed);
        let results = self.validator.measure_unless(&stopped, tokenizer)?;
        let Some((model, reconstructions)) = results else { return Ok(()) };
        let measure_averages = || self.validator.measure_unless(&stopped, tokenizer);
        let averaged = trainer.ema().map(|ema| ema.with_averages(tokenizer.parameters(), measure_averages));
        let ema = averaged.transpose()?.flatten().map(|(scores, _)| scores);
        if stopped() {
            return Ok(()); // the averages may not have been measured
        }
        let validation = Validation { step, model, ema };
        if step > 0 && validation.rec() < self.log.validations().best {
            tokenizer.save(self.files.file("best.safetensors"), &format!("training, the best after {step} steps"))?;
        }
        self.images.validation(&validation, self.validator.clips(), &reconstructions)?;
        observer.validated(&validation);
        self.log.add(&LogEntry::Validation(validation))
    }

    /// Writes the results of a finished stage.
    pub(crate) fn finish(
        self,
        stage: &Stage,
        trainer: &Trainer,
        clips: &StageClips,
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
        let curves = self.images.curves(&title, self.log.entries()?)?;
        let video = self.files.file("side_by_side.mp4");
        clips.write_example(tokenizer, &self.ffmpeg, &video)?;
        let Validations { first, last: after, .. } = self.log.validations();
        let before = first.as_ref().filter(|first| first.step == 0).map(|first| first.model.clone());
        let summary = StageSummary {
            stage: stage.name.clone(),
            before,
            after: after.as_ref().map(|last| last.model.clone()),
            after_ema: after.as_ref().and_then(|last| last.ema.clone()),
            skipped: trainer.skipped(),
            model,
            state: self.checkpoints.path(trainer.step_number()),
            images: self.files.validation(),
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vidtok::Config;

    use super::*;
    use crate::run::folder::RunFolder;

    #[test]
    fn a_summary_follows_its_folder_when_that_is_moved() {
        let parent = tempfile::tempdir().unwrap();
        let config = Config::parse(include_str!("../../../../../configs/tiny_kl.toml")).unwrap();
        let files = RunFolder::create(parent.path(), &config).unwrap().stage(Some("low")).unwrap();
        let there = |name: &str| Path::new("elsewhere/low").join(name);
        let summary = StageSummary {
            stage: Some("low".to_owned()),
            before: None,
            after: None,
            after_ema: None,
            skipped: 2,
            model: there("model.safetensors"),
            state: there("checkpoints/step-00000009.safetensors"),
            images: there("validation"),
            curves: there("curves.png"),
            video: there("side_by_side.mp4"),
        };
        fs::write(files.file(SUMMARY), serde_json::to_vec(&summary).unwrap()).unwrap();
        let found = read_summary(&files).unwrap().unwrap();
        assert_eq!((found.state, found.skipped), (files.checkpoints().join("step-00000009.safetensors"), 2));
        assert_eq!((found.images, found.video), (files.validation(), files.file("side_by_side.mp4")));
        remove_summary(&files).unwrap();
        assert_eq!(read_summary(&files).unwrap(), None);
        remove_summary(&files).unwrap();
    }
}
