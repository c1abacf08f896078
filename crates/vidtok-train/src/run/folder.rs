//! The folder of a run and the folders of its stages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use vidtok::Config;
use vidtok_core::Claim;

use crate::error::TrainError;

/// The folder of a run: it holds `config.toml` and a folder for each stage, or the files of the stage itself if the run
/// has a single stage without a name.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Keeps other processes out while this one lives; `None` if another process holds it, or if the file system does not
    /// support locks.
    claim: Option<Claim>,
}

const CONFIG: &str = "config.toml";
const CHECKPOINTS: &str = "checkpoints";
const LOCK: &str = "run.lock";
/// The longest name of a configuration in bytes: file systems allow 255, and suffixes follow the name.
pub(crate) const LONGEST_NAME: usize = 200;

/// The name of a configuration, which names files and folders.
///
/// # Errors
/// If it could lead out of the folder in which they are created.
pub(crate) fn checked_name(config: &Config) -> Result<&str, TrainError> {
    let name = config.name.as_str();
    let invalid = |c: char| c.is_control() || std::path::is_separator(c) || c == '\\';
    let needed = match name {
        "" => "not be empty".to_owned(),
        _ if name.len() > LONGEST_NAME => format!("have at most {LONGEST_NAME} bytes"),
        _ if name.starts_with('.') => "not start with a dot".to_owned(),
        _ if name.contains(invalid) => "have neither slashes nor control characters".to_owned(),
        _ => return Ok(name),
    };
    Err(TrainError::Name { name: name.chars().take(40).collect(), needed })
}

impl RunFolder {
    /// Creates a new folder: `parent/name`, or `parent/name-N` if that exists. Nothing is overwritten.
    ///
    /// # Errors
    /// If the configuration's name cannot name a folder, or the folder cannot be created or written to.
    pub(crate) fn create(parent: &Path, config: &Config) -> Result<Self, TrainError> {
        let name = checked_name(config)?;
        fs::create_dir_all(parent).map_err(|error| TrainError::io(parent, error))?;
        let path = new_folder(parent, name).map_err(|error| TrainError::io(&parent.join(name), error))?;
        let folder = Self { claim: claim(&path)?, path };
        folder.write_config(config)?;
        Ok(folder)
    }

    /// Stores the configuration.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write_config(&self, config: &Config) -> Result<(), TrainError> {
        let (file, text) = (self.path.join(CONFIG), config.to_toml()?);
        vidtok_core::write_atomically(&file, |temporary| fs::write(temporary, text))
            .map_err(|error| TrainError::io(&file, error))
    }

    /// Removes a new folder whose run could not start. The folder stays if the run has started.
    pub(crate) fn discard_unless_started(mut self, first_stage: Option<&str>) {
        let states = self.stage_path(first_stage).join(CHECKPOINTS);
        if fs::read_dir(states).is_ok_and(|mut states| states.next().is_some()) {
            return;
        }
        // The lock file goes with the folder; a later file of that name belongs to another process.
        let _claim = self.claim.take();
        if fs::remove_dir_all(&self.path).is_ok() {
            // The parent folder goes too if this was its first run.
            let _ = self.path.parent().map(fs::remove_dir);
        }
    }

    fn stage_path(&self, name: Option<&str>) -> PathBuf {
        name.map_or_else(|| self.path.clone(), |name| self.path.join(name))
    }

    /// Opens the folder of an earlier run and reads its configuration.
    ///
    /// # Errors
    /// If it is not the folder of a run, or another process is training in it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Config), TrainError> {
        let _ = Config::load(path.join(CONFIG), &[])?; // leaves no lock in any other folder
        let claim = claim(path)?;
        // The previous holder of the claim may have changed it.
        let config = Config::load(path.join(CONFIG), &[])?;
        Ok((Self { path: path.to_owned(), claim }, config))
    }

    /// The folder of a run that another process holds.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), claim: None }
    }

    /// Whether this folder is not protected against other processes.
    pub(crate) fn is_unlocked(&self) -> bool {
        self.claim.is_none()
    }

    /// The path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a stage of a run that another process holds; it may not exist on this machine.
    pub(crate) fn stage_elsewhere(&self, name: Option<&str>) -> StageFolder {
        StageFolder { path: self.stage_path(name) }
    }

    /// The folder of a stage, created if it does not exist.
    ///
    /// # Errors
    /// If it cannot be created.
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
    /// The folder of the states to resume from.
    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The folder of the images of each validation.
    pub(crate) fn validation(&self) -> PathBuf {
        self.path.join("validation")
    }

    /// The path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of another file.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // A file that cannot be removed does no harm: the claim ends with the process.
        let _ = self.claim.take().map(Claim::remove);
    }
}

/// The claim on a run's folder, which ends with this process; `None` if the file system does not support locks.
fn claim(run: &Path) -> Result<Option<Claim>, TrainError> {
    let path = run.join(LOCK);
    match Claim::try_take(&path) {
        Ok(Some(claim)) => Ok(Some(claim)),
        Ok(None) => Err(TrainError::InUse { run: run.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(TrainError::io(&path, error)),
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
        Config::parse(include_str!("../../../../configs/tiny_kl.toml")).unwrap()
    }

    #[test]
    fn a_folder_is_held_by_one_process_and_free_once_that_one_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunFolder::create(parent.path(), &config()).unwrap();
        let path = run.path().to_owned();
        let error = RunFolder::open(&path).unwrap_err();
        assert!(matches!(&error, TrainError::InUse { run } if *run == path), "{error}");
        assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
        drop(run);
        assert!(!path.join(LOCK).exists());
        // A killed process leaves its lock file.
        fs::write(path.join(LOCK), "").unwrap();
        let (_again, _) = RunFolder::open(&path).unwrap();
        assert!(RunFolder::open(&path).is_err());
    }

    #[test]
    fn names_that_lead_out_of_the_folder_of_all_runs_are_refused_in_one_line() {
        let parent = tempfile::tempdir().unwrap();
        let runs = parent.path().join("deep/runs");
        let long = "a".repeat(5000);
        for name in ["", ".", "..", "../../x", "/tmp/x", "a/b", "a\\b", ".hidden", "a\nb", "a\u{1b}[31m", "a\0", &long]
        {
            let error = RunFolder::create(&runs, &Config { name: name.to_owned(), ..config() }).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, TrainError::Name { .. }) && text.len() < 200, "{text}");
            assert!(text.starts_with("the configuration's name is \"") && !text.contains(char::is_control), "{text}");
        }
        assert!(!parent.path().join("deep").exists());
        for name in ["vidtok_kl_causal_488_4chn", "my model v1.1", "größe-2"] {
            let run = RunFolder::create(&runs, &Config { name: name.to_owned(), ..config() }).unwrap();
            assert_eq!(run.path(), runs.join(name));
        }
    }

    #[test]
    fn runs_of_the_same_name_get_different_folders() {
        let parent = tempfile::tempdir().unwrap();
        let runs: Vec<RunFolder> = (0..3).map(|_| RunFolder::create(parent.path(), &config()).unwrap()).collect();
        assert_eq!(runs[0].path(), parent.path().join("tiny_kl"));
        assert_eq!(runs[2].path(), parent.path().join("tiny_kl-3"));
    }

    #[test]
    fn a_run_stores_its_configuration_and_has_a_folder_for_each_stage() {
        let parent = tempfile::tempdir().unwrap();
        let path = RunFolder::create(parent.path(), &config()).unwrap().path().to_owned();
        let (again, stored) = RunFolder::open(&path).unwrap();
        assert_eq!(stored, config());
        assert!(again.stage(Some("low")).unwrap().checkpoints().starts_with(path.join("low")));
        assert_eq!(again.stage(None).unwrap().path(), path);
        assert!(RunFolder::open(parent.path()).is_err());
    }
}
