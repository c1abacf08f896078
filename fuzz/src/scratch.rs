//! Temporary files for readers that need a path.

use std::path::{Path, PathBuf};

/// Calls `then` with the path of a file with these contents in a folder of its own, which is removed afterwards.
pub(crate) fn with_file<T>(name: &str, contents: &[u8], then: impl FnOnce(&Path) -> T) -> T {
    with_path(name, |path| {
        write(path, contents);
        then(path)
    })
}

/// Calls `then` with the path of a file that does not exist yet in a folder of its own, which is removed afterwards.
pub(crate) fn with_path<T>(name: &str, then: impl FnOnce(&Path) -> T) -> T {
    // Memory is faster than a disk for so many small files.
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = match tempfile::tempdir_in(folder) {
        Ok(folder) => folder,
        Err(error) => panic!("cannot create a temporary folder: {error}"),
    };
    then(&folder.path().join(name))
}

pub(crate) fn write(path: &Path, contents: &[u8]) {
    if let Err(error) = std::fs::write(path, contents) {
        panic!("{}: {error}", path.display());
    }
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    match std::fs::read(path) {
        Ok(contents) => contents,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}
