//! `cargo xtask wheel`: the Python package `vidtok` as a wheel, and its tests in a fresh environment.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::setup;
use crate::workspace::{Workspace, run};

/// The crate of the package.
const CRATE: &str = "crates/vidtok-py";
/// The model that the wheel carries.
const MODEL: &str = "vidtok_lite_kl_causal_488_16chn.safetensors";
const MATURIN: &str = "maturin==1.16.0";
/// What the tests need besides the wheel. torch is the version of our libtorch.
const TEST_PACKAGES: [&str; 6] =
    ["torch==2.11.0", "numpy", "safetensors==0.8.0", "ray[data]==2.60.0", "moto[server]==5.2.5", "boto3"];
/// The oldest glibc whose symbols the libraries use, as a tag of the wheel.
const PLATFORM: &str = "manylinux_2_34";
/// The largest wheel in bytes.
const LARGEST: u64 = 15_000_000;
/// The linker keeps one of all functions with the same code: rustc's own linker on Linux, lld, can do so.
const FOLD_FUNCTIONS: &str = "-Clink-arg=-Wl,--icf=all";

/// Builds the wheel in `target/wheels`. With `check`, installs it in a fresh environment of `python` and runs the
/// package's tests there.
pub(crate) fn command(workspace: &Workspace, python: &OsStr, check: bool) -> Result<ExitCode> {
    setup::run(workspace)?;
    let wheels = workspace.root().join("target/wheels");
    fill_package(workspace)?;
    let environment = environment(python, &workspace.root().join("target/maturin"), &[MATURIN])?;
    fs::create_dir_all(&wheels)?;
    for old in wheel_files(&wheels)? {
        fs::remove_file(old)?;
    }
    let mut maturin = Command::new(environment.join("bin/maturin"));
    maturin.current_dir(workspace.root().join(CRATE));
    maturin.args(["build", "--profile", "dist", "--compatibility", PLATFORM, "--compression-level", "9", "--out"]);
    maturin.arg(&wheels).args(["--", FOLD_FUNCTIONS]);
    ensure!(run(&mut maturin)?.success(), "maturin failed");
    let wheel = wheel_files(&wheels)?.pop().context("maturin made no wheel")?;
    let bytes = fs::metadata(&wheel)?.len();
    eprintln!("{}  {:.1} MB", wheel.display(), bytes as f64 / 1e6);
    ensure!(bytes <= LARGEST, "the wheel is larger than {} MB", LARGEST / 1_000_000);
    if check {
        test(workspace, python, &wheel)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts the command line and the model into the package's folder; git ignores both.
fn fill_package(workspace: &Workspace) -> Result<()> {
    let mut build = workspace.cargo();
    build.args(["rustc", "--profile", "dist", "--package", "vidtok-cli", "--bin", "vidtok", "--no-default-features"]);
    build.args(["--", FOLD_FUNCTIONS]);
    ensure!(run(&mut build)?.success(), "the command line does not build");
    let package = workspace.root().join(CRATE).join("python/vidtok");
    let program = workspace.root().join("target/dist/vidtok");
    let model = workspace.root().join("models").join(MODEL);
    for (from, folder) in [(program, "bin"), (model, "models")] {
        let folder = package.join(folder);
        fs::create_dir_all(&folder)?;
        let to = folder.join(from.file_name().unwrap_or_default());
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

/// Runs the package's tests in a fresh environment, outside the repository, so that they find the installed package only.
fn test(workspace: &Workspace, python: &OsStr, wheel: &Path) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let wheel = wheel.to_str().context("the wheel's path is not UTF-8")?;
    let environment = environment(python, folder.path(), &[&TEST_PACKAGES[..], &[wheel]].concat())?;
    let mut tests = Command::new(environment.join("bin/python"));
    tests.current_dir(folder.path()).args(["-m", "unittest", "discover", "--verbose", "--start-directory"]);
    tests.arg(workspace.root().join(CRATE).join("tests"));
    // What cargo sets for the programs that it starts, a user does not have.
    tests.env_remove("LD_LIBRARY_PATH").env_remove("LIBTORCH");
    let fetched = workspace.deps().join("ffmpeg/ffmpeg");
    if std::env::var_os("VIDTOK_FFMPEG").is_none() && fetched.is_file() {
        tests.env("VIDTOK_FFMPEG", fetched);
    }
    ensure!(run(&mut tests)?.success(), "the package's tests failed");
    Ok(())
}

/// The virtual environment at `folder` with these packages.
fn environment(python: &OsStr, folder: &Path, packages: &[&str]) -> Result<PathBuf> {
    let mut make = Command::new(python);
    make.args(["-m", "venv"]).arg(folder);
    ensure!(run(&mut make)?.success(), "{} cannot make a virtual environment", python.display());
    let mut install = Command::new(folder.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    ensure!(run(&mut install)?.success(), "pip cannot install {}", packages.join(", "));
    Ok(folder.to_owned())
}

fn wheel_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let paths: Result<Vec<_>, _> = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    Ok(paths?.into_iter().filter(|path| path.extension() == Some(OsStr::new("whl"))).collect())
}
