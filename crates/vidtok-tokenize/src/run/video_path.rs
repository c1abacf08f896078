//! The paths of videos, relative to their folder, as text.

use std::path::{Component, Path, PathBuf};

use vidtok_data::path_text;

use crate::error::TokenizeError;

/// The relative path of a video as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VideoPath {
    pub(super) text: String,
    /// Whether the path is not UTF-8. Then `text` has `\xff` for other bytes, and names no file.
    pub(super) is_escaped: bool,
}

/// The paths of `videos` relative to `root`.
pub(super) fn relative(root: &Path, videos: Vec<PathBuf>) -> Result<Vec<VideoPath>, TokenizeError> {
    let mut relative = Vec::with_capacity(videos.len());
    for path in videos {
        let inside = path.strip_prefix(root).unwrap_or(&path);
        if inside.is_absolute() {
            return Err(TokenizeError::Outside { path, folder: root.to_owned() });
        }
        // A table may contain paths like "./a//b.mp4".
        let plain: PathBuf = inside.components().filter(|part| !matches!(part, Component::CurDir)).collect();
        relative.push(VideoPath { text: path_text(&plain).into_owned(), is_escaped: plain.to_str().is_none() });
    }
    Ok(relative)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn videos_outside_the_folder_are_refused_by_name() {
        let (root, inside) = (Path::new("/data"), PathBuf::from("/data/./x//a.mp4"));
        let expected = VideoPath { text: "x/a.mp4".to_owned(), is_escaped: false };
        assert_eq!(relative(root, vec![inside]).unwrap(), [expected]);
        let error = relative(root, vec!["/else/a.mp4".into()]).unwrap_err().to_string();
        assert!(error.contains("/else/a.mp4") && error.contains("/data"), "{error}");
    }
}
