//! Released weights of the networks that metrics use, which `cargo xtask assets` fetches.

use std::path::{Path, PathBuf};

use tch::{Device, Kind};
use vidtok_core::fetched;
use vidtok_torch::{ParamPath, ParameterError, TensorFile, TensorFileError};

/// The weights of a metric's network cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// Set-up did not fetch them.
    #[error("{} is in no .deps folder; run `cargo xtask assets`", file.display())]
    Missing {
        /// The file, as a path in the folder.
        file: PathBuf,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The file does not tell that it is for such a network.
    #[error("{}: not the weights of {network} (no network in the metadata); run `cargo xtask assets`", path.display())]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// What it was wanted for.
        network: &'static str,
    },
    /// The file's parameters are not the network's.
    #[error("{}: {source}", path.display())]
    Parameters {
        /// The file.
        path: PathBuf,
        /// Which keys do not fit.
        source: Box<ParameterError>,
    },
}

/// The file of this name that `cargo xtask assets` [`fetched`].
pub(crate) fn locate(file: PathBuf) -> Result<PathBuf, WeightsError> {
    let found = fetched(&file).into_iter().find(|path| path.is_file());
    found.ok_or(WeightsError::Missing { file })
}

/// The network that `new` makes of a file's parameters, all of them.
pub(crate) fn load<N>(file: &TensorFile, device: Device, new: impl FnOnce(&ParamPath) -> N) -> Result<N, WeightsError> {
    let root = ParamPath::loaded(file.tensors()?, device, Kind::Float);
    let network = new(&root);
    let wrong = |source| WeightsError::Parameters { path: file.path().to_owned(), source: Box::new(source) };
    root.finish().map_err(wrong)?;
    Ok(network)
}

/// What a file says its network is.
pub(crate) fn network_of(path: &Path, network: &'static str) -> Result<(TensorFile, String), WeightsError> {
    let file = TensorFile::open(path)?;
    let stated = file.metadata("net").map(str::to_owned);
    let stated = stated.ok_or_else(|| WeightsError::OtherNetwork { path: path.to_owned(), network })?;
    Ok((file, stated))
}
