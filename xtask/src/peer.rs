//! `cargo xtask peer`: our programs against the reference (microsoft/VidTok), on the same weights and inputs.
//!
//! All are run in turn, A B A B, so that what else the machine does meets each. Each run is a process of its own,
//! which prints its [`Measurement`] as a line of JSON.

mod comparison;
mod measurement;
mod python;
mod side;
mod table;

use std::ffi::OsString;
use std::fmt::{Display, Formatter};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};

use crate::setup;
use crate::workspace::{Workspace, exit_code, run};
use comparison::Comparison;
use measurement::Measurement;
use side::{OURS, Peer, Start};

/// A file that only a clone of the reference has.
const MARK: &str = "vidtok/models/autoencoder.py";
/// The end of the names of configurations of version 1.1.
const VERSION_1_1: &str = "_v1_1";

/// What is measured.
#[derive(Subcommand)]
pub(crate) enum Work {
    /// A whole training step: time, memory, and the losses of the first one, which must agree
    #[command(mut_arg("ch", |ch| ch.default_value("32")), mut_arg("size", |size| size.default_value("64")))]
    TrainStep(Options),
    /// From a video to its latent or indices: time, memory and operations, and what the first pass gives, which must
    /// agree
    Encode(Options),
    /// From a latent or indices to the video
    Decode(Options),
    /// From a video to its reconstruction
    EncodeDecode(Options),
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
    /// Also the reference with its networks under torch.compile
    #[arg(long)]
    compile: bool,
    /// Also the VidTok of Hugging Face's diffusers, which the Python must have; for configurations of version 1.1
    #[arg(long)]
    diffusers: bool,
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
    #[arg(long, default_value_t = 128)]
    ch: u32,
    /// Frames of a clip
    #[arg(long, default_value_t = 17)]
    frames: u32,
    /// Rows and columns of a frame
    #[arg(long, default_value_t = 128)]
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

impl Work {
    /// As the programs know it.
    fn name(&self) -> &'static str {
        match self {
            Self::TrainStep(_) => "train-step",
            Self::Encode(_) => "encode",
            Self::Decode(_) => "decode",
            Self::EncodeDecode(_) => "encode-decode",
        }
    }

    fn options(&self) -> &Options {
        match self {
            Self::TrainStep(options) | Self::Encode(options) | Self::Decode(options) | Self::EncodeDecode(options) => {
                options
            }
        }
    }

    /// What is measured beside ours.
    fn peers(&self) -> Result<Vec<Peer>> {
        let Options { compile, diffusers, case, .. } = self.options();
        if *diffusers {
            ensure!(!matches!(self, Self::TrainStep(_)), "--diffusers: diffusers has no training step");
            ensure!(
                case.config.ends_with(VERSION_1_1),
                "--diffusers: diffusers has version 1.1 only, whose configurations end with {VERSION_1_1}"
            );
        }
        let chosen = [(Peer::Reference, true), (Peer::Compiled, *compile), (Peer::Diffusers, *diffusers)];
        Ok(chosen.into_iter().filter_map(|(peer, chosen)| chosen.then_some(peer)).collect())
    }
}

/// Measures all sides and prints a table.
#[allow(clippy::print_stdout, reason = "the table is the result")]
pub(crate) fn command(workspace: &Workspace, work: &Work) -> Result<ExitCode> {
    let (name, Options { reference, python, rounds, case, .. }) = (work.name(), work.options());
    let peers = work.peers()?;
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

    let start = Start { workspace, python: &python, reference, work: name, case: &case.args() };
    let mut comparison = Comparison::new(peers.iter().map(|peer| peer.name()));
    for round in 1..=*rounds {
        eprintln!("round {round} of {rounds}");
        comparison.ours.push(Measurement::take(&mut start.ours())?);
        for (&peer, column) in peers.iter().zip(&mut comparison.peers) {
            if column.runs.is_err() {
                continue;
            }
            column.add(Measurement::take(&mut start.peer(peer)));
        }
        if comparison.is_alone() {
            break;
        }
    }
    println!("`{name}` of {case}, {} rounds\n\n{comparison}", comparison.ours.len());
    comparison.check()?;
    Ok(ExitCode::SUCCESS)
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        work: Work,
    }

    fn parse(line: &str) -> Work {
        let line = format!("peer {line} --reference clone");
        Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}")).work
    }

    #[test]
    fn a_training_step_is_small_unless_told_otherwise() {
        let size = |work: &Work| (work.options().case.ch, work.options().case.size);
        assert_eq!(size(&parse("train-step")), (32, 64));
        assert_eq!(size(&parse("train-step --ch 16")), (16, 64));
        for pass in ["encode", "decode", "encode-decode"] {
            let work = parse(pass);
            assert_eq!((work.name(), size(&work)), (pass, (128, 128)));
        }
    }

    #[test]
    fn other_programs_are_measured_where_they_have_the_work() {
        use Peer::{Compiled, Diffusers, Reference};

        assert_eq!(parse("train-step").peers().unwrap(), [Reference]);
        assert_eq!(parse("encode --compile").peers().unwrap(), [Reference, Compiled]);
        let all = "decode --config vidtok_kl_causal_488_4chn_v1_1 --diffusers --compile";
        assert_eq!(parse(all).peers().unwrap(), [Reference, Compiled, Diffusers]);
        for wrong in ["decode --diffusers", "train-step --config vidtok_kl_causal_488_4chn_v1_1 --diffusers"] {
            let error = parse(wrong).peers().unwrap_err().to_string();
            assert!(error.starts_with("--diffusers: "), "{error}");
        }
    }
}
