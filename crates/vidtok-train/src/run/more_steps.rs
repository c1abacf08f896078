//! Changes the number of steps of a run that has started.
//!
//! The run continues as if it had had the new number from the start: learning rates of the steps to come follow the
//! schedule over the new number, while the steps already taken stay as they are. So with a constant rate the result is
//! identical to the bit; with a cosine, the rate changes over to the longer cosine at the current step.

use vidtok::Config;

use crate::config::TrainConfig;
use crate::config::stages::{Stage, check_overrides};
use crate::config::wrong;
use crate::error::TrainError;
use crate::run::checkpoints::Checkpoints;
use crate::run::folder::{RunFolder, StageFolder};
use crate::run::records;

/// The configuration of a run with `overrides` of its numbers of steps, and the folders of the stages that change.
///
/// # Errors
/// If anything else would change, a stage has already taken more steps than the new number, or the next stage has started
/// from its result.
pub(crate) fn changed(
    folder: &RunFolder,
    config: &Config,
    overrides: &[String],
) -> Result<(Config, Vec<StageFolder>), TrainError> {
    check_overrides(config, overrides)?;
    let new = config.with_overrides(overrides)?;
    let (old_stages, new_stages) = (Stage::all(config)?, Stage::all(&new)?);
    let without_steps = |config: &Config, stages: &[Stage]| {
        let stage = |stage: &Stage| Stage {
            config: TrainConfig { steps: 0, ..stage.config.clone() },
            earlier_steps: 0,
            ..stage.clone()
        };
        (Config { train: None, ..config.clone() }, stages.iter().map(stage).collect::<Vec<_>>())
    };
    if without_steps(config, &old_stages) != without_steps(&new, &new_stages) {
        return Err(wrong("only numbers of steps can be set for a run that has started".to_owned()));
    }
    let folders: Vec<StageFolder> =
        new_stages.iter().map(|stage| folder.stage_elsewhere(stage.name.as_deref())).collect();
    let taken = folders.iter().map(|files| Checkpoints::newest_step(&files.checkpoints()));
    let taken = taken.collect::<Result<Vec<_>, _>>()?;
    let mut differing = Vec::new();
    for (i, (old, new)) in old_stages.iter().zip(&new_stages).enumerate() {
        let (before, steps) = (old.config.steps, new.config.steps);
        if before == steps {
            continue;
        }
        let prefix = new.name.as_ref().map_or_else(String::new, |name| format!("stage {name}: "));
        if taken[i].is_some_and(|taken| steps < taken) {
            let taken = taken[i].unwrap_or_default();
            return Err(wrong(format!("{prefix}steps is {steps}, but {taken} have already been taken")));
        }
        if taken.get(i + 1).is_some_and(Option::is_some) {
            return Err(wrong(format!("{prefix}steps must stay {before}: the next stage has started from its result")));
        }
        differing.push(folders[i].clone());
    }
    Ok((new, differing))
}

/// Stores the result of [`changed`]. If it is killed in between, the run can be resumed with either number.
pub(crate) fn store(folder: &RunFolder, config: &Config, differing: &[StageFolder]) -> Result<(), TrainError> {
    // A stage without a summary resumes from its last state, even if it had taken all its steps.
    differing.iter().try_for_each(records::remove_summary)?;
    if differing.is_empty() { Ok(()) } else { folder.write_config(config) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TRAIN: &str = r#"
        batch_size = 2
        data = { frames = 5, size = [16, 16] }
        [[stages]]
        name = "first"
        steps = 4
        [[stages]]
        name = "second"
        steps = 4
        [[stages]]
        name = "third"
        steps = 4
    "#;

    #[test]
    fn steps_may_change_unless_they_were_taken_or_the_next_stage_has_started() {
        let parent = tempfile::tempdir().unwrap();
        let mut config = Config::parse(include_str!("../../../../configs/tiny_kl.toml")).unwrap();
        config.train = Some(toml::from_str(TRAIN).unwrap());
        let run = RunFolder::create(parent.path(), &config).unwrap();
        for (stage, step) in [("first", 4), ("second", 2), ("second", 3)] {
            let states = run.stage(Some(stage)).unwrap().checkpoints();
            fs::write(states.join(format!("step-{step:08}.safetensors")), "").unwrap();
        }
        let change = |text: &str| changed(&run, &config, &[text.to_owned()]);
        for (text, why) in [
            ("train.stages.first.steps=5", "stage first: steps must stay 4: the next stage has started"),
            ("train.stages.second.steps=2", "stage second: steps is 2, but 3 have already been taken"),
            ("train.stages.second.steps=0", "stage second: steps is 0; it must be from 1"),
            ("train.steps=9", "set train.stages.first.steps"),
            ("train.stages.second.batch_size=4", "only numbers of steps"),
            ("train.seed=1", "only numbers of steps"),
            ("model.ch=16", "only numbers of steps"),
            ("name=other", "only numbers of steps"),
        ] {
            let error = change(text).unwrap_err().to_string();
            assert!(error.contains(why) && error.lines().count() == 1, "{text}: {error}");
        }
        for (text, stage, steps) in [
            ("train.stages.second.steps=3", 1, 3),
            ("train.stages.second.steps=9", 1, 9),
            ("train.stages.third.steps=1", 2, 1),
        ] {
            let (new, differing) = change(text).unwrap();
            assert_eq!((Stage::all(&new).unwrap()[stage].config.steps, differing.len()), (steps, 1), "{text}");
        }
        let (same, differing) = change("train.stages.first.steps=4").unwrap();
        assert!(Stage::all(&same).unwrap() == Stage::all(&config).unwrap() && differing.is_empty());
    }
}
