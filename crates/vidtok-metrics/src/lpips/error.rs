//! What can go wrong with the weights of LPIPS.

use std::path::PathBuf;

use vidtok_torch::{ParameterError, TensorFileError};

/// The weights of [`Lpips`](super::Lpips) cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LpipsError {
    /// Set-up did not fetch them.
    #[error("{} is in no .deps folder; run `cargo xtask assets`", file.display())]
    Missing {
        /// The file, as a path in the folder.
        file: PathBuf,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The file does not tell which network it is for.
    #[error("{}: not the weights of LPIPS (no network in the metadata); run `cargo xtask assets`", path.display())]
    NoNetwork {
        /// The file.
        path: PathBuf,
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
