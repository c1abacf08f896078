//! One-file models: safetensors files with the configuration, version, origin and weights' hash in the metadata.

use vidtok_torch::TensorFile;

use crate::config::Config;
use crate::error::Error;

pub(crate) const CONFIG: &str = "vidtok.config";
pub(crate) const VERSION: &str = "vidtok.version";
pub(crate) const ORIGIN: &str = "vidtok.origin";
pub(crate) const SHA256: &str = "vidtok.weights_sha256";

/// The configuration in a file's metadata, if there is one.
pub(crate) fn config(file: &TensorFile) -> Result<Option<Config>, Error> {
    let parse = |text| Config::from_text(text, &[], Some(file.path()));
    file.metadata(CONFIG).map(parse).transpose()
}
