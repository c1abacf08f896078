//! What can go wrong with a dataset of tokens.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use vidtok_core::VideoError;
use vidtok_data::{DatasetError, LoadError};
use vidtok_torch::TensorFileError;

/// A dataset of tokens cannot be written or read. A single video that cannot be used is no such error: it is skipped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizeError {
    /// A setting makes no sense.
    #[error("{what}: expected {expected}, found {found}")]
    Setting {
        /// What it belongs to.
        what: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The folder holds a dataset that is made in another way.
    #[error("{}: holds a dataset with {what} = {there}, not {here}; take another folder", path.display())]
    OtherDataset {
        /// The folder.
        path: PathBuf,
        /// What differs.
        what: String,
        /// Its value there.
        there: String,
        /// Its value here.
        here: String,
    },
    /// The folder holds no dataset.
    #[error("{}: holds no dataset of tokens (dataset.json): {problem}", path.display())]
    NoDataset {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        problem: String,
    },
    /// The dataset is of a model with other weights.
    #[error(
        "{}: was made by {model} with weights of sha256 {there}, not {here}; give the model that made it",
        path.display()
    )]
    OtherWeights {
        /// The folder.
        path: PathBuf,
        /// The model's name there.
        model: String,
        /// The hash there.
        there: String,
        /// The hash here.
        here: String,
    },
    /// A table names a video outside its folder.
    #[error("{}: is not in the folder {}; name videos by paths in it", path.display(), folder.display())]
    Outside {
        /// The video.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// A file of the dataset is not what it must be.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// No video is meant by a name.
    #[error("{}: no video in it is called {pattern:?}", path.display())]
    NoneCalled {
        /// The folder.
        path: PathBuf,
        /// The name.
        pattern: String,
    },
    /// The work was stopped from outside; what is done stays.
    #[error("the work was stopped")]
    Stopped,
    /// The model refuses.
    #[error(transparent)]
    Model(#[from] vidtok::Error),
    /// There is no list of videos.
    #[error(transparent)]
    Videos(#[from] DatasetError),
    /// Videos cannot be read for a reason that lies in none of them.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A video cannot be written.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// A file of tensors cannot be read or written.
    #[error(transparent)]
    TensorFile(#[from] TensorFileError),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
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
