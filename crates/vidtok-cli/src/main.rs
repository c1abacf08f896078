//! The `vidtok` command line: it parses arguments, shows progress and prints results. The library crates do the work.

// Printing is what this program is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod terminal;

mod args;
mod commands;
mod io;
mod model_source;
mod process;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::commands::{Arguments, Command};
use crate::process::exit::Exit;
use crate::process::signals;
use crate::terminal::error_line::error_line;

fn main() -> ExitCode {
    let arguments = Arguments::parse(); // exits with status 2 on wrong usage
    // libtorch's errors, such as running out of memory, arrive as panics. They are printed below, on one line like all
    // others.
    panic::set_hook(Box::new(|panic| {
        if let Some(trace) = panic_trace(panic, &Backtrace::capture()) {
            trace.lines().for_each(|line| eprintln!("{line}"));
        }
    }));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| run(&arguments.command)));
    // After a signal, an error is only a consequence of the stop.
    if let (Ok(Err(_)) | Err(_), Some(stopped)) = (&outcome, signals::exit_after_signal()) {
        return stopped.report().into();
    }
    let message = match outcome {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => match error.downcast_ref::<Exit>() {
            Some(exit) => return exit.report().into(),
            None => error_line(&error),
        },
        Err(payload) => vidtok_torch::panic_message(payload.as_ref()),
    };
    eprintln!("error: {message}");
    ExitCode::FAILURE
}

fn run(command: &Command) -> anyhow::Result<()> {
    if let Some(warning) = openmp_warning(&vidtok_torch::openmp_runtimes()) {
        eprintln!("{warning}");
    }
    vidtok_torch::reuse_freed_memory();
    command.run()
}

/// The panic's message and backtrace, if `RUST_BACKTRACE` asks for one.
fn panic_trace(panic: &PanicHookInfo<'_>, backtrace: &Backtrace) -> Option<String> {
    (backtrace.status() == BacktraceStatus::Captured).then(|| format!("{panic}\n{backtrace}"))
}

/// A warning if this process has loaded more than one OpenMP runtime.
fn openmp_warning(runtimes: &[PathBuf]) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_panic_prints_a_backtrace_only_on_request() {
        static TRACES: Mutex<Vec<Option<String>>> = Mutex::new(Vec::new());
        panic::set_hook(Box::new(|panic| {
            let traces =
                [Backtrace::disabled(), Backtrace::force_capture()].map(|backtrace| panic_trace(panic, &backtrace));
            TRACES.lock().unwrap().extend(traces);
        }));
        let shape = [1_i64, -1];
        let result = panic::catch_unwind(|| tch::Tensor::zeros(shape, (tch::Kind::Float, tch::Device::Cpu)));
        let _ = panic::take_hook();
        assert!(result.is_err());
        let traces = TRACES.lock().unwrap();
        assert_eq!(traces[0], None);
        let trace = traces[1].as_ref().unwrap();
        assert!(trace.contains("negative") && trace.contains("tch") && trace.lines().count() > 3, "{trace}");
    }

    #[test]
    fn a_second_openmp_runtime_is_warned_about() {
        let paths = ["/a/libgomp.so.1", "/b/libiomp5.so"].map(PathBuf::from);
        assert_eq!(openmp_warning(&paths[..1]), None);
        let warning = openmp_warning(&paths).unwrap();
        assert!(warning.starts_with("warning: 2 OpenMP runtimes are loaded, /a/libgomp.so.1 and /b/libiomp5.so: "));
        assert_eq!(warning.lines().count(), 1);
    }
}
