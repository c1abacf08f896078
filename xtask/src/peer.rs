//! `cargo xtask peer`: our programs against the reference (microsoft/VidTok), on the same weights and inputs.
//!
//! Both are run in turn, A B A B, so that what else the machine does meets both. Each run is a process of its own,
//! which prints its [`Measurement`] as a line of JSON.

mod comparison;
mod measurement;
mod python;

use std::ffi::OsString;
use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};

use crate::setup;
use crate::workspace::{Workspace, exit_code, run};
use comparison::Comparison;
use measurement::Measurement;

/// The example in `benches` that measures ours, and the script that measures the reference.
const OURS: [&str; 5] = ["--release", "--package", "vidtok-benches", "--example", "peer"];
const REFERENCE: &str = "benches/peer/reference.py";
/// Threads that wait by spinning, as they do where nothing is set. (.cargo/config.toml is for tests beside each other.)
const THREADS: [(&str, &str); 1] = [("OMP_WAIT_POLICY", "active")];
/// A file that only a clone of the reference has.
const MARK: &str = "vidtok/models/autoencoder.py";

/// What is measured.
#[derive(Subcommand)]
pub(crate) enum Work {
    /// A whole training step: time, memory, and the losses of the first one, which must agree
    TrainStep(Options),
}

#[derive(Args)]
pub(crate) struct Options {
    /// A clone of microsoft/VidTok
    #[arg(long, value_name = "CLONE")]
    reference: PathBuf,
    /// A Python with what benches/peer/requirements.txt lists; without it one is made in .deps/peer (several GB)
    #[arg(long)]
    python: Option<PathBuf>,
    /// Runs of each side
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    case: Case,
}

/// What both programs are told.
#[derive(Args)]
struct Case {
    /// A released configuration
    #[arg(long, default_value = "vidtok_kl_causal_488_4chn")]
    config: String,
    /// Base channels
    #[arg(long, default_value_t = 32)]
    ch: u32,
    /// Frames of a clip
    #[arg(long, default_value_t = 17)]
    frames: u32,
    /// Rows and columns of a frame
    #[arg(long, default_value_t = 64)]
    size: u32,
    /// Clips at once
    #[arg(long, default_value_t = 1)]
    batch: u32,
    /// Timed repeats in each run, after one that is not
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Threads of each side
    #[arg(long, default_value_t = 2)]
    threads: u32,
}

/// Measures both sides and prints a table.
#[allow(clippy::print_stdout, reason = "the table is the result")]
pub(crate) fn command(workspace: &Workspace, work: &Work) -> Result<ExitCode> {
    let (name, Options { reference, python, rounds, case }) = match work {
        Work::TrainStep(options) => ("train-step", options),
    };
    ensure!(reference.join(MARK).is_file(), "{} is no clone of microsoft/VidTok: no {MARK}", reference.display());
    setup::run(workspace)?;
    let python = match python {
        Some(python) => python.clone(),
        None => python::install(workspace)?,
    };
    let build = run(workspace.cargo().arg("build").args(OURS))?;
    if !build.success() {
        return Ok(exit_code(build));
    }

    let mut comparison = Comparison::default();
    for round in 1..=*rounds {
        eprintln!("round {round} of {rounds}");
        let mut ours = workspace.cargo();
        ours.args(["run", "--quiet"]).args(OURS).args(["--", name]).args(case.args()).envs(THREADS);
        let ours = Measurement::take(&mut ours)?;
        let script = workspace.root().join(REFERENCE);
        let theirs = Measurement::take(&mut reference_command(&python, &script, name, reference, case))?;
        comparison.add(ours, theirs);
    }
    println!("`{name}` of {case}, {rounds} rounds\n\n{comparison}");
    comparison.check()?;
    Ok(ExitCode::SUCCESS)
}

fn reference_command(python: &Path, script: &Path, name: &str, clone: &Path, case: &Case) -> Command {
    let mut command = Command::new(python);
    // Leaves no compiled files in the clone or beside the script.
    command.args(["-B", "-W", "ignore"]).arg(script).arg(name).arg("--reference").arg(clone).args(case.args());
    command.envs(THREADS);
    command
}

impl Case {
    /// As the programs read it.
    fn args(&self) -> Vec<OsString> {
        let Self { config, ch, frames, size, batch, steps, threads } = self;
        let numbers =
            [("ch", ch), ("frames", frames), ("size", size), ("batch", batch), ("steps", steps), ("threads", threads)];
        let mut args = vec!["--config".into(), config.into()];
        for (name, number) in numbers {
            args.extend([format!("--{name}").into(), number.to_string().into()]);
        }
        args
    }
}

impl Display for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { config, ch, frames, size, batch, steps, threads } = self;
        write!(
            f,
            "{config}, ch {ch}, {batch} x {frames}x{size}x{size}, float32, {threads} threads, {steps} steps a run"
        )
    }
}
