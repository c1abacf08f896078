//! Files of JSON lines: one value per line, which several processes may append to.
//!
//! Each line is appended by a single write, so lines of several writers do not mix. Readers skip lines that are not
//! valid JSON, such as one that a crash cut short.
//!
//! These files lie in data folders, which may come from others. Hence only regular files are opened, links are not
//! followed, and a line of any length takes bounded memory.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::LoadError;

/// The longest line that is read, in bytes. The list of a shard of 50,000 videos is shorter.
const LONGEST: u64 = 64 << 20;

/// A file of JSON lines, open for appending.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: File,
}

impl JsonLines {
    /// Opens the file, or creates an empty one, and calls `take` with the value of each valid line.
    ///
    /// # Errors
    /// If the file cannot be opened, created or read, or is not a regular file (a link, a pipe, a folder).
    pub fn open<T: DeserializeOwned>(path: &Path, take: impl FnMut(T)) -> Result<Self, LoadError> {
        let open = || {
            let file = open_regular(path)?;
            let ended = read(&file, LONGEST, take)?;
            if !ended {
                // Separates the next line from an incomplete line that a crash left behind.
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
    /// If the file cannot be written.
    pub fn append(&self, value: &impl Serialize) -> Result<(), LoadError> {
        let line = || {
            let mut line = serde_json::to_vec(value)?;
            line.push(b'\n');
            (&self.file).write_all(&line)
        };
        line().map_err(|source| LoadError::File { path: self.path.clone(), source })
    }
}

/// Opens a file for reading and appending, or creates an empty one.
fn open_regular(path: &Path) -> io::Result<File> {
    // NONBLOCK: opening a pipe would wait for its writer.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = OpenOptions::new().read(true).append(true).create(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::LOOP.raw_os_error() => io::Error::other("is a link; links are not followed"),
        _ => error,
    })?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// Reads all lines. Returns whether the last line is terminated. Skips lines longer than `longest` bytes.
fn read<T: DeserializeOwned>(file: &File, longest: u64, mut take: impl FnMut(T)) -> io::Result<bool> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let (mut ended, mut is_start) = (true, true);
    while (&mut reader).take(longest).read_until(b'\n', &mut line)? > 0 {
        ended = line.ends_with(b"\n");
        let is_whole = is_start && (ended || (line.len() as u64) < longest);
        if is_whole && let Ok(value) = serde_json::from_slice(&line) {
            take(value);
        }
        is_start = ended;
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
    fn invalid_lines_are_skipped_and_do_not_damage_later_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, b"1\nnot json\n\xff\xfe\n\n2\n[3").unwrap();
        let (lines, values) = open(&path);
        assert_eq!(values, [1, 2]);
        lines.append(&4).unwrap();
        assert_eq!(open(&path).1, [1, 2, 4]);
    }

    #[test]
    fn concurrent_writers_lose_no_lines() {
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
    fn lines_that_are_too_long_are_skipped() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"1\n\"0123456789\"\n2\n         3\n         4").unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut values: Vec<serde_json::Value> = Vec::new();
        assert!(!read(&file, 10, |value| values.push(value)).unwrap());
        assert_eq!(values, [1, 2]);
    }

    #[test]
    fn only_regular_files_are_opened_and_links_are_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
        std::fs::write(at("other"), "private").unwrap();
        std::os::unix::fs::symlink("other", at("link")).unwrap();
        std::os::unix::fs::symlink("made", at("link-to-nothing")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        for (name, problem) in [
            ("pipe", "not a regular file"),
            ("link", "is a link"),
            ("link-to-nothing", "is a link"),
            ("folder", "directory"),
        ] {
            let error = JsonLines::open(&at(name), |_: u32| ()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(problem), "{error}");
        }
        assert_eq!(std::fs::read_to_string(at("other")).unwrap(), "private");
        assert!(!at("made").exists());
    }

    #[test]
    fn a_file_that_cannot_be_created_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = JsonLines::open(&folder.path().join("no/a.jsonl"), |_: u32| ()).unwrap_err().to_string();
        assert!(error.contains("no/a.jsonl") && error.contains("No such file"), "{error}");
    }
}
