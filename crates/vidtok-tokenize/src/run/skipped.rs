//! The videos that cannot be used: `skipped.jsonl`, one line for each.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vidtok_data::{FileStamp, JsonLines};

use crate::dataset::folder::Folder;
use crate::error::TokenizeError;

/// A line of `skipped.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SkippedVideo {
    pub(super) shard: usize,
    pub(super) path: String,
    /// Why it cannot be used.
    pub(super) reason: String,
    /// The state of the file when it was skipped; `None` if it did not exist.
    pub(super) file: Option<FileStamp>,
}

/// The skipped videos of a dataset. A video is listed at most once for each shard.
#[derive(Debug)]
pub(super) struct SkippedList {
    lines: JsonLines,
    listed: HashMap<(usize, String), SkippedVideo>,
}

impl SkippedList {
    pub(super) fn open(folder: &Folder) -> Result<Self, TokenizeError> {
        let mut listed = HashMap::new();
        let insert = |video: SkippedVideo| drop(listed.insert((video.shard, video.path.clone()), video));
        let lines = JsonLines::open(&folder.skipped(), insert)?;
        Ok(Self { lines, listed })
    }

    /// The entry of the video at `path` in `shard`, if it was skipped.
    pub(super) fn get(&self, shard: usize, path: &str) -> Option<&SkippedVideo> {
        self.listed.get(&(shard, path.to_owned()))
    }

    /// Appends those videos that are not listed yet. Only the worker that holds a shard's claim may add the shard's
    /// videos.
    pub(super) fn add(&mut self, videos: impl IntoIterator<Item = SkippedVideo>) -> Result<(), TokenizeError> {
        for video in videos {
            let key = (video.shard, video.path.clone());
            if !self.listed.contains_key(&key) {
                self.lines.append(&video)?;
                self.listed.insert(key, video);
            }
        }
        Ok(())
    }
}

/// The present state of a file; `None` if it does not exist.
pub(super) fn file_stamp(path: &Path) -> Option<FileStamp> {
    FileStamp::at(path).ok()
}
