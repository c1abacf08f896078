//! A reader, what it reads, and what must hold whatever it reads.

use std::error::Error;

use crate::Format;

/// What came of reading a file: that it is right, or why it was refused.
pub type Outcome = Result<(), Box<dyn Error>>;

/// Memory that any reader may take, in bytes: models, buffers, messages.
const MEMORY: usize = 4 << 20;

/// Bytes of memory that it may take for each byte of the file. A pickle takes most: each byte of it may be a value.
const MEMORY_FOR_BYTE: usize = 128;

/// A reader of files.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What it reads.
    pub format: Format,
    /// Valid files, small ones.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads a file, and panics if it was read wrongly.
    pub(crate) read: fn(&[u8]) -> Outcome,
}

impl Target {
    /// Reads a file; the error is the reader's.
    ///
    /// # Errors
    /// If the reader refuses it.
    ///
    /// # Panics
    /// If the reader does, if what it has read is wrong, if it took too much memory, or if its message has more lines than one
    /// that come from no text of the file.
    pub fn check(&self, file: &[u8]) -> Outcome {
        let mut outcome = Ok(());
        let memory = allocation_counter::measure(|| outcome = (self.read)(file));
        let most = MEMORY + MEMORY_FOR_BYTE * file.len();
        assert!(memory.bytes_max <= most as u64, "{} bytes of memory for a file of {}", memory.bytes_max, file.len());
        if let Err(error) = &outcome {
            let message = error.to_string();
            let lines = message.lines().count();
            assert!(lines == 1 || lines > 1 && has_line_feed(file), "a message of {lines} lines: {message:?}");
        }
        outcome
    }
}

/// Whether a text of the file may have several lines. Who prints a message escapes what comes from files.
fn has_line_feed(file: &[u8]) -> bool {
    let has = |escaped: &[u8]| file.windows(escaped.len()).any(|bytes| bytes == escaped);
    has(b"\n") || has(b"\\n") || has(b"\\u000")
}
