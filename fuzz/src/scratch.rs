//! Files for readers that want a path.

use std::path::{Path, PathBuf};

/// Calls `then` with the path of a file of these contents, alone in a folder, which is removed afterwards.
pub(crate) fn with_file<T>(name: &str, contents: &[u8], then: impl FnOnce(&Path) -> T) -> T {
    with_path(name, |path| {
        write(path, contents);
        then(path)
    })
}

/// The same without the file.
pub(crate) fn with_path<T>(name: &str, then: impl FnOnce(&Path) -> T) -> T {
    // In memory where the system has such a folder: there are many files.
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = match tempfile::tempdir_in(folder) {
        Ok(folder) => folder,
        Err(error) => panic!("no folder for files: {error}"),
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
