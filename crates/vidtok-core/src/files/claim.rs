//! Claims of processes on pieces of work: locked files.
//!
//! The system releases a lock when its holder ends, also when it is killed, so no claim outlives its worker. This works
//! on network file systems that support `flock` between hosts.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A claim that this process holds until it is dropped.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    _file: File,
}

impl Claim {
    /// Takes the claim of the file at `path`, which is created if it does not exist; `None` if the claim is held.
    ///
    /// # Errors
    /// If the file system fails: [`io::ErrorKind::Unsupported`] if it has no locks.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) if is_current(&file, path)? => return Ok(Some(Self { path: path.to_owned(), _file: file })),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Waits until the claim is free and takes it.
    ///
    /// # Errors
    /// As for [`try_take`](Self::try_take).
    pub fn wait(path: &Path) -> io::Result<Self> {
        loop {
            let file = open(path)?;
            file.lock()?;
            if is_current(&file, path)? {
                return Ok(Self { path: path.to_owned(), _file: file });
            }
        }
    }

    /// Removes the file, as the work is done. Processes that wait for the claim notice that the file is gone.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)
}

/// Whether a locked file is still the one at `path`: the last holder may have removed it.
fn is_current(file: &File, path: &Path) -> io::Result<bool> {
    let locked = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (locked.dev(), locked.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_claim_is_held_once_and_is_free_after_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let claim = Claim::try_take(&path).unwrap().unwrap();
        assert!(Claim::try_take(&path).unwrap().is_none());
        drop(claim);
        Claim::try_take(&path).unwrap().unwrap().remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn no_two_threads_hold_a_claim_whose_file_is_removed_repeatedly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let holders = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let claim = Claim::wait(&path).unwrap();
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        assert_eq!(holders.fetch_sub(1, Ordering::SeqCst), 1);
                        claim.remove().unwrap();
                    }
                });
            }
        });
    }
}
