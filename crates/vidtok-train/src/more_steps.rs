//! Other numbers of steps for a run that has begun.
//!
//! Its state goes on as that of a run which had the new numbers from the start and stands at the same step: the rates of
//! the steps to come follow the schedule over the new number, those of the steps taken stay as they were. So with a
//! constant rate the result is the same to the bit; a cosine is left where it stands for the longer one.

use vidtok::Config;

use crate::checkpoints::Checkpoints;
use crate::config::wrong;
use crate::records;
use crate::run_folder::{RunFolder, StageFolder};
use crate::{Stage, TrainConfig, TrainError, check_overrides};

/// The configuration of a run with `overrides` of its numbers of steps, and the stages whose numbers differ.
///
/// # Errors
/// If anything else would change, a stage has taken more steps than it would have, or the stage after it has begun from
/// its result.
pub(crate) fn changed(
    folder: &RunFolder,
    config: &Config,
    overrides: &[String],
) -> Result<(Config, Vec<StageFolder>), TrainError> {
    check_overrides(config, overrides)?;
    let new = config.with_overrides(overrides)?;
    let (old_stages, new_stages) = (Stage::all(config)?, Stage::all(&new)?);
    let but_steps = |config: &Config, stages: &[Stage]| {
        let stage = |stage: &Stage| Stage { config: TrainConfig { steps: 0, ..stage.config.clone() }, ..stage.clone() };
        (Config { train: None, ..config.clone() }, stages.iter().map(stage).collect::<Vec<_>>())
    };
    if but_steps(config, &old_stages) != but_steps(&new, &new_stages) {
        return Err(wrong("of a run that has begun only numbers of steps can be set".to_owned()));
    }
    let folders: Vec<StageFolder> =
        new_stages.iter().map(|stage| folder.stage_elsewhere(stage.name.as_deref())).collect();
    let taken = folders.iter().map(|files| Checkpoints::newest_step(&files.checkpoints()));
    let taken = taken.collect::<Result<Vec<_>, _>>()?;
    let mut differing = Vec::new();
    for (i, (old, new)) in old_stages.iter().zip(&new_stages).enumerate() {
        let (was, steps) = (old.config.steps, new.config.steps);
        if was == steps {
            continue;
        }
        let of_stage = new.name.as_ref().map_or_else(String::new, |name| format!("stage {name}: "));
        if taken[i].is_some_and(|taken| steps < taken) {
            let taken = taken[i].unwrap_or_default();
            return Err(wrong(format!("{of_stage}steps is {steps}; {taken} have been taken")));
        }
        if taken.get(i + 1).is_some_and(Option::is_some) {
            return Err(wrong(format!("{of_stage}steps stays {was}: the next stage has begun from its result")));
        }
        differing.push(folders[i].clone());
    }
    Ok((new, differing))
}

/// Stores what [`changed`] has found. Whoever is killed in between leaves a run that can be taken up with either number.
pub(crate) fn store(folder: &RunFolder, config: &Config, differing: &[StageFolder]) -> Result<(), TrainError> {
    // A stage without a summary goes on from its last state, which may be that of its last step.
    differing.iter().try_for_each(records::remove_summary)?;
    if differing.is_empty() { Ok(()) } else { folder.write_config(config) }
}
