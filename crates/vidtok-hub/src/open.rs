//! Models by name: files and folders, the program itself, and the hub.

use std::path::Path;

use hf_hub::api::Progress;
use vidtok::{Config, Error, Weights};
use vidtok_configs::REPOSITORY;

use crate::built_in;
use crate::error::HubError;
use crate::hub::Hub;
use crate::name::HubModel;

/// Opens a model: a one-file model, a folder of the Python library diffusers, `hf:OWNER/NAME[:FILE][@REVISION]`, or the
/// name of a built-in or published model; without a name, the first built-in one. `progress` shows downloads.
///
/// # Errors
/// If there is no such model, it cannot be downloaded or read, or its file holds no configuration.
pub fn open(model: Option<&Path>, progress: &mut dyn Progress) -> Result<(Config, Weights), HubError> {
    let Some(path) = model else {
        return with_config(built_in::all().into_iter().next().ok_or(HubError::NoBuiltIn)?.weights()?);
    };
    let name = path.to_str().filter(|_| !path.exists()).unwrap_or_default();
    if let Some(built_in) = built_in::find(name) {
        return with_config(built_in.weights()?);
    }
    if HubModel::is_name(name) {
        return with_config(Weights::read(Hub::from_env()?.fetch(&name.parse()?, progress)?)?);
    }
    match vidtok_configs::find(name) {
        Some(published) => {
            let file = Some(published.checkpoint());
            let model = HubModel { repository: REPOSITORY.to_owned(), file, revision: HubModel::MAIN.to_owned() };
            let weights = Weights::read(Hub::from_env()?.fetch(&model, progress)?)?;
            Ok((Config::parse(published.config)?, weights))
        }
        None => with_config(Weights::read(path)?),
    }
}

/// Whether [`open`] would take this text for something else than a file or a folder.
#[must_use]
pub fn is_name(text: &str) -> bool {
    HubModel::is_name(text) || built_in::find(text).is_some() || vidtok_configs::find(text).is_some()
}

/// The weights with their own configuration.
fn with_config(weights: Weights) -> Result<(Config, Weights), HubError> {
    let config = weights.config().cloned().ok_or_else(|| Error::NotAModel { path: weights.path().to_owned() })?;
    Ok((config, weights))
}
