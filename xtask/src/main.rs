//! Set-up and developer commands: `cargo xtask COMMAND`.
//!
//! This crate knows nothing of libtorch, so that it builds in seconds on a bare machine and can fetch it.
#![allow(clippy::print_stderr, reason = "a command line program reports there")]

mod agree;
mod bench;
mod check;
mod fuzz;
mod peer;
mod setup;
mod test;
mod tidy;
mod train;
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
    /// LIBTORCH names a libtorch of your own, VIDTOK_FFMPEG an ffmpeg program.
    Setup {
        /// Fetch libtorch with CUDA and its libraries (several gigabytes)
        #[arg(long)]
        cuda: bool,
    },
    /// Fetch the weights of metrics (LPIPS, I3D) alone, into .deps/assets
    Assets,
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
    /// Set up and run the benches; print their times beside those of an earlier run
    Bench(bench::Options),
    /// Measure our programs against the reference, microsoft/VidTok, in turn
    Peer {
        #[command(subcommand)]
        work: peer::Work,
    },
    /// Compare our metrics with those of Python packages, on real clips
    Agree(agree::Options),
    /// Set up and fuzz a reader of files, led by coverage, until it is stopped or something is found
    Fuzz(fuzz::Options),
    /// Format, project rules, clippy and documentation, all with warnings denied
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
        Command::Train { args } => train::command(&workspace, &args),
        Command::Test { args } => test::command(&workspace, &as_typed(args)),
        Command::Bench(options) => bench::command(&workspace, &options),
        Command::Peer { work } => peer::command(&workspace, &work),
        Command::Agree(options) => agree::command(&workspace, &options),
        Command::Fuzz(options) => fuzz::command(&workspace, &options),
        Command::Check => check::command(&workspace),
        Command::Tidy => tidy::command(&workspace),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Gives back a `--` right after the command, which clap takes away and `cargo test` needs.
fn as_typed(mut args: Vec<OsString>) -> Vec<OsString> {
    if std::env::args_os().nth(2).is_some_and(|arg| arg == "--") {
        args.insert(0, "--".into());
    }
    args
}
