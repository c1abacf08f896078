//! Lists of training videos: a folder and a table that names files in it.

use std::path::{Path, PathBuf};

/// The column that holds the videos.
const COLUMN: &str = "videos";

/// What video files end in.
const EXTENSIONS: [&str; 11] = ["avi", "gif", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "ts", "webm", "y4m"];

/// A list of videos cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The table cannot be read, or is no CSV.
    #[error("{}: {source}", path.display())]
    Table {
        /// The table.
        path: PathBuf,
        /// What the reader said.
        source: csv::Error,
    },
    /// The table lacks the column of videos.
    #[error("{}: no column {column:?}, only {found:?}", path.display())]
    MissingColumn {
        /// The table.
        path: PathBuf,
        /// The column that was looked for.
        column: &'static str,
        /// The columns that it has.
        found: Vec<String>,
    },
    /// A row names no video.
    #[error("{}: line {line}: nothing in column {column:?}", path.display())]
    MissingVideo {
        /// The table.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: &'static str,
    },
    /// A folder cannot be read.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder holds no videos.
    #[error("{}: no videos in it ({})", path.display(), EXTENSIONS.join(", "))]
    NoVideos {
        /// The folder.
        path: PathBuf,
    },
    /// The table has no rows.
    #[error("{}: lists no videos", path.display())]
    Empty {
        /// The table.
        path: PathBuf,
    },
}

/// Reads a CSV table with a column `videos`, whose paths are relative to `folder`; other columns are ignored.
///
/// The videos themselves are not looked at.
///
/// # Errors
/// If the table cannot be read, lacks the column or lists nothing.
pub fn read_video_list(table: &Path, folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let table_error = |source| DatasetError::Table { path: table.to_owned(), source };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(table).map_err(table_error)?;
    let header = reader.headers().map_err(table_error)?;
    let Some(column) = header.iter().position(|name| name == COLUMN) else {
        let found = header.iter().map(str::to_owned).collect();
        return Err(DatasetError::MissingColumn { path: table.to_owned(), column: COLUMN, found });
    };
    let mut videos = Vec::new();
    for row in reader.records() {
        let row = row.map_err(table_error)?;
        let Some(video) = row.get(column).filter(|video| !video.is_empty()) else {
            let line = row.position().map_or(0, csv::Position::line);
            return Err(DatasetError::MissingVideo { path: table.to_owned(), line, column: COLUMN });
        };
        videos.push(folder.join(video));
    }
    if videos.is_empty() {
        return Err(DatasetError::Empty { path: table.to_owned() });
    }
    Ok(videos)
}

/// Files in `folder` and the folders in it that are videos by their extension, in the order of their names.
///
/// # Errors
/// If a folder cannot be read, or there are none.
pub fn find_videos(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut videos = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let refused = |source| DatasetError::Folder { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(refused)? {
            let path = entry.map_err(refused)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if is_video(&path) {
                videos.push(path);
            }
        }
    }
    if videos.is_empty() {
        return Err(DatasetError::NoVideos { path: folder.to_owned() });
    }
    videos.sort();
    Ok(videos)
}

/// The videos of a folder ([`find_videos`]) or of a table in it ([`read_video_list`]), and the folder.
///
/// # Errors
/// As those.
pub fn list_videos(data: &Path) -> Result<(PathBuf, Vec<PathBuf>), DatasetError> {
    if data.is_dir() {
        return Ok((data.to_owned(), find_videos(data)?));
    }
    let folder = data.parent().unwrap_or(Path::new(""));
    Ok((folder.to_owned(), read_video_list(data, folder)?))
}

fn is_video(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<PathBuf>, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("list.csv");
        std::fs::write(&table, text).unwrap();
        read_video_list(&table, Path::new("clips"))
    }

    #[test]
    fn paths_are_relative_to_the_folder() {
        let videos = read("caption,videos\r\n\"a, b\",x.mp4\r\nc, sub/y.gif \r\n").unwrap();
        assert_eq!(videos, [Path::new("clips/x.mp4"), Path::new("clips/sub/y.gif")]);
    }

    #[test]
    fn a_byte_order_mark_does_not_hide_the_column() {
        assert_eq!(read("\u{feff}videos\nx.mp4\n").unwrap(), [Path::new("clips/x.mp4")]);
    }

    #[test]
    fn faults_are_told_in_one_line_with_the_table_and_the_column() {
        for (text, telling) in [
            ("path,text\nx.mp4,y\n", "no column \"videos\", only [\"path\", \"text\"]"),
            ("", "no column"),
            ("videos\n", "lists no videos"),
            ("videos,n\nx.mp4,1\n,2\n", "line 3"),
            ("videos,n\nx.mp4\n", "2 fields"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(telling) && message.contains("list.csv"), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn a_missing_table_is_named() {
        let message = read_video_list(Path::new("no/such.csv"), Path::new(".")).unwrap_err().to_string();
        assert!(message.contains("no/such.csv") && message.contains("No such file"), "{message}");
    }
}
