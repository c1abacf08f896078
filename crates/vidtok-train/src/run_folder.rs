//! The folder of a run, and those of its stages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use vidtok::Config;

use crate::TrainError;

/// Where a run writes: `config.toml`, and a folder for each stage, or the stage's files right here if there is one
/// stage without a name.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

const CONFIG: &str = "config.toml";
const CHECKPOINTS: &str = "checkpoints";

impl RunFolder {
    /// Makes a new folder: `parent/name`, or with a number behind it if that exists. Nothing is overwritten.
    ///
    /// # Errors
    /// If it cannot be made or written to.
    pub(crate) fn create(parent: &Path, config: &Config) -> Result<Self, TrainError> {
        fs::create_dir_all(parent).map_err(|error| TrainError::io(parent, error))?;
        let path =
            new_folder(parent, &config.name).map_err(|error| TrainError::io(&parent.join(&config.name), error))?;
        let text = config.to_toml()?;
        let file = path.join(CONFIG);
        vidtok_core::write_atomically(&file, |temporary| fs::write(temporary, text))
            .map_err(|error| TrainError::io(&file, error))?;
        Ok(Self { path })
    }

    /// Takes a new folder away again, because its run could not begin. One whose run has begun stays.
    pub(crate) fn discard_unless_begun(&self, first_stage: Option<&str>) {
        let states = self.stage_path(first_stage).join(CHECKPOINTS);
        let begun = fs::read_dir(states).is_ok_and(|mut states| states.next().is_some());
        if !begun && fs::remove_dir_all(&self.path).is_ok() {
            // The folder of all runs goes too if this was to be the first.
            let _ = self.path.parent().map(fs::remove_dir);
        }
    }

    fn stage_path(&self, name: Option<&str>) -> PathBuf {
        name.map_or_else(|| self.path.clone(), |name| self.path.join(name))
    }

    /// The folder of an earlier run, and its configuration.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn open(path: &Path) -> Result<(Self, Config), TrainError> {
        let config = Config::load(&path.join(CONFIG), &[])?;
        Ok((Self { path: path.to_owned() }, config))
    }

    /// The folder of a run that another process keeps.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a stage of a run that another process keeps; it may not be there on this machine.
    pub(crate) fn stage_elsewhere(&self, name: Option<&str>) -> StageFolder {
        StageFolder { path: self.stage_path(name) }
    }

    /// The folder of a stage, made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn stage(&self, name: Option<&str>) -> Result<StageFolder, TrainError> {
        let folder = StageFolder { path: self.stage_path(name) };
        for path in [folder.path.clone(), folder.checkpoints(), folder.validation()] {
            fs::create_dir_all(&path).map_err(|error| TrainError::io(&path, error))?;
        }
        Ok(folder)
    }
}

/// The files of a stage.
#[derive(Clone, Debug)]
pub(crate) struct StageFolder {
    path: PathBuf,
}

impl StageFolder {
    /// States to go on from.
    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// Pictures of each validation.
    pub(crate) fn validation(&self) -> PathBuf {
        self.path.join("validation")
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Any other file.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn new_folder(parent: &Path, name: &str) -> io::Result<PathBuf> {
    for number in 1_u32.. {
        let path = if number == 1 { parent.join(name) } else { parent.join(format!("{name}-{number}")) };
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            other => return other.map(|()| path),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::parse(include_str!("../../../configs/tiny_kl.toml")).unwrap()
    }

    #[test]
    fn a_second_run_of_the_same_name_gets_its_own_folder() {
        let parent = tempfile::tempdir().unwrap();
        let runs: Vec<RunFolder> = (0..3).map(|_| RunFolder::create(parent.path(), &config()).unwrap()).collect();
        assert_eq!(runs[0].path(), parent.path().join("tiny_kl"));
        assert_eq!(runs[2].path(), parent.path().join("tiny_kl-3"));
    }

    #[test]
    fn a_run_knows_its_configuration_and_its_stages_have_folders() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunFolder::create(parent.path(), &config()).unwrap();
        let (again, stored) = RunFolder::open(run.path()).unwrap();
        assert_eq!(stored, config());
        assert!(again.stage(Some("low")).unwrap().checkpoints().starts_with(run.path().join("low")));
        assert_eq!(again.stage(None).unwrap().path(), run.path());
        assert!(RunFolder::open(parent.path()).is_err());
    }
}
