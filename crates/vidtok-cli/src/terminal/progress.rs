//! Progress bars; hidden where there is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::terminal::printable;

const TICK: Duration = Duration::from_millis(100);

/// A bar over `length` steps of `unit`, such as frames. It ticks on its own, so it shows before the first step is done.
pub(crate) fn bar(length: u64, unit: &str) -> ProgressBar {
    let template =
        format!("{{elapsed_precise}} [{{bar:30}}] {{pos}}/{{len}} {unit} ({{per_sec}}, ETA {{eta}}) {{msg}}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(length).with_style(style.progress_chars("=> "));
    bar.enable_steady_tick(TICK);
    bar
}

/// A spinner that says `what` takes a while.
pub(crate) fn spinner(what: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
    spinner.enable_steady_tick(TICK);
    spinner
}

/// Shows a message beside a bar.
#[allow(clippy::disallowed_methods)] // This is what they are disallowed for.
pub(crate) fn say(bar: &ProgressBar, message: &str) {
    bar.set_message(printable(message));
}

/// Shows a spinner during `work`.
pub(crate) fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let spinner = spinner(what);
    let result = work();
    spinner.finish_and_clear();
    result
}
