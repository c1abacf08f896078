//! Videos that are skipped because they cannot be used.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use vidtok_core::VideoError;

use crate::error::LoadError;
use crate::input::fault::video_fault;
use crate::json_lines::JsonLines;

/// A skipped video, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedVideo {
    /// The path of the video.
    pub path: String,
    /// The problem, on one line.
    pub reason: String,
}

impl fmt::Display for SkippedVideo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// The videos skipped in a run, each once, optionally also appended to a file.
#[derive(Debug)]
pub(crate) struct SkippedList {
    listed: Mutex<List>,
    file: Option<JsonLines>,
}

#[derive(Debug, Default)]
struct List {
    paths: HashSet<String>,
    videos: Vec<SkippedVideo>,
}

impl SkippedList {
    /// Starts with an empty list. Entries of earlier runs stay in the file but do not count: a video may have been
    /// repaired.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, LoadError> {
        let file = path.map(|path| JsonLines::open(path, |_: SkippedVideo| ())).transpose()?;
        Ok(Self { listed: Mutex::default(), file })
    }

    pub(crate) fn add(&self, path: &str, reason: &str) -> Result<(), LoadError> {
        let mut list = self.list();
        if !list.paths.insert(path.to_owned()) {
            return Ok(());
        }
        let video = SkippedVideo { path: path.to_owned(), reason: reason.to_owned() };
        let written = self.file.as_ref().map_or(Ok(()), |file| file.append(&video));
        list.videos.push(video);
        written
    }

    pub(crate) fn videos(&self) -> Vec<SkippedVideo> {
        self.list().videos.clone()
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a video yielded no clip.
#[derive(Debug)]
pub(crate) enum ClipError {
    /// The video cannot be used, for this reason.
    Skipped(String),
    /// The video's description was wrong and has been corrected: try again.
    Outdated,
    /// A problem that other videos would meet as well.
    Other(LoadError),
}

impl From<LoadError> for ClipError {
    fn from(error: LoadError) -> Self {
        Self::Other(error)
    }
}

impl From<VideoError> for ClipError {
    fn from(error: VideoError) -> Self {
        match video_fault(&error) {
            Some(reason) => Self::Skipped(reason),
            None => Self::Other(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn clip_error(source: io::Error) -> ClipError {
        VideoError::Io { path: "a/b.mp4".into(), source }.into()
    }

    #[test]
    fn bad_videos_are_distinguished_from_failures_of_the_machine() {
        let missing = clip_error(io::Error::from_raw_os_error(2));
        assert!(matches!(&missing, ClipError::Skipped(reason) if reason.starts_with("No such file")), "{missing:?}");
        let damaged = VideoError::Decode { path: "a.mp4".into(), message: "no frame".into() }.into();
        assert!(matches!(&damaged, ClipError::Skipped(reason) if reason == "cannot decode: no frame"), "{damaged:?}");
        for code in [12, 23, 24, 28] {
            assert!(matches!(clip_error(io::Error::from_raw_os_error(code)), ClipError::Other(_)), "{code}");
        }
        let backend = VideoError::Backend { program: "ffmpeg".into(), source: io::ErrorKind::NotFound.into() };
        assert!(matches!(backend.into(), ClipError::Other(_)));
        let away = VideoError::Unreachable { path: "a.mp4".into(), source: io::ErrorKind::NotFound.into() };
        assert!(matches!(away.into(), ClipError::Other(_)));
    }

    #[test]
    fn a_video_is_listed_once_per_run_and_the_file_keeps_earlier_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.jsonl");
        for run in 1..=2 {
            let skipped = SkippedList::open(Some(&path)).unwrap();
            skipped.add("a.mp4", "broken").unwrap();
            skipped.add("a.mp4", "still broken").unwrap();
            assert_eq!(skipped.videos(), [SkippedVideo { path: "a.mp4".into(), reason: "broken".into() }]);
            let line = "{\"path\":\"a.mp4\",\"reason\":\"broken\"}\n";
            assert_eq!(std::fs::read_to_string(&path).unwrap(), line.repeat(run));
        }
    }
}
