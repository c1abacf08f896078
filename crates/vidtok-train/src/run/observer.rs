//! The events of a run, for progress displays.

use std::path::PathBuf;

use crate::run::validation::Validation;
use crate::step::report::StepReport;

/// Receives the events of a run, and ignores those that it does not override.
pub trait Observer {
    /// A stage starts or resumes.
    fn started(&mut self, _start: &Start) {}

    /// A step was taken; `waiting` is the fraction of its time spent waiting for clips.
    fn stepped(&mut self, _report: &StepReport, _waiting: f64) {}

    /// The model was validated.
    fn validated(&mut self, _validation: &Validation) {}

    /// Work other than steps that takes a while.
    fn busy(&mut self, _what: &str) {}

    /// A problem that does not end the run.
    fn warned(&mut self, _message: &str) {}
}

/// The facts about a stage at its start.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The folder of the stage.
    pub folder: PathBuf,
    /// The name of the stage, if the run has stages.
    pub stage: Option<String>,
    /// Steps already taken.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Clips per step.
    pub clips: u64,
    /// The number of processes.
    pub processes: usize,
    /// Trained parameters of the tokenizer.
    pub parameters: i64,
    /// Training videos, or procedural scenes.
    pub videos: usize,
    /// Whether the clips are procedural because the folder of videos does not exist.
    pub procedural_fallback: bool,
}
