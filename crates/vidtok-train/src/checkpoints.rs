//! The states of a stage on disk: the newest few.

use std::fs;
use std::path::{Path, PathBuf};

use vidtok_core::remove_partial;

use crate::{Observer, TrainError, Trainer};

/// A folder of states, `step-N.safetensors`.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    folder: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// In `folder`, which must exist; the newest `keep` are kept. What a killed process has left half-written is
    /// removed.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub(crate) fn open(folder: PathBuf, keep: usize) -> Result<Self, TrainError> {
        remove_partial(&folder).map_err(|error| TrainError::io(&folder, error))?;
        Ok(Self { folder, keep: keep.max(1) })
    }

    /// The file of the state after so many steps.
    pub(crate) fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step:08}.safetensors"))
    }

    /// Writes the state, then removes those that are too old.
    pub(crate) fn save(&self, trainer: &Trainer) -> Result<(), TrainError> {
        trainer.save(&self.path(trainer.step_number()))?;
        for path in self.newest_first()?.iter().skip(self.keep) {
            fs::remove_file(path).map_err(|error| TrainError::io(path, error))?;
        }
        Ok(())
    }

    /// What `load` makes of the newest state that it can read; none if there are no states. Those that it cannot read
    /// are passed over with a warning.
    pub(crate) fn newest<T>(
        &self,
        observer: &mut dyn Observer,
        load: impl Fn(&Path) -> Result<T, TrainError>,
    ) -> Result<Option<T>, TrainError> {
        let mut failure = None;
        for path in self.newest_first()? {
            match load(&path) {
                Ok(loaded) => return Ok(Some(loaded)),
                Err(error) => {
                    observer.warned(&format!("{error}; trying the state before it"));
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// Makes sure that the states to come, which are as large as those that are there, have room.
    pub(crate) fn check_room(&self) -> Result<(), TrainError> {
        let io = |error| TrainError::io(&self.folder, error);
        let mut largest = 0;
        let states = self.newest_first()?;
        for path in &states {
            largest = largest.max(fs::metadata(path).map_err(io)?.len());
        }
        // One more than are kept: the new one stands before an old one goes.
        let needed = largest * (self.keep + 1).saturating_sub(states.len()) as u64;
        let disk = rustix::fs::statvfs(&self.folder).map_err(|error| io(error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < needed {
            return Err(TrainError::Full { path: self.folder.clone(), free, needed });
        }
        Ok(())
    }

    fn newest_first(&self) -> Result<Vec<PathBuf>, TrainError> {
        let io = |error| TrainError::io(&self.folder, error);
        let mut found: Vec<(u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let step = name.strip_prefix("step-").and_then(|rest| rest.strip_suffix(".safetensors"));
            if let Some(step) = step.and_then(|step| step.parse().ok()) {
                found.push((step, path));
            }
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }
}
