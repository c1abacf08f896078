//! A reader, its format, and the properties that must hold for every file.

use std::error::Error;

use crate::Format;

/// Whether the file was read, or the error with which it was refused.
pub type Outcome = Result<(), Box<dyn Error>>;

/// The memory that any reader may allocate for models, buffers and messages, in bytes.
const MEMORY: usize = 4 << 20;

/// The additional bytes of memory that a reader may allocate per byte of the file. Pickles need the most, since each of
/// their bytes may be a value.
const MEMORY_PER_BYTE: usize = 128;

/// A reader to fuzz.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of the target.
    pub name: &'static str,
    /// The format of its files, for [`mutate`](crate::mutate).
    pub format: Format,
    /// Small valid files.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads a file, and panics if the result is wrong.
    pub(crate) read: fn(&[u8]) -> Outcome,
}

impl Target {
    /// Reads a file and checks the result.
    ///
    /// # Errors
    /// The reader's error, if it refuses the file.
    ///
    /// # Panics
    /// If the reader panics, its result is wrong, it allocates too much memory, or its error message has several lines
    /// that do not come from the file.
    pub fn check(&self, file: &[u8]) -> Outcome {
        let mut outcome = Ok(());
        let memory = allocation_counter::measure(|| outcome = (self.read)(file));
        let limit = MEMORY + MEMORY_PER_BYTE * file.len();
        assert!(
            memory.bytes_max <= limit as u64,
            "{} bytes of memory for a file of {} bytes",
            memory.bytes_max,
            file.len()
        );
        if let Err(error) = &outcome {
            let message = error.to_string();
            let lines = message.lines().count();
            assert!(lines == 1 || lines > 1 && has_line_feed(file), "a message of {lines} lines: {message:?}");
        }
        outcome
    }
}

/// Whether a string in the file may have several lines. Messages may quote them, and are escaped when they are printed.
fn has_line_feed(file: &[u8]) -> bool {
    let has = |escaped: &[u8]| file.windows(escaped.len()).any(|bytes| bytes == escaped);
    has(b"\n") || has(b"\\n") || has(b"\\u000")
}
