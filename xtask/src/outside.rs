//! `cargo xtask outside`: a fresh project outside the repository that depends on one crate builds and runs.
//!
//! It is set up as the README tells a user to: `cargo add` and two lines of `.cargo/config.toml`. It shares this
//! repository's target folder, flags and lock file, so it compiles nothing but itself.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::setup;
use crate::workspace::Workspace;

const NAME: &str = "vidtok-outside";
const MAIN: &str = r#"use tch::{Device, Kind, Tensor};
use vidtok_quant::{Fsq, FsqConfig, Quantizer};

fn main() {
    let fsq = Fsq::new(&FsqConfig::new([8, 8, 8, 8, 8, 8])).unwrap();
    let x = Tensor::zeros([1, 6, 2, 4, 4], (Kind::Float, Device::Cpu));
    println!("{:?}", fsq.quantize(&x, None).indices.unwrap().size());
}
"#;
const PRINTED: &str = "[1, 2, 4, 4]";

/// Variables by which a build would find libtorch without the project's own lines.
const UNSET: [&str; 6] =
    ["LIBTORCH", "LIBTORCH_USE_PYTORCH", "LD_LIBRARY_PATH", "RUSTFLAGS", "VIDTOK_DEPS", "CARGO_MANIFEST_DIR"];

/// Sets up, makes the project in a temporary folder, and builds and runs it.
pub(crate) fn command(workspace: &Workspace) -> Result<ExitCode> {
    setup::run(workspace)?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let project = folder.path();
    write_project(workspace, project)?;

    // Without the two lines one line of advice ends the build.
    let mut bare = cargo(workspace, project);
    bare.args(["build", "--offline", "--package", "vidtok-libtorch"]).env("CARGO_TARGET_DIR", project.join("target"));
    let output = bare.output().context("cannot start cargo")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let libtorch = workspace.libtorch();
    let advice = errors.lines().find(|line| line.contains("LIBTORCH is not set"));
    let advice = advice.with_context(|| format!("a build without LIBTORCH gave no advice:\n{errors}"))?;
    ensure!(advice.contains(&format!("env.LIBTORCH = \"{}\"", libtorch.display())), "unexpected advice: {advice}");

    let config = project.join(".cargo");
    fs::create_dir(&config)?;
    fs::write(config.join("config.toml"), lines(&libtorch))?;
    let mut build = cargo(workspace, project);
    build.args(["build", "--offline"]).env("CARGO_TARGET_DIR", workspace.root().join("target"));
    ensure!(build.status().context("cannot start cargo")?.success(), "the outside project does not build");

    let mut program = Command::new(workspace.root().join("target/debug").join(NAME));
    let output = without_variables(&mut program)
        .current_dir(project)
        .output()
        .context("cannot start the outside project's program")?;
    let [printed, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).trim().to_owned());
    ensure!(printed == PRINTED, "the outside project's program printed {printed:?}, expected {PRINTED:?}; {errors}");
    eprintln!("outside: builds and runs");
    Ok(ExitCode::SUCCESS)
}

/// What `cargo new` and `cargo add` would write, with this repository's profile and lock file.
fn write_project(workspace: &Workspace, project: &Path) -> Result<()> {
    let root = workspace.root();
    let crates = |name: &str| format!("{name} = {{ path = {:?} }}\n", root.join("crates").join(name));
    let manifest = format!(
        "[package]\nname = \"{NAME}\"\nedition = \"2024\"\n\n[dependencies]\n{}tch = {{ version = \"0.24\", \
         default-features = false }}\n\n[profile.dev]\nopt-level = 1\ndebug = \"line-tables-only\"\n\n[workspace]\n",
        crates("vidtok-quant"),
    );
    fs::create_dir(project.join("src"))?;
    fs::write(project.join("src/main.rs"), MAIN)?;
    fs::write(project.join("Cargo.toml"), manifest)?;
    fs::copy(root.join("Cargo.lock"), project.join("Cargo.lock")).map(drop).context("cannot copy Cargo.lock")
}

/// The two lines of the README. The rpath is written as this repository's own configuration has it: other flags would
/// compile all dependencies anew.
fn lines(libtorch: &Path) -> String {
    let rpath = |up: &str| format!("\"-C\", \"link-arg=-Wl,-rpath,$ORIGIN/{up}.deps/libtorch/lib\"");
    let rpaths = [rpath("../../"), rpath("../../../")].join(", ");
    format!("env.LIBTORCH = {libtorch:?}\nbuild.rustflags = [{rpaths}]\n")
}

/// `cargo` in the project, with nothing set.
fn cargo(workspace: &Workspace, project: &Path) -> Command {
    let mut cargo = workspace.cargo();
    cargo.current_dir(project);
    without_variables(&mut cargo);
    cargo
}

fn without_variables(command: &mut Command) -> &mut Command {
    UNSET.into_iter().fold(command, |command, name| command.env_remove(name))
}
