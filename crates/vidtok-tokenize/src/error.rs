//! Errors about token datasets.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use vidtok_core::VideoError;
use vidtok_data::{DatasetError, LoadError};
use vidtok_torch::TensorFileError;

/// An error that prevents a token dataset from being written or read. A single video that cannot be used is skipped
/// instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizeError {
    /// A setting is invalid.
    #[error("{what}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        what: &'static str,
        /// The valid values.
        expected: String,
        /// Its value.
        found: String,
    },
    /// The folder holds a dataset with other settings.
    #[error("{}: holds a dataset with {what} = {there}, not {here}; choose another folder", path.display())]
    OtherDataset {
        /// The folder.
        path: PathBuf,
        /// The setting that differs.
        what: String,
        /// Its value in the folder.
        there: String,
        /// Its value in this run.
        here: String,
    },
    /// The folder holds no dataset.
    #[error("{}: holds no token dataset (dataset.json): {problem}", path.display())]
    NoDataset {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        problem: String,
    },
    /// The dataset was made by a model with other weights.
    #[error(
        "{}: was made by {model} with weights of sha256 {there}, not {here}; use the model that made it",
        path.display()
    )]
    OtherWeights {
        /// The folder.
        path: PathBuf,
        /// The name of the dataset's model.
        model: String,
        /// The SHA-256 of its weights.
        there: String,
        /// The SHA-256 of this model's weights.
        here: String,
    },
    /// A table names a video outside its folder.
    #[error("{}: is not in the folder {}; list videos by paths inside it", path.display(), folder.display())]
    Outside {
        /// The video.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// A file of the dataset is damaged or has other contents than expected.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A pattern matches no video.
    #[error("{}: no video matches {pattern:?}", path.display())]
    NoMatch {
        /// The folder.
        path: PathBuf,
        /// The pattern.
        pattern: String,
    },
    /// The work was stopped; finished videos are kept.
    #[error("stopped before all videos were finished")]
    Stopped,
    /// The model failed.
    #[error(transparent)]
    Model(#[from] vidtok::Error),
    /// The videos cannot be listed.
    #[error(transparent)]
    Videos(#[from] DatasetError),
    /// Videos cannot be read, for a reason that concerns none of them in particular.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A video cannot be written.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// A tensor file cannot be read or written.
    #[error(transparent)]
    TensorFile(#[from] TensorFileError),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl TokenizeError {
    pub(crate) fn setting(what: &'static str, expected: impl Display, found: impl Display) -> Self {
        Self::Setting { what, expected: expected.to_string(), found: found.to_string() }
    }

    pub(crate) fn damaged(path: &Path, problem: impl Display) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.to_string() }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
