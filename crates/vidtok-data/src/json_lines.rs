//! Files of one JSON value a line, which several processes may append to.
//!
//! A line is written in one piece, at the end of the file as it is then, so lines of several writers do not mix. A line
//! that a crash cut short is no JSON and is passed over by readers.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::LoadError;

/// An open file of JSON lines, to append to.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: File,
}

impl JsonLines {
    /// Opens the file, or makes an empty one, and hands each line that can be understood to `take`.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn open<T: DeserializeOwned>(path: &Path, take: impl FnMut(T)) -> Result<Self, LoadError> {
        let open = || {
            let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
            let ended = read(&file, take)?;
            if !ended {
                // The next line must not be joined to what a crash has left.
                (&file).write_all(b"\n")?;
            }
            Ok(file)
        };
        let file = open().map_err(|source| LoadError::File { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn append(&self, value: &impl Serialize) -> Result<(), LoadError> {
        let line = || {
            let mut line = serde_json::to_vec(value)?;
            line.push(b'\n');
            (&self.file).write_all(&line)
        };
        line().map_err(|source| LoadError::File { path: self.path.clone(), source })
    }
}

/// Whether the last line has its end.
fn read<T: DeserializeOwned>(file: &File, mut take: impl FnMut(T)) -> std::io::Result<bool> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut ended = true;
    while reader.read_until(b'\n', &mut line)? > 0 {
        ended = line.ends_with(b"\n");
        if let Ok(value) = serde_json::from_slice(&line) {
            take(value);
        }
        line.clear();
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> (JsonLines, Vec<u32>) {
        let mut values = Vec::new();
        let lines = JsonLines::open(path, |value| values.push(value)).unwrap();
        (lines, values)
    }

    #[test]
    fn damaged_lines_are_passed_over_and_do_no_harm_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, b"1\nnot json\n\xff\xfe\n\n2\n[3").unwrap();
        let (lines, values) = open(&path);
        assert_eq!(values, [1, 2]);
        lines.append(&4).unwrap();
        assert_eq!(open(&path).1, [1, 2, 4]);
    }

    #[test]
    fn several_writers_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (lines, _) = open(&path);
                scope.spawn(move || (0..100).for_each(|i| lines.append(&(writer * 100 + i)).unwrap()));
            }
        });
        let mut values = open(&path).1;
        values.sort_unstable();
        assert_eq!(values, (0..400).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = JsonLines::open(&folder.path().join("no/a.jsonl"), |_: u32| ()).unwrap_err().to_string();
        assert!(error.contains("no/a.jsonl") && error.contains("No such file"), "{error}");
    }
}
