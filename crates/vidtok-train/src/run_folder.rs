//! The folder of one training run.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::TrainError;

/// Where a run writes: `config.toml`, `log.jsonl`, `model.safetensors`, `side_by_side.mp4`, `side_by_side.png`.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    log: File,
}

impl RunFolder {
    /// Makes a new folder: `parent/name`, or with a number behind it if that exists. Nothing is overwritten.
    ///
    /// # Errors
    /// If it cannot be made or written to.
    pub(crate) fn create(parent: &Path, name: &str, config: &str) -> Result<Self, TrainError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| TrainError::Io { path, source }
        };
        fs::create_dir_all(parent).map_err(io(parent))?;
        let path = new_folder(parent, name).map_err(io(&parent.join(name)))?;
        let config_path = path.join("config.toml");
        fs::write(&config_path, config).map_err(io(&config_path))?;
        let log_path = path.join("log.jsonl");
        let log = File::create(&log_path).map_err(io(&log_path))?;
        Ok(Self { path, log })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Appends a line to the log.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn log(&mut self, entry: &impl Serialize) -> Result<(), TrainError> {
        let write = |log: &mut File| -> io::Result<()> {
            let mut line = serde_json::to_vec(entry)?;
            line.push(b'\n');
            log.write_all(&line)
        };
        write(&mut self.log).map_err(|source| TrainError::Io { path: self.path.join("log.jsonl"), source })
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

    #[test]
    fn a_second_run_of_the_same_name_gets_its_own_folder() {
        let parent = tempfile::tempdir().unwrap();
        let runs: Vec<RunFolder> = (0..3).map(|_| RunFolder::create(parent.path(), "a", "x = 1").unwrap()).collect();
        assert_eq!(runs[0].path(), parent.path().join("a"));
        assert_eq!(runs[2].path(), parent.path().join("a-3"));
    }

    #[test]
    fn every_log_entry_is_a_line_of_json() {
        let parent = tempfile::tempdir().unwrap();
        let mut run = RunFolder::create(parent.path(), "a", "").unwrap();
        for step in 0..2 {
            run.log(&serde_json::json!({ "step": step })).unwrap();
        }
        assert_eq!(fs::read_to_string(run.file("log.jsonl")).unwrap(), "{\"step\":0}\n{\"step\":1}\n");
    }
}
