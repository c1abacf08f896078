//! The `vidtok` command line: argument parsing and printing. The work is done in the crates below.

// Printing is what this program is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod terminal;

mod args;
mod commands;
mod io;
mod process;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};
use crate::process::ending::Ending;

fn main() -> ExitCode {
    let arguments = Arguments::parse(); // ends with status 2 on wrong usage
    // libtorch's errors (out of memory, say) arrive as panics; they are said in one line like all others.
    panic::set_hook(Box::new(|panic| {
        if let Some(trace) = trace_of(panic, &Backtrace::capture()) {
            trace.lines().for_each(|line| eprintln!("{line}"));
        }
    }));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| run(arguments.command)));
    // After a signal an error is only what has become of the command because of it.
    if let (Ok(Err(_)) | Err(_), Some(stopped)) = (&outcome, crate::process::signals::ending()) {
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

/// Where a panic comes from, if `RUST_BACKTRACE` asks for it.
fn trace_of(panic: &PanicHookInfo<'_>, backtrace: &Backtrace) -> Option<String> {
    (backtrace.status() == BacktraceStatus::Captured).then(|| format!("{panic}\n{backtrace}"))
}

/// What is to be said of the OpenMP runtimes in this process, if there are several.
fn warning_of(runtimes: &[PathBuf]) -> Option<String> {
    let names: Vec<String> = runtimes.iter().map(|path| path.display().to_string()).collect();
    (names.len() > 1).then(|| {
        format!(
            "warning: {} OpenMP runtimes are loaded, {}: their threads compete for the cores and may crash; use a libtorch \
             that is linked to the system's libgomp",
            names.len(),
            names.join(" and ")
        )
    })
}

fn run(command: Command) -> anyhow::Result<()> {
    if let Some(warning) = warning_of(&vidtok_torch::openmp_runtimes()) {
        eprintln!("{warning}");
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_panic_has_a_backtrace_where_one_is_asked_for() {
        static SAID: Mutex<Vec<Option<String>>> = Mutex::new(Vec::new());
        panic::set_hook(Box::new(|panic| {
            let said = [Backtrace::disabled(), Backtrace::force_capture()].map(|backtrace| trace_of(panic, &backtrace));
            SAID.lock().unwrap().extend(said);
        }));
        let shape = [1_i64, -1];
        let result = panic::catch_unwind(|| tch::Tensor::zeros(shape, (tch::Kind::Float, tch::Device::Cpu)));
        let _ = panic::take_hook();
        assert!(result.is_err());
        let said = SAID.lock().unwrap();
        assert_eq!(said[0], None);
        let trace = said[1].as_ref().unwrap();
        assert!(trace.contains("negative") && trace.contains("tch") && trace.lines().count() > 3, "{trace}");
    }

    #[test]
    fn one_openmp_runtime_is_as_it_should_be_and_two_are_named() {
        let paths = ["/a/libgomp.so.1", "/b/libiomp5.so"].map(PathBuf::from);
        assert_eq!(warning_of(&paths[..1]), None);
        let warning = warning_of(&paths).unwrap();
        assert!(warning.starts_with("warning: 2 OpenMP runtimes are loaded, /a/libgomp.so.1 and /b/libiomp5.so: "));
        assert_eq!(warning.lines().count(), 1);
    }
}
