//! Set-up and developer commands: `cargo xtask COMMAND`.
//!
//! This crate does not depend on libtorch, so it builds in seconds on a bare machine and can fetch libtorch there.
#![allow(clippy::print_stderr, reason = "a command line program reports there")]

mod api;
mod bench;
mod check;
mod fuzz;
mod outside;
mod scripts;
mod setup;
mod test;
mod tidy;
mod train;
mod wheel;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Set-up and developer commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch what is missing into .deps: libtorch, an ffmpeg program, sample clips, weights of metrics
    ///
    /// Set LIBTORCH or VIDTOK_FFMPEG to use your own libtorch or ffmpeg.
    Setup {
        /// Fetch libtorch with CUDA and its libraries (several gigabytes)
        #[arg(long)]
        cuda: bool,
    },
    /// Fetch only the weights of metrics (LPIPS, I3D), into .deps/assets
    Assets,
    /// Gather photographs and videos under free licences for training, into .deps/corpus
    Corpus,
    /// Set up, build in release and train configs/quickstart.toml
    Train {
        /// Passed to `vidtok train`; a --config replaces the quickstart's. Paths are relative to the repository root.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Set up and run all tests
    Test {
        /// Passed to `cargo test --workspace`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Set up and run the criterion benches
    Bench(bench::Options),
    /// Set up and measure our programs beside the reference, microsoft/VidTok
    #[command(disable_help_flag = true)]
    Peer {
        /// Passed to benches/peer/compare.py, which explains them under --help
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Set up and compare our metrics with Python packages on real clips
    Agree {
        /// A Python with the packages of benches/agreement/requirements.txt
        #[arg(long)]
        python: OsString,
        /// Exchange models with Hugging Face's diffusers instead, which that Python has
        #[arg(long)]
        diffusers: bool,
    },
    /// Set up and build the Python package `vidtok` as a wheel, in target/wheels
    Wheel {
        /// The Python whose virtual environments build it and test it
        #[arg(long, default_value = "python3")]
        python: OsString,
        /// Install it with torch in a fresh environment and run its tests
        #[arg(long)]
        check: bool,
    },
    /// Set up and fuzz a file reader, guided by coverage, until it is stopped or finds a failure
    Fuzz(fuzz::Options),
    /// Set up, then build and run a project outside the repository that depends on one crate
    Outside,
    /// Write the public interface of each crate to docs/api, or check that what is there is current
    Api {
        /// Change nothing; fail if a listing is not current
        #[arg(long)]
        check: bool,
    },
    /// Format, project rules, public interface, clippy, documentation and an outside project, with warnings denied
    Check,
    /// The project's own rules only
    Tidy,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let workspace = Workspace::find();
    let result = match cli.command {
        Command::Setup { cuda } => setup::command(&workspace, cuda),
        Command::Assets => setup::assets(&workspace),
        Command::Corpus => setup::corpus::command(&workspace),
        Command::Train { args } => train::command(&workspace, &args),
        Command::Test { args } => test::command(&workspace, &as_typed(args)),
        Command::Bench(options) => bench::command(&workspace, &options),
        Command::Peer { args } => scripts::peer(&workspace, &args),
        Command::Agree { python, diffusers } => scripts::agree(&workspace, &python, diffusers),
        Command::Wheel { python, check } => wheel::command(&workspace, &python, check),
        Command::Fuzz(options) => fuzz::command(&workspace, &options),
        Command::Outside => outside::command(&workspace),
        Command::Api { check } => api::command(&workspace, check),
        Command::Check => check::command(&workspace),
        Command::Tidy => tidy::command(&workspace),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Restores a `--` right after the command, which clap removes and `cargo test` needs.
fn as_typed(mut args: Vec<OsString>) -> Vec<OsString> {
    if std::env::args_os().nth(2).is_some_and(|arg| arg == "--") {
        args.insert(0, "--".into());
    }
    args
}
