//! Which of several processes this one is.

use std::env;
use std::process;

use anyhow::{Context, ensure};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use vidtok_core::Launch;

/// Environment variable that holds the launcher's process id.
const LAUNCHER: &str = "VIDTOK_LAUNCHED";

/// The variable that marks the children of this process.
pub(crate) fn child_mark() -> (&'static str, String) {
    (LAUNCHER, process::id().to_string())
}

/// Whether [`launcher::start`](crate::process::launcher::start) started this process.
pub(crate) fn is_child() -> bool {
    env::var_os(LAUNCHER).is_some()
}

/// Whether this process prints on behalf of all: it has rank 0 or was started alone.
pub(crate) fn is_leader() -> bool {
    !matches!(Launch::from_env(), Ok(Some(launch)) if launch.rank > 0)
}

/// This process's rank among those that were started together; `None` if it was started alone. A child of our own
/// launcher is stopped with it from now on.
pub(crate) fn launched() -> anyhow::Result<Option<Launch>> {
    if let Ok(launcher) = env::var(LAUNCHER) {
        // Also if the launcher is killed, no child may outlive it.
        set_parent_process_death_signal(Some(Signal::TERM)).context("cannot follow the launcher")?;
        ensure!(getppid().is_some_and(|parent| parent.to_string() == launcher), "the launcher has exited");
    }
    Ok(Launch::from_env()?)
}
