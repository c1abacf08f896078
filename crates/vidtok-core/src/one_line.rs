//! Messages of other libraries on one line.

/// Joins the lines of `message` with single spaces and drops empty ones. Every error text of the project is one line;
/// messages of TOML, JSON and ffmpeg often are not.
///
/// ```
/// assert_eq!(vidtok_core::one_line("TOML parse error\n  |\n  expected a value\n"), "TOML parse error | expected a value");
/// ```
#[must_use]
pub fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
