//! The `.deps` folder: one set-up at a time, and parts that are either complete or absent.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A file in each part that says what the part was made from.
const STAMP: &str = ".stamp";

/// The `.deps` folder, locked for this process.
pub(crate) struct Store {
    dir: PathBuf,
    _lock: File,
}

impl Store {
    /// Makes the folder where it is missing, and waits until no other set-up works in it.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let path = dir.join(".lock");
        let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another set-up to finish");
                lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => bail!("cannot lock {}: {error}", path.display()),
        }
        Ok(Self { dir: dir.to_path_buf(), _lock: lock })
    }

    /// The folder of downloads, which are kept until the part that they are for is complete.
    pub(crate) fn downloads(&self) -> Result<PathBuf> {
        let dir = self.dir.join("downloads");
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }

    /// Makes sure that the folder `name` is what `stamp` says: if it is not, `fill` fills an empty folder that replaces
    /// it. The name can be a path: folders above are made.
    pub(crate) fn part(&self, name: &str, stamp: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let part = self.dir.join(name);
        if has_stamp(&part.join(STAMP), stamp) {
            return Ok(part);
        }
        let staging = self.stage(fill)?;
        write_stamp(&staging.join(STAMP), stamp)?;
        part.parent().map_or(Ok(()), fs::create_dir_all)?;
        remove_dir(&part)?;
        rename(&staging, &part)?;
        remove_dir(&self.downloads()?)?;
        Ok(part)
    }

    /// Makes sure that these files in the folder `name`, which may hold others, are what `stamp` says: if they are not,
    /// `fill` makes them in an empty folder, from which they are moved.
    pub(crate) fn files<const N: usize>(
        &self,
        name: &str,
        files: [&str; N],
        stamp: &str,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<[PathBuf; N]> {
        let dir = self.dir.join(name);
        let paths = files.map(|file| dir.join(file));
        let stamps = files.map(|file| dir.join(format!(".{file}{STAMP}")));
        if paths.iter().zip(&stamps).all(|(path, file)| path.is_file() && has_stamp(file, stamp)) {
            return Ok(paths);
        }
        let staging = self.stage(fill)?;
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        for ((file, path), stamp_file) in files.iter().zip(&paths).zip(&stamps) {
            rename(&staging.join(file), path)?;
            write_stamp(stamp_file, stamp)?;
        }
        remove_dir(&staging)?;
        remove_dir(&self.downloads()?)?;
        Ok(paths)
    }

    /// A temporary folder that `fill` has filled completely.
    fn stage(&self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let staging = self.dir.join(".staging");
        remove_dir(&staging)?;
        fs::create_dir(&staging).with_context(|| format!("cannot make {}", staging.display()))?;
        fill(&staging)?;
        Ok(staging)
    }
}

fn has_stamp(file: &Path, stamp: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|found| found.trim_end() == stamp)
}

fn write_stamp(file: &Path, stamp: &str) -> Result<()> {
    fs::write(file, format!("{stamp}\n")).with_context(|| format!("cannot write {}", file.display()))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot make {}", to.display()))
}

/// Removes a folder with its contents; a missing one is no error.
fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_made_once_and_again_when_its_stamp_changes() -> Result<()> {
        let temp = tempfile::tempdir()?;
        let store = Store::open(&temp.path().join(".deps"))?;
        let fill = |text: &'static str| move |dir: &Path| Ok(fs::write(dir.join("file"), text)?);

        let part = store.part("part", "1", fill("one"))?;
        assert_eq!(fs::read_to_string(part.join("file"))?, "one");
        store.part("part", "1", |_| bail!("must not be filled again"))?;
        store.part("part", "2", fill("two"))?;
        assert_eq!(fs::read_to_string(part.join("file"))?, "two");
        let below = store.part("parts/below", "1", fill("one"))?;
        assert_eq!(fs::read_to_string(below.join("file"))?, "one");
        Ok(())
    }

    #[test]
    fn a_part_whose_filling_failed_is_absent() -> Result<()> {
        let temp = tempfile::tempdir()?;
        let store = Store::open(temp.path())?;
        let broken = store.part("part", "1", |dir| {
            fs::write(dir.join("half"), "")?;
            bail!("interrupted")
        });
        assert!(broken.is_err());
        assert!(!temp.path().join("part").exists());

        let part = store.part("part", "1", |_| Ok(()))?;
        assert!(!part.join("half").exists(), "files of an earlier attempt must not remain");
        Ok(())
    }

    #[test]
    fn files_are_made_once_and_leave_their_neighbours_alone() -> Result<()> {
        let temp = tempfile::tempdir()?;
        let store = Store::open(temp.path())?;
        let fill = |text: &'static str| {
            move |dir: &Path| {
                fs::write(dir.join("raw"), "")?;
                Ok(fs::write(dir.join("a"), text)?)
            }
        };
        store.files("assets", ["a"], "1", fill("one"))?;
        let dir = temp.path().join("assets");
        fs::write(dir.join("neighbour"), "")?;
        store.files("assets", ["a"], "1", |_| bail!("must not be made again"))?;
        let [path] = store.files("assets", ["a"], "2", fill("two"))?;
        assert_eq!(fs::read_to_string(&path)?, "two");
        assert!(dir.join("neighbour").exists() && !dir.join("raw").exists());

        fs::remove_file(&path)?;
        assert!(store.files("assets", ["a"], "2", |_| bail!("interrupted")).is_err());
        store.files("assets", ["a"], "2", fill("two"))?;
        assert_eq!(fs::read_to_string(&path)?, "two");
        Ok(())
    }
}
