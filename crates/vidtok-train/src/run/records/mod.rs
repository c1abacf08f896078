//! What is kept of a stage: its states, its log, what a person looks at, and what came of it.

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
use crate::run::data::Data;
use crate::run::folder::StageFolder;
use crate::run::records::images::Pictures;
use crate::run::records::log::{Log, LogEntry, Validations};
use crate::run::validation::{Validation, Validator};
use crate::run::{Observer, StageSummary};
use crate::step::report::StepReport;
use crate::step::trainer::Trainer;

const SUMMARY: &str = "summary.json";

/// What came of a stage, if it is over. Its files are where the folder is now.
pub(crate) fn read_summary(files: &StageFolder) -> Result<Option<StageSummary>, TrainError> {
    let path = files.file(SUMMARY);
    let mut summary: StageSummary = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| TrainError::io(&path, error.into()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TrainError::io(&path, error)),
    };
    let StageSummary { model, state, pictures, curves, video, .. } = &mut summary;
    for (place, folder) in [
        (model, files.path()),
        (state, &files.checkpoints()),
        (pictures, files.path()),
        (curves, files.path()),
        (video, files.path()),
    ] {
        *place = place.file_name().map_or_else(|| folder.to_owned(), |name| folder.join(name));
    }
    Ok(Some(summary))
}

/// Makes a stage that is over one that goes on.
pub(crate) fn remove_summary(files: &StageFolder) -> Result<(), TrainError> {
    let path = files.file(SUMMARY);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(TrainError::io(&path, error)),
        _ => Ok(()),
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

    /// Whether the model was measured after this many steps, and not since.
    pub(crate) fn measured(&self, step: u64) -> bool {
        self.log.validations().last.as_ref().is_some_and(|last| last.step == step)
    }

    /// Keeps the state.
    pub(crate) fn save(&self, trainer: &Trainer) -> Result<(), TrainError> {
        self.checkpoints.save(trainer)
    }

    /// Keeps the numbers of a step.
    pub(crate) fn step(&mut self, report: StepReport, seconds: f64, waiting: f64) -> Result<(), TrainError> {
        self.pictures.step(&report)?;
        self.log.add(&LogEntry::Step { report, seconds, waiting })
    }

    /// Measures the model and its averages, and draws what they make of the clips; not if `stop` is set meanwhile.
    pub(crate) fn validate(
        &mut self,
        trainer: &Trainer,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let step = trainer.step_number();
        let tokenizer = trainer.tokenizer();
        let stopped = || stop.load(Ordering::Relaxed);
        let measured = self.validator.measure_unless(&stopped, tokenizer)?;
        let Some((model, reconstructions)) = measured else { return Ok(()) };
        let measure_averages = || self.validator.measure_unless(&stopped, tokenizer);
        let averaged = trainer.ema().map(|ema| ema.with_averages(tokenizer.parameters(), measure_averages));
        let ema = averaged.transpose()?.flatten().map(|(quality, _)| quality);
        if stopped() {
            return Ok(()); // the averages may have been left out
        }
        let validation = Validation { step, model, ema };
        if step > 0 && validation.rec() < self.log.validations().best {
            tokenizer.save(&self.files.file("best.safetensors"), &format!("training, the best after {step} steps"))?;
        }
        self.pictures.validation(&validation, self.validator.clips(), &reconstructions)?;
        observer.validated(&validation);
        self.log.add(&LogEntry::Validation(validation))
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
        let curves = self.pictures.curves(&title, self.log.entries()?)?;
        let video = self.files.file("side_by_side.mp4");
        data.write_example(tokenizer, &self.ffmpeg, &video)?;
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vidtok::Config;

    use super::*;
    use crate::run::folder::RunFolder;

    #[test]
    fn the_files_of_a_finished_stage_are_found_where_its_folder_has_been_moved_to() {
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
            pictures: there("validation"),
            curves: there("curves.png"),
            video: there("side_by_side.mp4"),
        };
        fs::write(files.file(SUMMARY), serde_json::to_vec(&summary).unwrap()).unwrap();
        let found = read_summary(&files).unwrap().unwrap();
        assert_eq!((found.state, found.skipped), (files.checkpoints().join("step-00000009.safetensors"), 2));
        assert_eq!((found.pictures, found.video), (files.validation(), files.file("side_by_side.mp4")));
        remove_summary(&files).unwrap();
        assert_eq!(read_summary(&files).unwrap(), None);
        remove_summary(&files).unwrap();
    }
}
