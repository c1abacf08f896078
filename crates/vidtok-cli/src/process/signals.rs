//! Commands stop within two seconds after SIGINT or SIGTERM, with a status and a line that say so, and leave no partial
//! files.
//!
//! The first signal sets a flag, which loops check, and a thread stops all ffmpeg processes, so that no loop keeps
//! waiting for one. A network's computation cannot be interrupted: if the command has not exited after [`PATIENCE`],
//! the thread removes temporary files and exits. Complete files stay, since each gets its name only when it is whole.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread::{Builder, sleep};
use std::time::Duration;

use anyhow::{Context, ensure};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};
use vidtok_data::Stop;

use crate::process::exit::Exit;
use crate::process::rank::{is_child, is_leader};

/// How long a command may take to exit by itself.
const PATIENCE: Duration = Duration::from_secs(1);
const CANNOT: &str = "cannot handle signals";

/// How to proceed after a command that continues where it stopped.
pub(crate) const CONTINUE: &str = "run the same command to continue";
/// How to proceed after a command that writes a single file.
pub(crate) const NOTHING_WRITTEN: &str = "nothing was written; run the same command to start again";

/// Whether a signal has arrived.
static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
/// The signal's number; 0 before one arrives.
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);
/// How to proceed after the command was stopped.
static ADVICE: OnceLock<&str> = OnceLock::new();

/// Returns a flag that SIGINT and SIGTERM set, for commands that then save their state and exit by themselves, however
/// long that takes.
///
/// A second signal ends the program at once, except in a launcher's child: the launcher passes each signal on, so that
/// a child may receive the first one twice.
pub(crate) fn stop_gracefully() -> anyhow::Result<Arc<AtomicBool>> {
    on_first_signal(|| ())?;
    set_flags(!is_child())
}

/// Returns a flag that SIGINT and SIGTERM set, for commands that lose only unfinished files when they are stopped: they
/// are ended after [`PATIENCE`] if they do not exit by themselves. The line that reports the stop ends with `advice`.
pub(crate) fn stop_promptly(advice: &'static str) -> anyhow::Result<Arc<AtomicBool>> {
    let _ = ADVICE.set(advice);
    on_first_signal(|| {
        sleep(PATIENCE);
        vidtok_core::remove_temporary();
        if let Some(exit) = exit_after_signal() {
            low_level::exit(exit.report().into());
        }
    })?;
    set_flags(true)
}

/// Has signals set the flags; if `second_ends`, a second signal ends the program.
fn set_flags(second_ends: bool) -> anyhow::Result<Arc<AtomicBool>> {
    for signal in [SIGINT, SIGTERM] {
        if second_ends {
            flag::register_conditional_default(signal, Arc::clone(&STOP)).context(CANNOT)?;
        }
        flag::register_usize(signal, Arc::clone(&SIGNAL), signal as usize).context(CANNOT)?;
        flag::register(signal, Arc::clone(&STOP)).context(CANNOT)?;
    }
    Ok(Arc::clone(&STOP))
}

/// Starts a thread that, at the first signal, stops all ffmpeg processes and calls `then`.
fn on_first_signal(then: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context(CANNOT)?;
    let watch = move || {
        if signals.forever().next().is_some() {
            Stop::of_process().stop();
            then();
        }
    };
    Builder::new().name("signals".into()).spawn(watch).map(drop).context("cannot start a thread")
}

/// Whether a signal has arrived.
pub(crate) fn is_stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Fails once a signal has arrived, for loops without another way to stop.
pub(crate) fn check() -> anyhow::Result<()> {
    ensure!(!is_stopped(), "stopped by a signal");
    Ok(())
}

/// The signal that arrived.
pub(crate) fn received() -> Option<i32> {
    i32::try_from(SIGNAL.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
}

/// The exit of a command that a signal, or another process, has stopped.
pub(crate) fn stopped_exit(line: Option<String>) -> Exit {
    Exit { status: exit_status(received().unwrap_or(SIGTERM)), line }
}

/// The exit of a [`stop_promptly`] command that a signal has stopped; `None` if no signal has arrived.
pub(crate) fn exit_after_signal() -> Option<Exit> {
    let (advice, signal) = (ADVICE.get()?, received()?);
    let line = is_leader().then(|| stop_line(signal, advice));
    Some(Exit { status: exit_status(signal), line })
}

/// The line that reports a stop by a signal.
pub(crate) fn stop_line(signal: i32, advice: &str) -> String {
    let name = low_level::signal_name(signal).unwrap_or("a signal");
    format!("stopped by {name}; {advice}")
}

/// The exit status after a signal, by the shells' convention: 128 plus its number.
pub(crate) fn exit_status(signal: i32) -> u8 {
    u8::try_from(signal).map_or(u8::MAX, |signal| 128u8.saturating_add(signal))
}

/// The exit status `code`, if it is that of a process of this program that a signal has stopped.
pub(crate) fn stop_status(code: i32) -> Option<u8> {
    [SIGINT, SIGTERM].map(exit_status).into_iter().find(|status| i32::from(*status) == code)
}
