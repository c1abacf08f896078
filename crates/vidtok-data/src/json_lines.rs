//! Files of one JSON value a line, which several processes may append to.
//!
//! A line is written in one piece, at the end of the file as it is then, so lines of several writers do not mix. A line
//! that a crash cut short is no JSON and is passed over by readers.
//!
//! Such files stand in folders of data, which may come from others: only regular files are opened, no link is followed to
//! what it names, and a line of any length takes no more memory than the longest that counts.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::LoadError;

/// The longest line that is read, in bytes: a shard's list of 50,000 videos is shorter.
const LONGEST: u64 = 64 << 20;

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
    /// If the file system refuses, or the file is a link, a pipe or anything else but a regular file.
    pub fn open<T: DeserializeOwned>(path: &Path, take: impl FnMut(T)) -> Result<Self, LoadError> {
        let open = || {
            let file = open_regular(path)?;
            let ended = read(&file, LONGEST, take)?;
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

/// Opens a file for reading and appending, or makes an empty one.
fn open_regular(path: &Path) -> io::Result<File> {
    // A pipe is not waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = OpenOptions::new().read(true).append(true).create(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::LOOP.raw_os_error() => io::Error::other("is a link, which is not followed"),
        _ => error,
    })?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// Whether the last line has its end. Lines of more than `longest` bytes are passed over.
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
    fn lines_that_are_too_long_are_passed_over() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"1\n\"0123456789\"\n2\n         3\n         4").unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut values: Vec<serde_json::Value> = Vec::new();
        assert!(!read(&file, 10, |value| values.push(value)).unwrap());
        assert_eq!(values, [1, 2]);
    }

    #[test]
    fn pipes_links_and_folders_are_refused_at_once_and_nothing_is_written_through() {
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
    fn a_file_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = JsonLines::open(&folder.path().join("no/a.jsonl"), |_: u32| ()).unwrap_err().to_string();
        assert!(error.contains("no/a.jsonl") && error.contains("No such file"), "{error}");
    }
}
