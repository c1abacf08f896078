//! Ending ffmpegs from another thread.
//!
//! Who waits for a decoder's next frame cannot be told to stop; the decoder can be killed, and the wait ends.

use std::process::Child;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use crate::ffmpeg::process::lock;

static OF_PROCESS: LazyLock<Stop> = LazyLock::new(|| Stop { state: Arc::default(), outer: None });

/// A switch that kills the programs which were started under it, and those that still will be. Clones are one switch.
///
/// All of them lie inside that [of the process](Self::of_process).
#[derive(Clone, Debug)]
pub struct Stop {
    state: Arc<Mutex<State>>,
    /// The switch that this one lies inside.
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
    /// The switch of every ffmpeg that this process has started or will start: for a process that must end.
    #[must_use]
    pub fn of_process() -> Self {
        OF_PROCESS.clone()
    }

    /// A switch of its own, which this one turns too.
    fn inside(&self) -> Self {
        Self { state: Arc::default(), outer: Some(Box::new(self.clone())) }
    }

    /// Stops everything, for good.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        for child in state.children.drain(..).filter_map(|child| child.upgrade()) {
            // It may have ended by itself.
            let _ = lock(&child).kill();
        }
    }

    /// Whether errors may come from the stop rather than from a file.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state().stopped || self.outer.as_ref().is_some_and(|outer| outer.is_stopped())
    }

    /// Includes a child.
    pub(super) fn watch(&self, child: &Arc<Mutex<Child>>) {
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn sleeper() -> Arc<Mutex<Child>> {
        Arc::new(Mutex::new(Command::new("sleep").arg("60").spawn().unwrap()))
    }

    #[test]
    fn children_before_and_after_the_stop_are_killed() {
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
    fn an_outer_switch_stops_what_lies_inside_and_an_inner_one_nothing_else() {
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
    fn children_that_are_gone_are_forgotten() {
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
