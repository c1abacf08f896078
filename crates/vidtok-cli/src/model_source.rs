//! Opens the model of `--model`, with a bar for each download.

use std::path::Path;

use indicatif::ProgressBar;
use vidtok::{Config, Weights};
use vidtok_hub::Progress;

use crate::terminal::progress;

/// The model, see [`vidtok_hub::open`].
pub(crate) fn open_model(model: Option<&Path>) -> anyhow::Result<(Config, Weights)> {
    Ok(vidtok_hub::open(model, &mut Download(None))?)
}

/// A bar for each file.
struct Download(Option<ProgressBar>);

impl Progress for Download {
    fn init(&mut self, size: usize, name: &str) {
        // Called again when an interrupted transfer goes on.
        let bar = self.0.get_or_insert_with(|| progress::bytes(size as u64, name));
        bar.set_position(0);
    }

    fn update(&mut self, bytes: usize) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes as u64);
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}
