//! The videos of each shard: `videos.jsonl`, one line for each shard.
//!
//! Videos are divided into shards in the order in which they are listed. Videos that are found later go into new
//! shards, so that no shard ever changes.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use vidtok_data::JsonLines;

use crate::dataset::folder::Folder;
use crate::error::TokenizeError;
use crate::run::keys::{is_valid_key, new_key};
use crate::run::skipped::{SkippedList, file_stamp};
use crate::run::video_path::VideoPath;

/// A line of `videos.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ListedShard {
    #[serde(rename = "shard")]
    pub(super) index: usize,
    pub(super) videos: Vec<ListedVideo>,
}

/// A video of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ListedVideo {
    /// Its name in the dataset.
    pub(super) key: String,
    /// Its path relative to the folder of videos.
    pub(super) path: String,
    /// Whether the path is not UTF-8. Then `path` has `\xff` for other bytes, and names no file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_escaped: bool,
}

/// A limit on shard numbers that no dataset reaches, small enough that the next number cannot overflow.
const MAX_SHARDS: usize = 1 << 31;

impl ListedShard {
    /// Whether this program may have written it. Keys become file names, so they must not be arbitrary.
    fn is_valid(&self) -> bool {
        self.index < MAX_SHARDS && self.videos.iter().all(|video| is_valid_key(&video.key))
    }
}

/// All shards of a dataset.
#[derive(Debug)]
pub(super) struct WorkList {
    pub(super) shards: Vec<ListedShard>,
}

impl WorkList {
    /// Reads the list. The caller must hold the folder's lock.
    pub(super) fn read(folder: &Folder) -> Result<Self, TokenizeError> {
        Self::open(folder).map(|(list, _)| list)
    }

    fn open(folder: &Folder) -> Result<(Self, JsonLines), TokenizeError> {
        let mut shards = Vec::new();
        // The videos of a damaged or invalid line are listed again.
        let push = |shard: ListedShard| {
            let is_next = shards.last().is_none_or(|last: &ListedShard| last.index < shard.index);
            if is_next && shard.is_valid() {
                shards.push(shard);
            }
        };
        let lines = JsonLines::open(&folder.videos(), push)?;
        Ok((Self { shards }, lines))
    }

    /// Appends shards of up to `per_shard` videos each: the videos at `paths` in the folder `root` that are not in a
    /// shard yet, and skipped videos whose file has changed since, or all skipped videos if `retry`. The caller must
    /// hold the folder's lock.
    pub(super) fn extend(
        folder: &Folder,
        root: &Path,
        paths: &[VideoPath],
        per_shard: usize,
        retry: bool,
    ) -> Result<Self, TokenizeError> {
        let (mut list, lines) = Self::open(folder)?;
        let skipped = SkippedList::open(folder)?;
        let mut known: HashMap<&str, (usize, &str)> = HashMap::new();
        for shard in &list.shards {
            known.extend(shard.videos.iter().map(|video| (video.path.as_str(), (shard.index, video.key.as_str()))));
        }
        let mut keys: HashSet<String> = known.values().map(|(_, key)| (*key).to_owned()).collect();
        let mut seen = HashSet::new();
        let mut new = Vec::new();
        for VideoPath { text: path, is_escaped } in paths.iter().filter(|path| seen.insert(path.text.as_str())) {
            let key = match known.get(path.as_str()) {
                None => new_key(path, &mut keys),
                Some((shard, key)) => match skipped.get(*shard, path) {
                    // Its key is still free, since no shard's file contains it.
                    Some(video) if retry || video.file != file_stamp(&root.join(path)) => (*key).to_owned(),
                    _ => continue,
                },
            };
            new.push(ListedVideo { key, path: path.clone(), is_escaped: *is_escaped });
        }
        for videos in new.chunks(per_shard.max(1)) {
            let shard =
                ListedShard { index: list.shards.last().map_or(0, |last| last.index + 1), videos: videos.to_vec() };
            lines.append(&shard)?;
            list.shards.push(shard);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::run::skipped::SkippedVideo;
    use crate::run::video_path::relative;

    fn extend(folder: &Folder, paths: &[&str], per_shard: usize, retry: bool) -> Vec<Vec<(String, String)>> {
        let paths = relative(folder.root(), paths.iter().map(PathBuf::from).collect()).unwrap();
        let list = WorkList::extend(folder, folder.root(), &paths, per_shard, retry).unwrap();
        assert_eq!(WorkList::read(folder).unwrap().shards, list.shards);
        assert!(list.shards.iter().enumerate().all(|(index, shard)| shard.index == index));
        let videos = |shard: ListedShard| shard.videos.into_iter().map(|video| (video.path, video.key)).collect();
        list.shards.into_iter().map(videos).collect()
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::create(temporary.path()).unwrap();
        (temporary, folder)
    }

    #[test]
    fn later_videos_go_into_new_shards_and_old_shards_stay_the_same() {
        let (_temporary, folder) = folder();
        let paths = |shards: &[Vec<(String, String)>]| -> Vec<Vec<String>> {
            shards.iter().map(|shard| shard.iter().map(|(path, _)| path.clone()).collect()).collect()
        };
        let first = extend(&folder, &["b.mp4", "c.mp4", "d.mp4", "c.mp4"], 2, false);
        assert_eq!(paths(&first), [vec!["b.mp4", "c.mp4"], vec!["d.mp4"]]);
        let second = extend(&folder, &["a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4"], 3, false);
        assert_eq!(paths(&second), [vec!["b.mp4", "c.mp4"], vec!["d.mp4"], vec!["a.mp4", "e.mp4"]]);
        assert_eq!(second[..2], first);
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_written_again() {
        let (_temporary, folder) = folder();
        let whole = extend(&folder, &["a.mp4", "b.mp4", "c.mp4"], 1, false);
        let text = fs::read(folder.videos()).unwrap();
        fs::write(folder.videos(), &text[..text.len() - 5]).unwrap();
        assert_eq!(extend(&folder, &["a.mp4", "b.mp4", "c.mp4"], 1, false), whole);
    }

    #[test]
    fn invalid_lines_are_ignored() {
        let (_temporary, folder) = folder();
        let whole = extend(&folder, &["a.mp4", "b.mp4", "c.mp4"], 1, false);
        let text = fs::read_to_string(folder.videos()).unwrap();
        let line = |shard: &str, key: &str| {
            format!("{{\"shard\":{shard},\"videos\":[{{\"key\":\"{key}\",\"path\":\"d.mp4\"}}]}}\n")
        };
        let wrong = [
            line("18446744073709551615", "d"),
            line("3", "../d"),
            line("3", "/d"),
            line("3", "d.png"),
            line("2", "d"),
            line("-1", "d"),
        ];
        fs::write(folder.videos(), text + &wrong.concat()).unwrap();
        assert_eq!(extend(&folder, &["a.mp4", "b.mp4", "c.mp4"], 1, false), whole);
        assert_eq!(extend(&folder, &["d.mp4"], 1, false).len(), 4);
    }

    #[test]
    fn skipped_videos_are_listed_again_once_if_they_have_changed_or_on_request() {
        let (_temporary, folder) = folder();
        let video = folder.root().join("a.mp4");
        fs::write(&video, "bad").unwrap();
        extend(&folder, &["a.mp4", "b.mp4"], 2, false);
        let skip = |shard| {
            let mut skipped = SkippedList::open(&folder).unwrap();
            let line = SkippedVideo { shard, path: "a.mp4".into(), reason: "bad".into(), file: file_stamp(&video) };
            skipped.add([line.clone(), line]).unwrap();
        };
        skip(0);
        assert_eq!(fs::read_to_string(folder.skipped()).unwrap().lines().count(), 1);
        assert_eq!(extend(&folder, &["a.mp4", "b.mp4"], 2, false).len(), 1);
        fs::write(&video, "mended").unwrap();
        let again = extend(&folder, &["a.mp4", "b.mp4"], 2, false);
        assert_eq!(again[1], [("a.mp4".to_owned(), "a".to_owned())]);
        assert_eq!(extend(&folder, &["a.mp4", "b.mp4"], 2, false).len(), 2);
        skip(1);
        assert_eq!(extend(&folder, &["a.mp4", "b.mp4"], 2, true).len(), 3);
        assert_eq!(extend(&folder, &["a.mp4", "b.mp4"], 2, true).len(), 3);
    }
}
