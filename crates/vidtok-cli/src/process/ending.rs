//! Ends of commands that have neither failed nor done all that they were asked for.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};

/// A status of its own, and a line that says why; none where another process says it.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) status: u8,
    pub(crate) line: Option<String>,
}

impl Ending {
    /// Says the line, once in the life of this process; gives the status.
    pub(crate) fn tell(&self) -> u8 {
        static TOLD: AtomicBool = AtomicBool::new(false);
        if let Some(line) = self.line.as_ref().filter(|_| !TOLD.swap(true, Ordering::Relaxed)) {
            if io::stderr().is_terminal() {
                // A progress bar may stand in this line.
                std::eprint!("\r\u{1b}[K");
            }
            eprintln!("{line}");
        }
        self.status
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.line.as_deref().unwrap_or("stopped"))
    }
}

impl std::error::Error for Ending {}
