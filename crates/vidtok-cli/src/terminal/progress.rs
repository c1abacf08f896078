//! Progress bars and spinners, which are hidden when standard error is not a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::terminal::printable::printable;

const TICK: Duration = Duration::from_millis(100);

/// A bar over `length` steps of `unit`, such as frames. It ticks by itself, so that it is visible before the first step
/// ends.
pub(crate) fn bar(length: u64, unit: &str) -> ProgressBar {
    let template =
        format!("{{elapsed_precise}} [{{bar:30}}] {{pos}}/{{len}} {unit} ({{per_sec}}, ETA {{eta}}) {{msg}}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(length).with_style(style.progress_chars("=> "));
    bar.enable_steady_tick(TICK);
    bar
}

/// A bar over the bytes of the file `name`.
pub(crate) fn bytes(length: u64, name: &str) -> ProgressBar {
    let template = "{elapsed_precise} [{bar:30}] {bytes}/{total_bytes} ({bytes_per_sec}, ETA {eta}) {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(length).with_style(style.progress_chars("=> "));
    set_message(&bar, name);
    bar.enable_steady_tick(TICK);
    bar
}

/// A spinner labelled with the work that is in progress.
pub(crate) fn spinner(what: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
    spinner.enable_steady_tick(TICK);
    spinner
}

/// Shows a message next to a bar.
#[allow(clippy::disallowed_methods)] // every other caller must come here, for `printable`
pub(crate) fn set_message(bar: &ProgressBar, message: &str) {
    bar.set_message(printable(message));
}

/// Shows a spinner during `work`.
pub(crate) fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let spinner = spinner(what);
    let result = work();
    spinner.finish_and_clear();
    result
}
