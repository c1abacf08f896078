//! The results of a run and of its stages.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::run::validation::Scores;

/// The results of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingSummary {
    /// The folder of the run.
    pub folder: PathBuf,
    /// The finished stages.
    pub stages: Vec<StageSummary>,
    /// Whether it was stopped before its end.
    pub stopped: bool,
    /// Whether it had finished before this call, which then took no steps.
    pub ended_before: bool,
}

/// The results of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageSummary {
    /// The name of the stage, if the run has stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The scores of the model before the first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Scores>,
    /// The scores of the model after the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Scores>,
    /// The scores of the moving averages after the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ema: Option<Scores>,
    /// Steps that were skipped because a number was not finite.
    pub skipped: u64,
    /// The trained one-file model.
    pub model: PathBuf,
    /// The state after the last step: also a one-file model, with everything that training needs.
    pub state: PathBuf,
    /// The folder of images of clips and their reconstructions.
    #[serde(rename = "pictures")]
    pub images: PathBuf,
    /// The curves of all numbers, as an image.
    pub curves: PathBuf,
    /// A video of a clip beside its reconstruction.
    pub video: PathBuf,
}
