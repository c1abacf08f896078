//! Python's pip, asked for the packages. Only its network side is used: nothing is built, run or installed, and any
//! Python that pip runs on serves, because the kind of file is named.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::package::{Format, Package};
use crate::workspace::{on_path, run};

const FETCH: &str = include_str!("fetch.py");
/// What `fetch.py` exits with when it does not know this pip.
const UNKNOWN_PIP: i32 = 3;
const PROGRAM: &str = "python3";

/// The bytes of a package from an offset on, as they arrive.
pub(crate) struct Download {
    child: Child,
    bytes: BufReader<ChildStdout>,
    /// Size of the whole file, 0 when the server does not tell.
    pub(crate) size: u64,
}

/// An error that says what to install when there is no Python or it has no pip.
pub(crate) fn require_pip() -> Result<()> {
    let otherwise = "or name what you have with LIBTORCH and VIDTOK_FFMPEG";
    if on_path(PROGRAM).is_none() {
        bail!("{PROGRAM} is not on PATH; install Python 3 with pip, {otherwise}");
    }
    let pip = Command::new(PROGRAM).args(["-m", "pip", "--version"]).output();
    if !pip.is_ok_and(|output| output.status.success()) {
        bail!("{PROGRAM} has no pip; install it (Debian: python3-pip), {otherwise}");
    }
    Ok(())
}

/// Starts to fetch a package from byte `offset` on. None when this pip is of a kind that cannot.
pub(crate) fn download(package: &Package, offset: u64) -> Result<Option<Download>> {
    let mut child = Command::new(PROGRAM)
        .args(["-c", FETCH, &offset.to_string(), package.name, package.version])
        .args(pip_options(package.format))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {PROGRAM}"))?;
    let stdout = child.stdout.take().context("no pipe from Python")?;
    let mut download = Download { child, bytes: BufReader::with_capacity(1 << 18, stdout), size: 0 };
    let mut line = String::new();
    download.bytes.read_line(&mut line).context("cannot read from Python")?;
    match line.trim_end().parse() {
        Ok(size) => download.size = size,
        Err(_) if download.child.wait()?.code() == Some(UNKNOWN_PIP) => return Ok(None),
        Err(_) => download.finish()?,
    }
    Ok(Some(download))
}

/// Fetches a wheel into an empty folder with `pip download`, which cannot go on with a part of it.
pub(crate) fn pip_download(package: &Package, dir: &Path) -> Result<()> {
    // To learn what an sdist needs, pip would run what is in it.
    ensure!(package.format == Format::Wheel, "this version of pip is of an unknown kind, install another");
    let mut pip = Command::new(PROGRAM);
    pip.args(["-m", "pip", "download", "--quiet"]).args(pip_options(package.format));
    pip.arg("--dest").arg(dir).arg(format!("{}==={}", package.name, package.version));
    if !run(&mut pip)?.success() {
        bail!("pip download fails");
    }
    Ok(())
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl Download {
    /// To be called after the last byte: tells what went wrong, if something did.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let mut message = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            stderr.read_to_string(&mut message).context("cannot read from Python")?;
        }
        if self.child.wait()?.success() {
            return Ok(());
        }
        bail!("{}", message.lines().last().unwrap_or("Python ended without a word"))
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // After a full disk or the like Python still sends; it may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same file for every Python: the sdist, or the wheel for CPython 3.11 on Linux x86-64 with glibc 2.28 or newer.
fn pip_options(format: Format) -> Vec<String> {
    let mut options = [
        "--no-deps",
        "--no-cache-dir",
        "--no-input",
        // Who has no network is told so soon; a download that breaks off is taken up again all the same.
        "--retries=1",
        "--ignore-requires-python",
    ]
    .map(String::from)
    .to_vec();
    match format {
        Format::Sdist => options.push("--no-binary=:all:".into()),
        Format::Wheel => {
            options.extend(
                ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp", "--abi=cp311"]
                    .map(String::from),
            );
            options.push("--platform=manylinux2014_x86_64".into());
            options.extend((17..=28).map(|minor| format!("--platform=manylinux_2_{minor}_x86_64")));
        }
    }
    options
}
