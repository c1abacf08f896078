//! Ending decoders from another thread.
//!
//! Who waits for a decoder's next frame cannot be told to stop; the decoder can be killed, and the wait ends.

use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::process::lock;

/// A switch that kills the programs which were started under it, and those that still will be. Clones are one switch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    children: Vec<Weak<Mutex<Child>>>,
}

impl Stop {
    /// Stops everything, for good.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        for child in state.children.drain(..).filter_map(|child| child.upgrade()) {
            // It may have ended by itself.
            let _ = lock(&child).kill();
        }
    }

    /// Whether errors may come from the stop rather than from a file.
    pub(crate) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Includes a child.
    pub(super) fn watch(&self, child: &Arc<Mutex<Child>>) {
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
