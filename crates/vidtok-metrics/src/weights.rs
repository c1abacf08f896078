//! Released weights of the metrics' networks, fetched by `cargo xtask assets`.

use std::path::{Path, PathBuf};

use tch::{Device, Kind};
use vidtok_core::fetched;
use vidtok_torch::{ParamPath, ParameterError, TensorFile, TensorFileError};

/// The weights of a metric's network are missing or unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The weights were not fetched.
    #[error("{}: not found in any .deps folder; run `cargo xtask assets`", file.display())]
    Missing {
        /// The file, relative to the folder `.deps`.
        file: PathBuf,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The metadata does not name the network.
    #[error("{}: not the weights of {network} (the metadata does not name it); run `cargo xtask assets`", path.display())]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// The network that was to be loaded.
        network: &'static str,
    },
    /// The parameters do not fit the network.
    #[error("{}: {source}", path.display())]
    Parameters {
        /// The file.
        path: PathBuf,
        /// The keys that do not fit.
        source: Box<ParameterError>,
    },
}

/// The path of a file that `cargo xtask assets` [`fetched`].
pub(crate) fn locate(file: PathBuf) -> Result<PathBuf, WeightsError> {
    let found = fetched(&file).into_iter().find(|path| path.is_file());
    found.ok_or(WeightsError::Missing { file })
}

/// Builds a network from the parameters of a file, all of which it must use.
pub(crate) fn load<N>(file: &TensorFile, device: Device, new: impl FnOnce(&ParamPath) -> N) -> Result<N, WeightsError> {
    let root = ParamPath::loaded(file.tensors()?, device, Kind::Float);
    let network = new(&root);
    let error = |source| WeightsError::Parameters { path: file.path().to_owned(), source: Box::new(source) };
    root.finish().map_err(error)?;
    Ok(network)
}

/// Opens a file of weights and reads the name of its network from the metadata.
pub(crate) fn network_of(path: &Path, network: &'static str) -> Result<(TensorFile, String), WeightsError> {
    let file = TensorFile::open(path)?;
    let name = file.metadata("net").map(str::to_owned);
    let name = name.ok_or_else(|| WeightsError::OtherNetwork { path: path.to_owned(), network })?;
    Ok((file, name))
}
