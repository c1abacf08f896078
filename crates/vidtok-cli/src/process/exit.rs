//! Exits that are neither a success nor an error, such as after a signal.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};

/// An exit status, and the line that explains it; `None` if another process prints that line.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) status: u8,
    pub(crate) line: Option<String>,
}

impl Exit {
    /// Prints the line, unless this process has already printed one, and returns the status.
    pub(crate) fn report(&self) -> u8 {
        static REPORTED: AtomicBool = AtomicBool::new(false);
        if let Some(line) = self.line.as_ref().filter(|_| !REPORTED.swap(true, Ordering::Relaxed)) {
            if io::stderr().is_terminal() {
                // The cursor may be on a progress bar.
                std::eprint!("\r\u{1b}[K");
            }
            eprintln!("{line}");
        }
        self.status
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.line.as_deref().unwrap_or("stopped"))
    }
}

impl std::error::Error for Exit {}
