//! The errors of listing videos.

use std::path::PathBuf;

use crate::input::extensions::{IMAGES, VIDEOS};
use crate::input::left_out::LeftOut;

/// Why a list of videos cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The table cannot be read or is not valid CSV.
    #[error("{}: {source}", path.display())]
    Table {
        /// The table.
        path: PathBuf,
        /// The reader's error.
        source: csv::Error,
    },
    /// The table lacks the column of videos.
    #[error("{}: no column {column:?}, only {found:?}", path.display())]
    MissingColumn {
        /// The table.
        path: PathBuf,
        /// The expected column.
        column: &'static str,
        /// The columns found.
        found: Vec<String>,
    },
    /// A row names no video.
    #[error("{}: line {line}: column {column:?} is empty", path.display())]
    MissingVideo {
        /// The table.
        path: PathBuf,
        /// The line number, from 1.
        line: u64,
        /// The column.
        column: &'static str,
    },
    /// A folder cannot be read.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A folder contains no videos.
    #[error("{}: no videos in it; {left_out}; the extensions of videos are {}", path.display(), VIDEOS.join(", "))]
    NoVideos {
        /// The folder.
        path: PathBuf,
        /// The files that it contains instead.
        left_out: LeftOut,
    },
    /// A folder contains no images.
    #[error("{}: no images in it; {left_out}; the extensions of images are {}", path.display(), IMAGES.join(", "))]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// The files that it contains instead.
        left_out: LeftOut,
    },
    /// The table has no rows.
    #[error("{}: lists no videos", path.display())]
    Empty {
        /// The table.
        path: PathBuf,
    },
}
