//! Signals that end a command: within two seconds, with a status and a line that say so, and nothing half-made left.
//!
//! The first SIGINT or SIGTERM sets a flag, which loops look at, and a thread kills all ffmpegs, so that whoever waits for
//! one gives up. What a network computes cannot be interrupted, so a command that is still at work after a while is
//! ended by that thread, as a second signal would end it, but for temporary files, which are removed. Files that are
//! complete stay: each gets its name when it is whole.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread::{Builder, sleep};
use std::time::Duration;

use anyhow::{Context, ensure};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};
use vidtok_data::Stop;

use crate::process::ending::Ending;
use crate::process::launcher;

/// How long a command may take to give up by itself.
const PATIENCE: Duration = Duration::from_secs(1);
const CANNOT: &str = "cannot hear signals";

/// How commands go on that make one file.
pub(crate) const NOTHING_WRITTEN: &str = "nothing was written; the same command starts anew";

/// Whether a signal came.
static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
/// Which; 0 before.
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);
/// How to go on afterwards.
static GO_ON: OnceLock<&str> = OnceLock::new();

/// A flag that SIGINT and SIGTERM set, for commands that end by themselves then, however long that takes; nobody waits for
/// an ffmpeg any more. The second signal ends the program as usual, unless a launcher has started it, which also tells
/// those to stop who were told before.
pub(crate) fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    watch(|| ())?;
    hear(!launcher::is_child())
}

/// Sets the flag; `once` has the second signal end the program.
fn hear(once: bool) -> anyhow::Result<Arc<AtomicBool>> {
    for signal in [SIGINT, SIGTERM] {
        if once {
            flag::register_conditional_default(signal, Arc::clone(&STOP)).context(CANNOT)?;
        }
        flag::register_usize(signal, Arc::clone(&SIGNAL), signal as usize).context(CANNOT)?;
        flag::register(signal, Arc::clone(&STOP)).context(CANNOT)?;
    }
    Ok(Arc::clone(&STOP))
}

/// The same for commands of which nothing is lost but what is half-made: they are ended if they do not end themselves.
/// The line that tells of it ends with how to `go_on`.
pub(crate) fn end_on_signals(go_on: &'static str) -> anyhow::Result<Arc<AtomicBool>> {
    let _ = GO_ON.set(go_on);
    watch(|| {
        sleep(PATIENCE);
        vidtok_core::remove_temporary();
        if let Some(ending) = ending() {
            low_level::exit(ending.tell().into());
        }
    })?;
    hear(true)
}

/// Kills all ffmpegs at the first signal, and does more.
fn watch(then: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context(CANNOT)?;
    let watch = move || {
        if signals.forever().next().is_some() {
            Stop::of_process().stop();
            then();
        }
    };
    Builder::new().name("signals".into()).spawn(watch).map(drop).context("cannot start a thread")
}

/// Whether a signal came.
pub(crate) fn is_stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Fails once a signal came: for loops that have no other end.
pub(crate) fn check() -> anyhow::Result<()> {
    ensure!(!is_stopped(), "stopped by a signal");
    Ok(())
}

/// The signal that came.
pub(crate) fn received() -> Option<i32> {
    i32::try_from(SIGNAL.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
}

/// How a command ends that another process, or a signal, has stopped; `line` says how to go on.
pub(crate) fn stopped(line: Option<String>) -> Ending {
    Ending { status: status(received().unwrap_or(SIGTERM)), line }
}

/// How a command of [`end_on_signals`] ends that has not done all of its work; none if there was no signal.
pub(crate) fn ending() -> Option<Ending> {
    let (go_on, signal) = (GO_ON.get()?, received()?);
    // Of several processes one speaks.
    let line = launcher::leads().then(|| stopped_by(signal, go_on));
    Some(Ending { status: status(signal), line })
}

/// The line that a command ends with after a signal.
pub(crate) fn stopped_by(signal: i32, go_on: &str) -> String {
    let name = low_level::signal_name(signal).unwrap_or("a signal");
    format!("stopped by {name}; {go_on}")
}

/// The status of a process that ended because of a signal, as shells count it.
pub(crate) fn status(signal: i32) -> u8 {
    u8::try_from(signal).map_or(u8::MAX, |signal| 128u8.saturating_add(signal))
}

/// The status of a process of this program, if that is one of those that were stopped by a signal.
pub(crate) fn stop_status(code: i32) -> Option<u8> {
    [SIGINT, SIGTERM].map(status).into_iter().find(|status| i32::from(*status) == code)
}
