//! `-` for standard input and output.
//!
//! Containers need seeking, and a video is probed before it is read. Standard input is therefore first copied to an
//! unnamed temporary file in TMPDIR, which disappears with the process, however it ends.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::terminal::error_line::error_line;
use crate::terminal::progress;

const INPUT: &str = "standard input";
const OUTPUT: &str = "standard output";

/// Whether a path stands for standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// A file to read.
pub(crate) struct Input {
    path: PathBuf,
    /// The copy, if this is standard input.
    copy: Option<File>,
}

impl Input {
    fn open(path: &Path) -> io::Result<Self> {
        if !is_standard(path) {
            return Ok(Self { path: path.to_owned(), copy: None });
        }
        let mut copy = tempfile::tempfile()?;
        progress::during("reading standard input", || io::copy(&mut io::stdin().lock(), &mut copy))?;
        // Child processes can open this name too.
        let path = format!("/proc/{}/fd/{}", std::process::id(), copy.as_raw_fd()).into();
        Ok(Self { path, copy: Some(copy) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its name in messages.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        if self.copy.is_some() { INPUT.into() } else { self.path.to_string_lossy() }
    }

    /// Whether it is a safetensors file, by its extension, or for standard input by its content.
    pub(crate) fn is_tensor_file(&self) -> bool {
        match &self.copy {
            Some(copy) => is_safetensors(copy),
            None => is_tensor_name(&self.path),
        }
    }
}

/// Calls `work` with the input at `path`. Errors about the copy of standard input name standard input.
pub(crate) fn with_input<T>(path: &Path, work: impl FnOnce(&Input) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let input = Input::open(path).context(INPUT)?;
    let result = work(&input);
    match input.copy {
        Some(_) => {
            let copy = input.path.display().to_string();
            result.map_err(|error| anyhow!(error_line(&error).replace(&copy, INPUT)))
        }
        None => result,
    }
}

/// Whether a file starts with a plausible header length and with JSON.
fn is_safetensors(file: &File) -> bool {
    const MAX_HEADER: u64 = 100_000_000;
    let mut start = [0; 9];
    let [length @ .., first] = &mut start;
    let read = file.read_exact_at(length, 0).and_then(|()| file.read_exact_at(std::slice::from_mut(first), 8));
    read.is_ok() && *first == b'{' && u64::from_le_bytes(*length) <= MAX_HEADER
}

/// Whether this name is that of a safetensors file.
pub(crate) fn is_tensor_name(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("safetensors"))
}

/// Calls `write` with `path`, or with a temporary file that is then copied to standard output.
pub(crate) fn write_file(path: &Path, write: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if !is_standard(path) {
        return write(path);
    }
    let folder = tempfile::tempdir().context(OUTPUT)?;
    let copy = folder.path().join(OUTPUT);
    write(&copy)?;
    let mut file = File::open(&copy).context(OUTPUT)?;
    // It is unlinked before it is copied, so that nothing remains if the reader stalls and this process is stopped.
    folder.close().context(OUTPUT)?;
    let mut stdout = io::stdout().lock();
    io::copy(&mut file, &mut stdout).and_then(|_| stdout.flush()).context(OUTPUT)
}

/// Prints a line to standard output, or to standard error if `output` occupies standard output.
pub(crate) fn print_result(output: &Path, line: &str) -> anyhow::Result<()> {
    if is_standard(output) {
        eprintln!("{line}");
        return Ok(());
    }
    writeln!(io::stdout(), "{line}").context(OUTPUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safetensors_files_are_recognised_by_their_first_bytes() {
        let starts = |bytes: &[u8]| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(bytes, 0).unwrap();
            is_safetensors(&file)
        };
        assert!(starts(b"\x40\0\0\0\0\0\0\0{\"video\":"));
        for other in [&b"\0\0\0\x20ftypisom"[..], b"\x40\0\0\0\0\0\0\0", b"", b"{\"a\": {}}{"] {
            assert!(!starts(other), "{other:?}");
        }
    }
}
