//! Lists of videos: the files of a folder, or a table of file names.

use std::path::{Path, PathBuf};

use crate::input::find;
use crate::input::left_out::LeftOut;
use crate::input::list_error::DatasetError;

/// The column with the videos' paths.
const COLUMN: &str = "videos";

/// Reads a CSV table with a column `videos` of paths relative to `folder`. Other columns are ignored.
///
/// The videos themselves are not opened.
///
/// # Errors
/// If the table cannot be read, lacks the column or is empty.
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

/// The videos of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoList {
    /// The folder that video names are relative to.
    pub root: PathBuf,
    /// The paths of videos: files, and folders that hold the frames of a clip as images.
    pub videos: Vec<PathBuf>,
    /// The other files of the folder.
    pub left_out: LeftOut,
}

/// Lists the videos of a folder and its subfolders, sorted by name: files with a video extension in any case, and
/// folders that hold images (PNG, JPEG) but no videos, each of which is one clip.
///
/// A folder that links lead to repeatedly is visited once. Files and folders whose names start with a dot are left out.
/// If `folder` itself holds the frames of a clip and nothing else, it is the only video, and its parent is the root.
///
/// # Errors
/// If a folder cannot be read, or there are no videos.
pub fn find_videos(folder: &Path) -> Result<VideoList, DatasetError> {
    let (mut videos, left_out) = find::videos(folder)?;
    if videos.is_empty() {
        return Err(DatasetError::NoVideos { path: folder.to_owned(), left_out });
    }
    videos.sort();
    if videos != [folder] {
        return Ok(VideoList { root: folder.to_owned(), videos, left_out });
    }
    // The paths "." and ".." have no name.
    let named = match folder.file_name() {
        Some(_) => folder.to_owned(),
        None => folder.canonicalize().map_err(|source| DatasetError::Folder { path: folder.to_owned(), source })?,
    };
    let root = named.parent().unwrap_or(&named).to_owned();
    Ok(VideoList { root, videos: vec![named], left_out })
}

/// Lists the images of a folder and its subfolders, sorted by name, each a clip of one frame.
///
/// # Errors
/// If a folder cannot be read, or there are no images.
pub fn find_images(folder: &Path) -> Result<VideoList, DatasetError> {
    let (mut videos, left_out) = find::images(folder)?;
    if videos.is_empty() {
        return Err(DatasetError::NoImages { path: folder.to_owned(), left_out });
    }
    videos.sort();
    Ok(VideoList { root: folder.to_owned(), videos, left_out })
}

/// Lists the videos of a folder (see [`find_videos`]) or of a table in its folder (see [`read_video_list`]).
///
/// # Errors
/// See these functions.
pub fn list_videos(data: &Path) -> Result<VideoList, DatasetError> {
    if data.is_dir() {
        return find_videos(data);
    }
    let root = data.parent().unwrap_or(Path::new(""));
    Ok(VideoList { root: root.to_owned(), videos: read_video_list(data, root)?, left_out: LeftOut::default() })
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
    fn errors_name_the_table_and_the_problem_on_one_line() {
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
