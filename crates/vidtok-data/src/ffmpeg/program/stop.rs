//! Ending ffmpeg processes from another thread.
//!
//! A thread that waits for a decoder's next frame cannot be interrupted, but its decoder can be killed, which ends the
//! wait.

use std::process::Child;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

static OF_PROCESS: LazyLock<Stop> = LazyLock::new(|| Stop { state: Arc::default(), outer: None });

/// A switch that kills the ffmpeg processes started under it, now and later. Clones share one switch.
///
/// All switches are nested in that [of the process](Self::of_process).
#[derive(Clone, Debug)]
pub struct Stop {
    state: Arc<Mutex<State>>,
    /// The switch that this one is nested in.
    outer: Option<Box<Stop>>,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    children: Vec<Weak<Mutex<Child>>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self::of_process().inside()
    }
}

impl Stop {
    /// The switch for every ffmpeg of this process, for a process that must end.
    #[must_use]
    pub fn of_process() -> Self {
        OF_PROCESS.clone()
    }

    /// A new switch, which this one also turns.
    fn inside(&self) -> Self {
        Self { state: Arc::default(), outer: Some(Box::new(self.clone())) }
    }

    /// Kills the running processes and all that are started later.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        for child in state.children.drain(..).filter_map(|child| child.upgrade()) {
            // The child may have ended by itself, so an error says nothing.
            let _ = lock(&child).kill();
        }
    }

    /// Whether the switch was turned, so that errors may come from killed processes rather than from files.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state().stopped || self.outer.as_ref().is_some_and(|outer| outer.is_stopped())
    }

    /// Puts a child under this switch.
    pub(crate) fn watch(&self, child: &Arc<Mutex<Child>>) {
        if let Some(outer) = &self.outer {
            outer.watch(child);
        }
        let mut state = self.state();
        if state.stopped {
            let _ = lock(child).kill();
            return;
        }
        state.children.retain(|child| child.strong_count() > 0);
        state.children.push(Arc::downgrade(child));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks a child. A panic cannot leave it half-changed, so poisoning is ignored.
pub(crate) fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn sleeper() -> Arc<Mutex<Child>> {
        Arc::new(Mutex::new(Command::new("sleep").arg("60").spawn().unwrap()))
    }

    #[test]
    fn children_started_before_and_after_the_stop_are_killed() {
        let stop = Stop::default();
        let (before, after) = (sleeper(), sleeper());
        stop.watch(&before);
        assert!(!stop.is_stopped());
        stop.clone().stop();
        stop.watch(&after);
        assert!(stop.is_stopped());
        for child in [before, after] {
            assert!(!lock(&child).wait().unwrap().success());
        }
    }

    #[test]
    fn an_outer_switch_turns_inner_ones_but_not_the_reverse() {
        let outer = Stop::default();
        let [one, other] = [outer.inside(), outer.inside()];
        let (child, before, after) = (sleeper(), sleeper(), sleeper());
        one.watch(&child);
        other.watch(&before);
        one.stop();
        assert!(!lock(&child).wait().unwrap().success());
        assert!(!outer.is_stopped() && !other.is_stopped() && !Stop::of_process().is_stopped());
        assert!(lock(&before).try_wait().unwrap().is_none());
        outer.stop();
        other.watch(&after);
        assert!(other.is_stopped());
        for child in [before, after] {
            assert!(!lock(&child).wait().unwrap().success());
        }
    }

    #[test]
    fn ended_children_are_forgotten() {
        let stop = Stop::default();
        for _ in 0..3 {
            let child = sleeper();
            stop.watch(&child);
            lock(&child).kill().unwrap();
            lock(&child).wait().unwrap();
        }
        assert_eq!(stop.state().children.len(), 1);
    }
}
