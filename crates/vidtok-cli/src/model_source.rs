//! Where models come from: files and folders, the program itself, and the Hugging Face hub.

use std::path::{Path, PathBuf};

use anyhow::Context;
use indicatif::ProgressBar;
use vidtok::{Config, Error, Weights};
use vidtok_configs::REPOSITORY;
use vidtok_hub::{Hub, HubModel, Progress};

use crate::built_in;
use crate::terminal::progress;

/// The model of `--model`: a one-file model, a folder of diffusers, `hf:OWNER/NAME[:FILE][@REVISION]`, or the name of a
/// built-in or published model; without a name, the first built-in one.
pub(crate) fn open_model(model: Option<&Path>) -> anyhow::Result<(Config, Weights)> {
    let Some(path) = model else {
        let first = built_in::all().into_iter().next();
        return with_config(first.context("no model is built in: give --model FILE or --config TOML")?.weights()?);
    };
    let name = path.to_str().filter(|_| !path.exists()).unwrap_or_default();
    if let Some(built_in) = built_in::find(name) {
        return with_config(built_in.weights()?);
    }
    if HubModel::is_name(name) {
        return with_config(read(&fetch(&name.parse()?)?)?);
    }
    match vidtok_configs::find(name) {
        Some(published) => {
            let file = Some(published.checkpoint());
            let model = HubModel { repository: REPOSITORY.to_owned(), file, revision: HubModel::MAIN.to_owned() };
            Ok((Config::parse(published.config)?, read(&fetch(&model)?)?))
        }
        None => with_config(read(path)?),
    }
}

/// Whether `--model` would take this text for something else than a file.
pub(crate) fn is_model_name(text: &str) -> bool {
    HubModel::is_name(text) || built_in::find(text).is_some() || vidtok_configs::find(text).is_some()
}

fn read(path: &Path) -> anyhow::Result<Weights> {
    Ok(progress::during("reading the model", || Weights::read(path))?)
}

/// The weights with their own configuration.
fn with_config(weights: Weights) -> anyhow::Result<(Config, Weights)> {
    let config = weights.config().cloned().ok_or_else(|| Error::NotAModel { path: weights.path().to_owned() })?;
    Ok((config, weights))
}

/// The model's file or folder in the hub's cache.
fn fetch(model: &HubModel) -> anyhow::Result<PathBuf> {
    let mut download = Download(None);
    Ok(Hub::from_env()?.fetch(model, &mut download)?)
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
