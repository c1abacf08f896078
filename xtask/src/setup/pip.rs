//! Python's pip as the program that downloads: its settings hold here too (index, mirror, proxy, certificates,
//! credentials), so the code names no host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{on_path, run};

const PROGRAM: &str = "python3";
/// Downloads that fail are tried again: the torch wheel has half a gigabyte.
const TRIES: usize = 3;

/// The two kinds of files that a package comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A zip archive, ready to be installed.
    Wheel,
    /// A gzipped tar archive of sources. pip runs its `setup.py` for the package's metadata, after checking the hash.
    Sdist,
}

/// Downloads one file into `dir`, which it empties first, and returns its path. `requirement` is a line of a
/// requirements file and states the hash.
pub(crate) fn download(requirement: &str, format: Format, dir: &Path) -> Result<PathBuf> {
    require_pip()?;
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let list = dir.with_extension("txt");
    fs::write(&list, requirement).with_context(|| format!("cannot write {}", list.display()))?;
    for attempt in 1.. {
        let mut pip = Command::new(PROGRAM);
        pip.args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-cache-dir",
            "--no-input",
            "--retries=2",
            "--require-hashes",
        ]);
        pip.args(options(format)).arg("--dest").arg(dir).arg("--requirement").arg(&list).stdout(io::stderr());
        if run(&mut pip)?.success() {
            break;
        }
        ensure!(attempt < TRIES, "pip cannot download it; is there a network?");
        eprintln!("trying again");
    }
    Ok(fs::read_dir(dir)?.next().context("pip downloaded nothing")??.path())
}

/// Says what to install where Python or its pip is missing.
fn require_pip() -> Result<()> {
    let otherwise = "or set LIBTORCH and VIDTOK_FFMPEG to what you have";
    if on_path(PROGRAM).is_none() {
        bail!("{PROGRAM} is not on PATH; install Python 3 with pip, {otherwise}");
    }
    let pip = Command::new(PROGRAM).args(["-m", "pip", "--version"]).output();
    if !pip.is_ok_and(|output| output.status.success()) {
        bail!("{PROGRAM} has no pip; install it (Debian: python3-pip), {otherwise}");
    }
    Ok(())
}

/// Any Python gets the same file: the sdist, or the wheel for CPython 3.11 on Linux x86-64 with glibc 2.28 or newer.
fn options(format: Format) -> Vec<String> {
    let fixed: &[&str] = match format {
        Format::Sdist => &["--no-binary=:all:"],
        Format::Wheel => &[
            "--only-binary=:all:",
            "--python-version=3.11",
            "--implementation=cp",
            "--abi=cp311",
            "--platform=manylinux2014_x86_64",
        ],
    };
    let platforms = (17..=28).map(|minor| format!("--platform=manylinux_2_{minor}_x86_64"));
    fixed.iter().map(|&option| option.to_owned()).chain(platforms.filter(|_| format == Format::Wheel)).collect()
}
