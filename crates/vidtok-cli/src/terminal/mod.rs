//! Output for people: lines, warnings and progress bars that no file can use to control the terminal.
//!
//! File names, dataset keys and ffmpeg's messages may hold any characters. The macros of this module replace the
//! standard library's everywhere in this program, so that all output passes through
//! [`printable`](printable::printable).

/// Prints one line to standard output; line breaks and other control characters are escaped.
macro_rules! println {
    ($($text:tt)*) => { std::println!("{}", $crate::terminal::printable::printable(&format!($($text)*))) };
}

/// Prints one line to standard error; line breaks and other control characters are escaped.
macro_rules! eprintln {
    ($($text:tt)*) => { std::eprintln!("{}", $crate::terminal::printable::printable(&format!($($text)*))) };
}

pub(crate) mod error_line;
pub(crate) mod notices;
pub(crate) mod printable;
pub(crate) mod progress;
