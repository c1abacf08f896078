//! Progress, told to an object of Python (`_progress.py`).

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use vidtok_tokenize::TokenizeProgress;

use crate::worker::Stop;

/// An object with the methods `start`, `advance`, `finish`, `note` and `warn`, until nobody waits any more.
pub(crate) struct Report {
    object: Py<PyAny>,
    stop: Stop,
}

impl Report {
    pub(crate) fn new(object: Py<PyAny>, stop: &Stop) -> Self {
        Self { object, stop: stop.clone() }
    }

    /// Tells of an event of tokenizing.
    pub(crate) fn tell(&self, event: &TokenizeProgress<'_>) {
        match event {
            TokenizeProgress::LeftOut(left_out) => self.call("note", (left_out.to_string(),)),
            TokenizeProgress::Started { videos, finished } => self.call("start", (*videos, *finished, "videos")),
            TokenizeProgress::Video { .. } => self.call("advance", (1,)),
            TokenizeProgress::Notice { path, notice } => self.call("note", (format!("{path}: {notice}"),)),
            TokenizeProgress::Skipped { path, reason } => {
                self.call("advance", (1,));
                self.call("warn", (format!("skipped: {path}: {reason}"),));
            }
            TokenizeProgress::Shard { resumed, .. } => self.call("advance", (*resumed,)),
        }
    }

    /// An error of the method is shown as that of a thread would be: work goes on without a bar.
    fn call(&self, method: &str, arguments: impl for<'py> PyCallArgs<'py>) {
        if self.stop.is_set() {
            return;
        }
        Python::try_attach(|py| {
            if let Err(error) = self.object.bind(py).call_method1(method, arguments) {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// A download, in bytes.
impl vidtok_hub::Progress for Report {
    fn init(&mut self, size: usize, name: &str) {
        self.call("start", (size, 0, name));
    }

    fn update(&mut self, bytes: usize) {
        self.call("advance", (bytes,));
    }

    fn finish(&mut self) {
        self.call("finish", ());
    }
}
