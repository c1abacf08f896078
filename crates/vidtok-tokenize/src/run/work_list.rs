//! Which video is in which shard: `videos.jsonl`, one line a shard, and `skipped.jsonl`, one line a video that cannot
//! be used.
//!
//! Shards are runs of videos in the order of the listing. Those of a later call go into shards behind the old ones, so
//! that no shard ever changes.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use vidtok_data::{FileStamp, JsonLines, path_text};

use crate::dataset::folder::Folder;
use crate::error::TokenizeError;

/// A line of `videos.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedShard {
    pub(crate) shard: usize,
    pub(crate) videos: Vec<ListedVideo>,
}

/// A video of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedVideo {
    /// Its name in the dataset.
    pub(crate) key: String,
    /// Its path in the folder of the videos.
    pub(crate) path: String,
    /// Whether that is not UTF-8: `path` has other bytes as `\xff` then, and names no file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_escaped: bool,
}

/// The path of a video as a list can hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VideoPath {
    text: String,
    is_escaped: bool,
}

/// A line of `skipped.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SkippedVideo {
    pub(crate) shard: usize,
    pub(crate) path: String,
    /// What is wrong with it.
    pub(crate) reason: String,
    /// What the file was then; `None` if there was none.
    pub(crate) file: Option<FileStamp>,
}

/// More shards than any dataset has, and few enough to count on.
const MOST_SHARDS: usize = 1 << 31;

impl ListedShard {
    /// Whether this may have been written here: keys become names of files.
    fn is_possible(&self) -> bool {
        let is_key = |key: &str| !key.starts_with('/') && key.chars().all(is_of_a_key);
        self.shard < MOST_SHARDS && self.videos.iter().all(|video| is_key(&video.key))
    }
}

/// What the files of a folder say.
#[derive(Debug)]
pub(crate) struct WorkList {
    pub(crate) shards: Vec<ListedShard>,
}

/// Videos that cannot be used; each is listed once in a shard.
#[derive(Debug)]
pub(crate) struct SkippedList {
    lines: JsonLines,
    listed: HashMap<(usize, String), SkippedVideo>,
}

impl WorkList {
    /// Reads the list. The folder's lock must be held.
    pub(crate) fn read(folder: &Folder) -> Result<Self, TokenizeError> {
        Self::open(folder).map(|(list, _)| list)
    }

    fn open(folder: &Folder) -> Result<(Self, JsonLines), TokenizeError> {
        let mut shards = Vec::new();
        // As for a damaged line, the videos of one that nobody here has written are listed again.
        let take = |shard: ListedShard| {
            let is_next = shards.last().is_none_or(|last: &ListedShard| last.shard < shard.shard);
            if is_next && shard.is_possible() {
                shards.push(shard);
            }
        };
        let lines = JsonLines::open(&folder.videos(), take)?;
        Ok((Self { shards }, lines))
    }

    /// Appends the videos at `paths` in the folder `root` that are in no shard yet, and those that were skipped and have
    /// changed since, or all that were skipped if `retry` says so; `per_shard` to a shard. The folder's lock must be
    /// held.
    pub(crate) fn extend(
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
            known.extend(shard.videos.iter().map(|video| (video.path.as_str(), (shard.shard, video.key.as_str()))));
        }
        let mut keys: HashSet<String> = known.values().map(|(_, key)| (*key).to_owned()).collect();
        let mut taken = HashSet::new();
        let mut new = Vec::new();
        for VideoPath { text: path, is_escaped } in paths.iter().filter(|path| taken.insert(path.text.as_str())) {
            let key = match known.get(path.as_str()) {
                None => new_key(path, &mut keys),
                Some((shard, key)) => match skipped.listed.get(&(*shard, path.clone())) {
                    // Its key is still free: it was in no shard's file.
                    Some(video) if retry || video.file != file_stamp(&root.join(path)) => (*key).to_owned(),
                    _ => continue,
                },
            };
            new.push(ListedVideo { key, path: path.clone(), is_escaped: *is_escaped });
        }
        for videos in new.chunks(per_shard.max(1)) {
            let shard =
                ListedShard { shard: list.shards.last().map_or(0, |last| last.shard + 1), videos: videos.to_vec() };
            lines.append(&shard)?;
            list.shards.push(shard);
        }
        Ok(list)
    }
}

impl SkippedList {
    pub(crate) fn open(folder: &Folder) -> Result<Self, TokenizeError> {
        let mut listed = HashMap::new();
        let take = |video: SkippedVideo| drop(listed.insert((video.shard, video.path.clone()), video));
        let lines = JsonLines::open(&folder.skipped(), take)?;
        Ok(Self { lines, listed })
    }

    /// Adds those videos that are not listed. Whoever claims a shard lists its videos, and nobody else.
    pub(crate) fn add(&mut self, videos: impl IntoIterator<Item = SkippedVideo>) -> Result<(), TokenizeError> {
        for video in videos {
            let place = (video.shard, video.path.clone());
            if !self.listed.contains_key(&place) {
                self.lines.append(&video)?;
                self.listed.insert(place, video);
            }
        }
        Ok(())
    }
}

/// What a file is now; `None` if there is none.
pub(crate) fn file_stamp(path: &Path) -> Option<FileStamp> {
    FileStamp::at(path).ok()
}

/// The paths of `videos` in `root`.
pub(crate) fn relative(root: &Path, videos: Vec<PathBuf>) -> Result<Vec<VideoPath>, TokenizeError> {
    let mut relative = Vec::with_capacity(videos.len());
    for path in videos {
        let inside = path.strip_prefix(root).unwrap_or(&path);
        if inside.is_absolute() {
            return Err(TokenizeError::Outside { path, folder: root.to_owned() });
        }
        // A table may write "./a//b.mp4".
        let plain: PathBuf = inside.components().filter(|part| !matches!(part, Component::CurDir)).collect();
        relative.push(VideoPath { text: path_text(&plain).into_owned(), is_escaped: plain.to_str().is_none() });
    }
    Ok(relative)
}

fn is_of_a_key(c: char) -> bool {
    c.is_alphanumeric() || "-_/".contains(c)
}

/// A key of `path` that none of `keys` has, added to them: the path without its extension, with `_` for all but letters,
/// digits, `-` and `/`, so that nothing in it can be taken for an extension.
fn new_key(path: &str, keys: &mut HashSet<String>) -> String {
    let stem = Path::new(path).with_extension("");
    let plain = |c: char| if is_of_a_key(c) { c } else { '_' };
    let stem: String = stem.to_string_lossy().chars().map(plain).collect();
    // WebDataset passes over names of this form, which mean something to it.
    let first = stem.split('/').next().unwrap_or_default();
    let reserved = first.len() > 3 && first.starts_with("__") && first.ends_with("__");
    let stem = if reserved { format!("-{stem}") } else { stem };
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    let mut candidates = std::iter::once(stem.clone()).chain(numbered);
    let free = candidates.find(|key| !keys.contains(key)).unwrap_or(stem);
    keys.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn extend(folder: &Folder, paths: &[&str], per_shard: usize, retry: bool) -> Vec<Vec<(String, String)>> {
        let paths = relative(folder.root(), paths.iter().map(PathBuf::from).collect()).unwrap();
        let list = WorkList::extend(folder, folder.root(), &paths, per_shard, retry).unwrap();
        assert_eq!(WorkList::read(folder).unwrap().shards, list.shards);
        assert!(list.shards.iter().enumerate().all(|(place, shard)| shard.shard == place));
        let videos = |shard: ListedShard| shard.videos.into_iter().map(|video| (video.path, video.key)).collect();
        list.shards.into_iter().map(videos).collect()
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::create(temporary.path()).unwrap();
        (temporary, folder)
    }

    #[test]
    fn keys_have_no_dots_and_are_unique() {
        let mut keys = HashSet::new();
        for (path, key) in [
            ("a.b/c d.mp4", "a_b/c_d"),
            ("a_b/c_d.mp4", "a_b/c_d-2"),
            ("x.mov", "x"),
            ("x-2.mp4", "x-2"),
            ("x.mp4", "x-3"),
            ("../up.mp4", "__/up"),
            ("((x))/clip.mp4", "-__x__/clip"),
            ("\u{e9}t\u{e9}.mp4", "\u{e9}t\u{e9}"),
            (".mp4", "_mp4"),
        ] {
            assert_eq!(new_key(path, &mut keys), key);
        }
    }

    #[test]
    fn later_videos_go_into_later_shards_and_earlier_ones_stay() {
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
    fn a_line_that_a_crash_cut_short_is_made_again() {
        let (_temporary, folder) = folder();
        let whole = extend(&folder, &["a.mp4", "b.mp4", "c.mp4"], 1, false);
        let text = fs::read(folder.videos()).unwrap();
        fs::write(folder.videos(), &text[..text.len() - 5]).unwrap();
        assert_eq!(extend(&folder, &["a.mp4", "b.mp4", "c.mp4"], 1, false), whole);
    }

    #[test]
    fn lines_that_nobody_here_has_written_are_passed_over() {
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
    fn skipped_videos_come_again_when_they_have_changed_or_on_request_and_once_only() {
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

    #[test]
    fn videos_outside_the_folder_are_refused_by_name() {
        let (root, inside) = (Path::new("/data"), PathBuf::from("/data/./x//a.mp4"));
        let expected = VideoPath { text: "x/a.mp4".to_owned(), is_escaped: false };
        assert_eq!(relative(root, vec![inside]).unwrap(), [expected]);
        let error = relative(root, vec!["/else/a.mp4".into()]).unwrap_err().to_string();
        assert!(error.contains("/else/a.mp4") && error.contains("/data"), "{error}");
    }
}
