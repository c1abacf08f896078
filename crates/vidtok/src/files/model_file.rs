//! One-file models: safetensors files with the configuration, version, origin and weights' hash in the metadata.

use vidtok_torch::TensorFile;

use crate::config::Config;
use crate::error::Error;

const CONFIG: &str = "vidtok.config";
const VERSION: &str = "vidtok.version";
pub(crate) const ORIGIN: &str = "vidtok.origin";
pub(crate) const SHA256: &str = "vidtok.weights_sha256";

/// The metadata of a one-file model, as pairs of key and text.
pub(crate) fn metadata(config: &Config, origin: &str, sha256: String) -> Result<Vec<(&'static str, String)>, Error> {
    let config = Config { train: None, ..config.clone() };
    Ok(vec![
        (CONFIG, config.to_toml()?),
        (VERSION, env!("CARGO_PKG_VERSION").to_owned()),
        (ORIGIN, origin.to_owned()),
        (SHA256, sha256),
    ])
}

/// The configuration in a file's metadata, if there is one.
pub(crate) fn config(file: &TensorFile) -> Result<Option<Config>, Error> {
    let parse = |text| Config::from_text(text, &[], Some(file.path()));
    file.metadata(CONFIG).map(parse).transpose()
}
