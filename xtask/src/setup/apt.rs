//! Debian's apt as the program that downloads: its settings hold here too (mirror, proxy, keys), so the code names no
//! host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::on_path;

const PROGRAM: &str = "apt-get";
const UNPACKER: &str = "dpkg-deb";
/// Downloads single files with apt's settings. It comes with apt but is not on the PATH.
const HELPER: &str = "/usr/lib/apt/apt-helper";
const ADVICE: &str = "not to be had (if apt's lists are old, run apt-get update)";
const RETRIES: &str = "Acquire::Retries=2";

/// Downloads a binary package into `dir`, which it empties first, and returns its path.
pub(crate) fn download(name: &str, version: &str, dir: &Path) -> Result<PathBuf> {
    prepare(dir)?;
    let package = format!("{name}={version}");
    output(Command::new(PROGRAM).args(["download", "-o", RETRIES, &package]).current_dir(dir)).context(ADVICE)?;
    Ok(fs::read_dir(dir)?.next().context("apt-get downloaded nothing")??.path())
}

/// Does the same for the source archive of `name`, which lies in one folder with `binary`, a package built from it.
pub(crate) fn download_source(name: &str, version: &str, sha256: &str, binary: &str, dir: &Path) -> Result<PathBuf> {
    prepare(dir)?;
    ensure!(Path::new(HELPER).is_file(), "{HELPER} is missing; it comes with apt");
    let package = format!("{binary}={version}");
    let listed = output(Command::new(PROGRAM).args(["download", "--print-uris", &package])).context(ADVICE)?;
    let archive = archive_name(name, version);
    let address = beside(&String::from_utf8_lossy(&listed.stdout), &archive)?;
    let file = dir.join(archive);
    let hash = format!("SHA256:{sha256}");
    output(Command::new(HELPER).args(["-o", RETRIES, "download-file", &address]).arg(&file).arg(hash))?;
    Ok(file)
}

/// Unpacks a binary package into the folder `dest`.
pub(crate) fn unpack(file: &Path, dest: &Path) -> Result<()> {
    require(UNPACKER)?;
    output(Command::new(UNPACKER).arg("-x").args([file, dest])).map(drop)
}

fn prepare(dir: &Path) -> Result<()> {
    require(PROGRAM)?;
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
}

fn require(program: &str) -> Result<()> {
    ensure!(on_path(program).is_some(), "{program} is not on PATH; packages of Debian need a Debian system");
    Ok(())
}

/// The file name of the source archive: a version without its epoch and Debian's revision.
fn archive_name(name: &str, version: &str) -> String {
    let version = version.split_once(':').map_or(version, |(_, version)| version);
    let version = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
    format!("{name}_{version}.orig.tar.gz")
}

/// The address of the file `name` beside the one in a line of `apt-get --print-uris`: `'ADDRESS' FILE SIZE HASH`.
fn beside(line: &str, name: &str) -> Result<String> {
    let address = line.split('\'').nth(1).context("apt-get states no address")?;
    let (folder, _) = address.rsplit_once('/').with_context(|| format!("{address} has no folder"))?;
    Ok(format!("{folder}/{name}"))
}

/// Runs a command to its end. If it fails, the error is the first one that it reported.
fn output(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("cannot start {}", program.display()))?;
    if output.status.success() {
        return Ok(output);
    }
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    let reason = report.lines().find_map(|line| line.strip_prefix("E: ")).or_else(|| report.lines().next());
    let program = Path::new(&program).file_name().unwrap_or(&program).display();
    bail!("{program}: {}", reason.unwrap_or("failed without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_archive_lies_beside_its_binary_package() -> Result<()> {
        let line =
            "'http://mirror/debian/pool/main/v/visp/libvisp-doc_3.5.0-4_all.deb' libvisp-doc_3.5.0-4_all.deb 1 A:b";
        let address = beside(line, &archive_name("visp", "1:3.5.0-4"))?;
        assert_eq!(address, "http://mirror/debian/pool/main/v/visp/visp_3.5.0.orig.tar.gz");
        assert!(beside("", "a").is_err());
        Ok(())
    }

    #[test]
    fn an_error_is_the_first_that_the_program_reported() {
        let script = "echo 'W: unsandboxed' >&2; echo 'E: Version not found' >&2; exit 100";
        let error = output(Command::new("sh").args(["-c", script])).unwrap_err();
        assert_eq!(error.to_string(), "sh: Version not found");
    }
}
