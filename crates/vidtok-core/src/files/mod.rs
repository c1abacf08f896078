//! Writing files atomically: a file is either whole or not there.

pub(crate) mod claim;
pub(crate) mod fetched;

use std::fs::{self, File, Permissions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempPath;

/// The prefix of temporary files' names.
const PARTIAL: &str = ".partial-";
/// The prefix that the crate `tempfile` uses by default; earlier versions wrote such files.
const PARTIAL_OF_TEMPFILE: &str = ".tmp";

/// An empty file in the folder of `path`, which is removed unless it is renamed (`persist`).
///
/// # Errors
/// If the folder cannot be written.
pub fn temporary_beside(path: &Path) -> io::Result<TempPath> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL).permissions(default_permissions());
    let temporary = builder.tempfile_in(folder)?.into_temp_path();
    remembered().add(&temporary);
    Ok(temporary)
}

/// Removes all files of [`temporary_beside`] that were not renamed. A process that ends without unwinding calls this,
/// because no destructor runs then. A thread that still writes to such a file can no longer rename it.
pub fn remove_temporary() {
    remembered().remove();
}

/// The temporary files of this process that may still exist.
static REMEMBERED: Mutex<Remembered> = Mutex::new(Remembered(Vec::new()));

fn remembered() -> MutexGuard<'static, Remembered> {
    REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Remembered(Vec<PathBuf>);

impl Remembered {
    /// From this many paths on, those whose files are gone are dropped from time to time.
    const MOST: usize = 64;

    fn add(&mut self, path: &Path) {
        if self.0.len() >= Self::MOST && self.0.len().is_power_of_two() {
            self.0.retain(|path| path.exists());
        }
        // Absolute, because the process may change its working directory.
        self.0.extend(std::path::absolute(path));
    }

    fn remove(&mut self) {
        for path in self.0.drain(..) {
            // Most of the files were renamed.
            let _ = fs::remove_file(path);
        }
    }
}

/// Calls `write` with a temporary file beside `path`, and renames the file to `path` if `write` succeeds.
///
/// # Errors
/// If `write` or the file system fails; `path` is then unchanged and the temporary file removed.
pub fn write_atomically<E: From<io::Error>>(path: &Path, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let temporary = temporary_beside(path)?;
    let permissions = fs::metadata(&temporary)?.permissions();
    write(&temporary)?;
    // `write` may have replaced the file.
    fs::set_permissions(&temporary, permissions)?;
    File::open(&temporary)?.sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Removes the temporary files that killed writers, including those of earlier versions, left in `folder`. No writer may
/// be active there.
///
/// # Errors
/// If the file system fails.
pub fn remove_partial(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if [PARTIAL, PARTIAL_OF_TEMPFILE].iter().any(|partial| name.as_encoded_bytes().starts_with(partial.as_bytes()))
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The permissions that `File::create` would set; the system applies the user's umask.
fn default_permissions() -> Permissions {
    use std::os::unix::fs::PermissionsExt;
    Permissions::from_mode(0o666)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "old").unwrap();
        let failed = write_atomically(&path, |temporary| {
            std::fs::write(temporary, "half")?;
            Err(io::Error::other("no"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn temporary_files_are_removed_and_paths_of_renamed_ones_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("there"), "").unwrap();
        std::fs::write(path("other"), "").unwrap();
        let mut remembered = Remembered(Vec::new());
        remembered.add(&path("there"));
        for index in 0..5 * Remembered::MOST {
            remembered.add(&path(&format!("gone {index}")));
        }
        assert!(remembered.0.len() <= Remembered::MOST, "{}", remembered.0.len());
        remembered.remove();
        assert!(!path("there").exists() && path("other").exists());
    }

    #[test]
    fn remove_partial_removes_temporary_files_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();
        let left = temporary_beside(&folder.path().join("b")).unwrap().keep().unwrap();
        let by_others = tempfile::NamedTempFile::new_in(folder.path()).unwrap().into_temp_path().keep().unwrap();
        remove_partial(folder.path()).unwrap();
        assert!(!left.exists() && !by_others.exists());
        assert!(folder.path().join("a").exists());
    }

    #[test]
    fn a_file_gets_default_permissions_even_if_the_writer_created_a_private_one() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, plain) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&plain, "").unwrap();
        write_atomically(&path, |temporary| {
            let private = tempfile::NamedTempFile::new_in(folder.path())?;
            private.persist(temporary).map(drop).map_err(|failed| failed.error)
        })
        .unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }

    #[test]
    fn a_successful_write_replaces_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "old").unwrap();
        write_atomically(&path, |temporary| std::fs::write(temporary, "new")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    }
}
