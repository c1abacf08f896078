//! The folder of a run, and those of its stages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use vidtok::Config;
use vidtok_core::Claim;

use crate::error::TrainError;

/// Where a run writes: `config.toml`, and a folder for each stage, or the stage's files right here if there is one
/// stage without a name.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Keeps other processes out while this one lives; none where another process keeps the folder, or where the file
    /// system knows no locks.
    claim: Option<Claim>,
}

const CONFIG: &str = "config.toml";
const CHECKPOINTS: &str = "checkpoints";
const LOCK: &str = "run.lock";
/// The longest name of a configuration, in bytes: file systems take 255, and some characters follow it.
pub(crate) const LONGEST_NAME: usize = 200;

/// A configuration's name, which files and folders are called by.
///
/// # Errors
/// If it could lead anywhere but into the folder that they are made in.
pub(crate) fn checked_name(config: &Config) -> Result<&str, TrainError> {
    let name = config.name.as_str();
    let faulty = |c: char| c.is_control() || std::path::is_separator(c) || c == '\\';
    let needed = match name {
        "" => "not be empty".to_owned(),
        _ if name.len() > LONGEST_NAME => format!("have at most {LONGEST_NAME} bytes"),
        _ if name.starts_with('.') => "not start with a dot".to_owned(),
        _ if name.contains(faulty) => "have neither slashes nor control characters".to_owned(),
        _ => return Ok(name),
    };
    Err(TrainError::Name { name: name.chars().take(40).collect(), needed })
}

impl RunFolder {
    /// Makes a new folder: `parent/name`, or with a number behind it if that exists. Nothing is overwritten.
    ///
    /// # Errors
    /// If the configuration's name is no folder's, or it cannot be made or written to.
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

    /// Takes a new folder away again, because its run could not begin. One whose run has begun stays.
    pub(crate) fn discard_unless_begun(mut self, first_stage: Option<&str>) {
        let states = self.stage_path(first_stage).join(CHECKPOINTS);
        if fs::read_dir(states).is_ok_and(|mut states| states.next().is_some()) {
            return;
        }
        // Its file goes with the folder; one of that name is then another process's.
        let _claim = self.claim.take();
        if fs::remove_dir_all(&self.path).is_ok() {
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
    /// If it is none, or another process trains in it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Config), TrainError> {
        let _ = Config::load(&path.join(CONFIG), &[])?; // no lock in a folder that is no run's
        let claim = claim(path)?;
        // Whoever had the claim before may have changed it.
        let config = Config::load(&path.join(CONFIG), &[])?;
        Ok((Self { path: path.to_owned(), claim }, config))
    }

    /// The folder of a run that another process keeps.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), claim: None }
    }

    /// Whether nothing keeps another process out of a folder that this one keeps.
    pub(crate) fn is_unlocked(&self) -> bool {
        self.claim.is_none()
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

impl Drop for RunFolder {
    fn drop(&mut self) {
        // Without its file the claim ends as well; a file that stays keeps nobody out.
        let _ = self.claim.take().map(Claim::remove);
    }
}

/// The claim on a run's folder, which ends with this process; none if the file system knows no locks.
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
    fn a_folder_is_kept_by_one_and_by_the_next_once_that_one_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunFolder::create(parent.path(), &config()).unwrap();
        let path = run.path().to_owned();
        let error = RunFolder::open(&path).unwrap_err();
        assert!(matches!(&error, TrainError::InUse { run } if *run == path), "{error}");
        assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
        drop(run);
        assert!(!path.join(LOCK).exists());
        // What a killed process leaves.
        fs::write(path.join(LOCK), "").unwrap();
        let (_again, _) = RunFolder::open(&path).unwrap();
        assert!(RunFolder::open(&path).is_err());
    }

    #[test]
    fn names_that_lead_out_of_the_folder_of_all_runs_are_refused_in_a_line() {
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
    fn a_second_run_of_the_same_name_gets_its_own_folder() {
        let parent = tempfile::tempdir().unwrap();
        let runs: Vec<RunFolder> = (0..3).map(|_| RunFolder::create(parent.path(), &config()).unwrap()).collect();
        assert_eq!(runs[0].path(), parent.path().join("tiny_kl"));
        assert_eq!(runs[2].path(), parent.path().join("tiny_kl-3"));
    }

    #[test]
    fn a_run_knows_its_configuration_and_its_stages_have_folders() {
        let parent = tempfile::tempdir().unwrap();
        let path = RunFolder::create(parent.path(), &config()).unwrap().path().to_owned();
        let (again, stored) = RunFolder::open(&path).unwrap();
        assert_eq!(stored, config());
        assert!(again.stage(Some("low")).unwrap().checkpoints().starts_with(path.join("low")));
        assert_eq!(again.stage(None).unwrap().path(), path);
        assert!(RunFolder::open(parent.path()).is_err());
    }
}
