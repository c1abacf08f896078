//! What can go wrong with a report.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use tch::Tensor;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file cannot be created or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A tensor is no picture, or no clip.
    #[error("expected {expected}, got {found}")]
    Shape {
        /// Kind and shape that are wanted.
        expected: String,
        /// Kind and shape of what was given.
        found: String,
    },
    /// A picture cannot be encoded.
    #[error("cannot encode the picture: {0}")]
    Png(#[from] png::EncodingError),
    /// Lines or text cannot be drawn.
    #[error("cannot draw: {0}")]
    Draw(#[source] Box<dyn Error + Send + Sync>),
}

impl ReportError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn draw(source: impl Error + Send + Sync + 'static) -> Self {
        Self::Draw(Box::new(source))
    }

    pub(crate) fn shape(expected: impl Into<String>, found: &Tensor) -> Self {
        Self::Shape { expected: expected.into(), found: format!("{:?} {:?}", found.kind(), found.size()) }
    }
}
