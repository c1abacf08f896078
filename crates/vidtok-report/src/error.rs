//! The errors of this crate.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use tch::Tensor;

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file cannot be created or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A tensor or a list has the wrong shape.
    #[error("expected {expected}, got {found}")]
    Shape {
        /// The expected kind and shape.
        expected: String,
        /// The kind and shape found.
        found: String,
    },
    /// An image cannot be encoded.
    #[error("cannot encode the image: {0}")]
    Png(#[from] image::ImageError),
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
