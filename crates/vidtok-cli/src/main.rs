//! The `vidtok` command line: argument parsing and printing. The work is done in the crates below.

// Printing is what this program is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod terminal;

mod args;
mod clip;
mod commands;
mod ending;
mod launcher;
mod notices;
mod pipeline;
mod progress;
mod signals;
mod standard;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};
use crate::ending::Ending;

fn main() -> ExitCode {
    let arguments = Arguments::parse(); // ends with status 2 on wrong usage
    // libtorch's errors (out of memory, say) arrive as panics; they are said in one line like all others.
    panic::set_hook(Box::new(|_| {}));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| run(arguments.command)));
    // After a signal an error is only what has become of the command because of it.
    if let (Ok(Err(_)) | Err(_), Some(stopped)) = (&outcome, signals::ending()) {
        return stopped.tell().into();
    }
    let message = match outcome {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => match error.downcast_ref::<Ending>() {
            Some(ending) => return ending.tell().into(),
            None => describe(&error),
        },
        Err(payload) => vidtok_torch::panic_message(payload.as_ref()),
    };
    eprintln!("error: {message}");
    ExitCode::FAILURE
}

fn run(command: Command) -> anyhow::Result<()> {
    vidtok_torch::reuse_freed_memory();
    match command {
        Command::Info(arguments) => commands::info::run(&arguments),
        Command::Init(arguments) => commands::init::run(&arguments),
        Command::Convert(arguments) => commands::convert::run(&arguments),
        Command::Encode(arguments) => commands::encode::run(&arguments),
        Command::Decode(arguments) => commands::decode::run(&arguments),
        Command::Reconstruct(arguments) => commands::reconstruct::run(&arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments),
        Command::Metrics(arguments) => commands::metrics::run(&arguments),
        Command::Verify(arguments) => commands::verify::run(&arguments),
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Tokenize(arguments) => commands::tokenize::run(&arguments),
        Command::Detokenize(arguments) => commands::detokenize::run(&arguments),
    }
}

/// The error and its causes on one line, without those that the line says already.
fn describe(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
