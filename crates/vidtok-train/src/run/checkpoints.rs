//! The newest states of a stage on disk.

use std::fs;
use std::path::{Path, PathBuf};

use vidtok_core::remove_partial;

use crate::error::TrainError;
use crate::run::observer::Observer;
use crate::step::trainer::Trainer;

/// A folder of states, `step-N.safetensors`.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    folder: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// The states in `folder`, which must exist; the newest `keep` of them are kept. Removes the partial files of killed
    /// processes.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub(crate) fn open(folder: PathBuf, keep: usize) -> Result<Self, TrainError> {
        remove_partial(&folder).map_err(|error| TrainError::io(&folder, error))?;
        Ok(Self { folder, keep: keep.max(1) })
    }

    /// The file of the state after `step` steps.
    pub(crate) fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step:08}.safetensors"))
    }

    /// Writes the state, then removes the states that are no longer kept.
    pub(crate) fn save(&self, trainer: &Trainer) -> Result<(), TrainError> {
        trainer.save(&self.path(trainer.step_number()))?;
        for path in self.newest_first()?.iter().skip(self.keep) {
            fs::remove_file(path).map_err(|error| TrainError::io(path, error))?;
        }
        Ok(())
    }

    /// Loads the newest state that is not damaged, with a warning if that is not the newest of all; `None` without states.
    ///
    /// # Errors
    /// The first error that is not [`TrainError::Damaged`], or that of the newest state if all are damaged.
    pub(crate) fn newest<T>(
        &self,
        observer: &mut dyn Observer,
        load: impl Fn(&Path) -> Result<T, TrainError>,
    ) -> Result<Option<T>, TrainError> {
        let mut newest = None;
        for path in self.newest_first()? {
            match (load(&path), &newest) {
                (Ok(loaded), Some(damage)) => {
                    observer.warned(&format!("{damage}; resuming from {}", path.display()));
                    return Ok(Some(loaded));
                }
                (Err(damage @ TrainError::Damaged { .. }), None) => newest = Some(damage),
                (Err(TrainError::Damaged { .. }), Some(_)) => {}
                (loaded, _) => return loaded.map(Some),
            }
        }
        newest.map_or(Ok(None), Err)
    }

    /// The steps of the newest state in a folder, damaged or not; `None` without states or without the folder.
    pub(crate) fn newest_step(folder: &Path) -> Result<Option<u64>, TrainError> {
        if !folder.exists() {
            return Ok(None);
        }
        Ok(states(folder)?.first().map(|(step, _)| *step))
    }

    /// Checks that the disk has room for the states to come, which are as large as the present ones.
    pub(crate) fn check_room(&self) -> Result<(), TrainError> {
        let io = |error| TrainError::io(&self.folder, error);
        let mut largest = 0;
        let states = self.newest_first()?;
        for path in &states {
            largest = largest.max(fs::metadata(path).map_err(io)?.len());
        }
        // One more than are kept: a new state is written before an old one is removed.
        let needed = largest * (self.keep + 1).saturating_sub(states.len()) as u64;
        let disk = rustix::fs::statvfs(&self.folder).map_err(|error| io(error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < needed {
            return Err(TrainError::Full { path: self.folder.clone(), free, needed });
        }
        Ok(())
    }

    fn newest_first(&self) -> Result<Vec<PathBuf>, TrainError> {
        Ok(states(&self.folder)?.into_iter().map(|(_, path)| path).collect())
    }
}

/// The states in a folder with their steps, the newest first.
fn states(folder: &Path) -> Result<Vec<(u64, PathBuf)>, TrainError> {
    let io = |error| TrainError::io(folder, error);
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let step = name.strip_prefix("step-").and_then(|rest| rest.strip_suffix(".safetensors"));
        if let Some(step) = step.and_then(|step| step.parse().ok()) {
            found.push((step, path));
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};
    use tempfile::TempDir;
    use vidtok::{Config, Tokenizer};

    use super::*;
    use crate::config::TrainConfig;
    use crate::config::losses::LossConfig;
    use crate::step::losses::{LossParts, Losses};

    /// Collects warnings.
    #[derive(Default)]
    struct Warnings(Vec<String>);

    impl Observer for Warnings {
        fn warned(&mut self, message: &str) {
            self.0.push(message.to_owned());
        }
    }

    fn config() -> Config {
        Config::parse(include_str!("../../../../configs/tiny_kl.toml")).unwrap()
    }

    /// The states after 1, 2 and 3 steps.
    fn three_states() -> (TempDir, Checkpoints) {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path().to_owned(), 3).unwrap();
        let tokenizer = Tokenizer::init(config(), 0, Device::Cpu).unwrap();
        let losses = Losses::new(&LossConfig::default(), None, Device::Cpu);
        let mut trainer = Trainer::new(tokenizer, losses, TrainConfig::example());
        for step in 1..=3 {
            trainer.counts.step = step;
            checkpoints.save(&trainer).unwrap();
        }
        (folder, checkpoints)
    }

    /// The step of the state from which a run with this configuration resumes, and its warnings.
    fn resumed(checkpoints: &Checkpoints, train: &TrainConfig) -> (Result<u64, TrainError>, Vec<String>) {
        let mut warnings = Warnings::default();
        let tokenizer = |weights| Tokenizer::with_weights(config(), weights, Device::Cpu, Kind::Float);
        let load = |path: &Path| Trainer::resume(path, tokenizer, LossParts::of(&train.loss, None), train.clone());
        let loaded = checkpoints.newest(&mut warnings, load);
        (loaded.map(|trainer| trainer.unwrap().step_number()), warnings.0)
    }

    #[test]
    fn a_damaged_state_is_skipped_with_a_warning_that_names_it_and_the_state_resumed_from() {
        let (_folder, checkpoints) = three_states();
        let whole = fs::read(checkpoints.path(3)).unwrap();
        let flipped: Vec<u8> =
            whole.iter().enumerate().map(|(i, byte)| byte ^ u8::from(i == whole.len() - 9)).collect();
        for damaged in [&[][..], &whole[..5], &whole[..whole.len() / 2], &flipped, b"{}"] {
            fs::write(checkpoints.path(3), damaged).unwrap();
            let (step, warnings) = resumed(&checkpoints, &TrainConfig::example());
            assert_eq!((step.unwrap(), warnings.len()), (2, 1));
            let line = &warnings[0];
            assert!(line.contains("step-00000003.safetensors: the state is damaged: "), "{line}");
            assert!(line.ends_with("step-00000002.safetensors") && line.lines().count() == 1, "{line}");
        }
    }

    #[test]
    fn the_damage_of_the_newest_state_is_the_error_if_all_states_are_damaged() {
        let (_folder, checkpoints) = three_states();
        for step in 1..=3 {
            fs::write(checkpoints.path(step), "cut").unwrap();
        }
        let (step, warnings) = resumed(&checkpoints, &TrainConfig::example());
        assert!(step.unwrap_err().to_string().contains("step-00000003") && warnings.is_empty());
    }

    #[test]
    fn an_intact_state_of_another_run_ends_the_search_with_the_difference() {
        let (_folder, checkpoints) = three_states();
        let loss = LossConfig { gan: Some(vidtok_loss::GanConfig::default()), ..LossConfig::default() };
        let (step, warnings) = resumed(&checkpoints, &TrainConfig { loss, ..TrainConfig::example() });
        let error = step.unwrap_err().to_string();
        assert!(error.contains("step-00000003") && error.contains("loss.discriminator"), "{error}");
        assert!(warnings.is_empty());
    }

    #[test]
    fn a_state_that_cannot_be_read_ends_the_search_with_the_reason() {
        let (_folder, checkpoints) = three_states();
        let newest = checkpoints.path(3);
        fs::remove_file(&newest).unwrap();
        std::os::unix::fs::symlink(&newest, &newest).unwrap(); // unreadable even for root
        let (step, warnings) = resumed(&checkpoints, &TrainConfig::example());
        let error = step.unwrap_err();
        assert!(matches!(&error, TrainError::Io { path, .. } if *path == newest), "{error}");
        assert!(warnings.is_empty());
    }
}
