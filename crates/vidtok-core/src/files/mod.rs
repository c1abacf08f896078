//! Writing files so that none is ever seen half-written.

pub(crate) mod claim;
pub(crate) mod fetched;

use std::fs::{self, File, Permissions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempPath;

/// How the names of temporary files start.
const PARTIAL: &str = ".partial-";
/// And of those that the crate `tempfile` names by itself.
const PARTIAL_OF_TEMPFILE: &str = ".tmp";

/// An empty file in the folder of `path`, removed unless it is renamed (`persist`).
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

/// Removes all files of [`temporary_beside`] that were not renamed: for a process that ends without unwinding, which
/// would remove them. Whoever still writes to one writes to nothing, and cannot rename it.
pub fn remove_temporary() {
    remembered().remove();
}

/// The temporary files of this process that may be there still.
static REMEMBERED: Mutex<Remembered> = Mutex::new(Remembered(Vec::new()));

fn remembered() -> MutexGuard<'static, Remembered> {
    REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Remembered(Vec<PathBuf>);

impl Remembered {
    /// This many are kept before those that are gone are forgotten.
    const MOST: usize = 64;

    fn add(&mut self, path: &Path) {
        if self.0.len() >= Self::MOST && self.0.len().is_power_of_two() {
            self.0.retain(|path| path.exists());
        }
        // Should the process move to another folder, the file stays where it is.
        self.0.extend(std::path::absolute(path));
    }

    fn remove(&mut self) {
        for path in self.0.drain(..) {
            // Most of them are gone.
            let _ = fs::remove_file(path);
        }
    }
}

/// Gives `write` a temporary file beside `path` and renames it to `path` once `write` has succeeded.
///
/// # Errors
/// What `write` or the file system says; `path` is untouched then and nothing is left behind.
pub fn write_atomically<E: From<io::Error>>(path: &Path, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let temporary = temporary_beside(path)?;
    let permissions = fs::metadata(&temporary)?.permissions();
    write(&temporary)?;
    // `write` may have put another file in its place.
    fs::set_permissions(&temporary, permissions)?;
    File::open(&temporary)?.sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Removes the temporary files of writers that were killed from `folder`: ours, and those that writers of earlier versions
/// left. No writer may be at work there.
///
/// # Errors
/// What the file system says.
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

/// What a plain `File::create` would give; the system takes the user's umask off.
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
    fn temporary_files_that_are_there_are_removed_and_those_that_are_gone_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("there"), "").unwrap();
        std::fs::write(path("other"), "").unwrap();
        let mut remembered = Remembered(Vec::new());
        remembered.add(&path("there"));
        for place in 0..5 * Remembered::MOST {
            remembered.add(&path(&format!("gone {place}")));
        }
        assert!(remembered.0.len() <= Remembered::MOST, "{}", remembered.0.len());
        remembered.remove();
        assert!(!path("there").exists() && path("other").exists());
    }

    #[test]
    fn what_killed_writers_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();
        let left = temporary_beside(&folder.path().join("b")).unwrap().keep().unwrap();
        let by_others = tempfile::NamedTempFile::new_in(folder.path()).unwrap().into_temp_path().keep().unwrap();
        remove_partial(folder.path()).unwrap();
        assert!(!left.exists() && !by_others.exists());
        assert!(folder.path().join("a").exists());
    }

    #[test]
    fn others_may_read_what_was_written_even_if_the_writer_made_a_private_file() {
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
    fn a_good_write_replaces_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "old").unwrap();
        write_atomically(&path, |temporary| std::fs::write(temporary, "new")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    }
}
