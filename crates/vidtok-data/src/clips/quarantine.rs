//! Videos that are set aside because they cannot be used.

use std::collections::HashSet;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use vidtok_core::VideoError;

use crate::error::LoadError;
use crate::json_lines::JsonLines;

/// A video that is set aside, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The video.
    pub path: String,
    /// What is wrong with it, on one line.
    pub reason: String,
}

impl fmt::Display for Quarantined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// The list of what is set aside in a run: each video once, in a file too if there is one.
#[derive(Debug)]
pub(crate) struct Quarantine {
    listed: Mutex<List>,
    file: Option<JsonLines>,
}

#[derive(Debug, Default)]
struct List {
    paths: HashSet<String>,
    videos: Vec<Quarantined>,
}

impl Quarantine {
    /// Begins an empty list. What the file holds of earlier runs stays and is not asked: a video may have been mended.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, LoadError> {
        let file = path.map(|path| JsonLines::open(path, |_: Quarantined| ())).transpose()?;
        Ok(Self { listed: Mutex::default(), file })
    }

    pub(crate) fn add(&self, path: &str, reason: &str) -> Result<(), LoadError> {
        let mut list = self.list();
        if !list.paths.insert(path.to_owned()) {
            return Ok(());
        }
        let video = Quarantined { path: path.to_owned(), reason: reason.to_owned() };
        let written = self.file.as_ref().map_or(Ok(()), |file| file.append(&video));
        list.videos.push(video);
        written
    }

    pub(crate) fn videos(&self) -> Vec<Quarantined> {
        self.list().videos.clone()
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why no clip came of a video.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The video cannot be used, for this reason.
    Unusable(String),
    /// What was known of the video was wrong, and has been corrected: ask for another clip.
    Outdated,
    /// Something else is wrong, which another video would meet as well.
    Elsewhere(LoadError),
}

impl From<LoadError> for Fault {
    fn from(error: LoadError) -> Self {
        Self::Elsewhere(error)
    }
}

impl From<VideoError> for Fault {
    fn from(error: VideoError) -> Self {
        match unusable(&error) {
            Some(reason) => Self::Unusable(reason),
            None => Self::Elsewhere(error.into()),
        }
    }
}

/// What is wrong with the video itself, on one line and without its path; `None` if another video would meet the same:
/// the data cannot be reached, the machine has run out of something, or ffmpeg does not run. Whoever goes on with other
/// videos asks this first, and ends with the error where it is `None`.
#[must_use]
pub fn unusable(error: &VideoError) -> Option<String> {
    let path = match error {
        VideoError::Io { source, .. } if is_shortage(source) => return None,
        VideoError::Io { path, .. }
        | VideoError::Decode { path, .. }
        | VideoError::Empty { path }
        | VideoError::NoSuchFrame { path, .. } => path,
        _ => return None,
    };
    let message = error.to_string();
    Some(message.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&message).to_owned())
}

/// Whether this machine has run out of something, or has ended the decoder because it has.
pub(crate) fn is_shortage(error: &std::io::Error) -> bool {
    // Too many open files, of the system and of the process; they have no kind yet.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::OutOfMemory | ErrorKind::Interrupted
    ) || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn fault(source: io::Error) -> Fault {
        VideoError::Io { path: "a/b.mp4".into(), source }.into()
    }

    #[test]
    fn faults_of_videos_are_told_from_shortages_of_the_machine() {
        let missing = fault(io::Error::from_raw_os_error(2));
        assert!(matches!(&missing, Fault::Unusable(reason) if reason.starts_with("No such file")), "{missing:?}");
        let damaged = VideoError::Decode { path: "a.mp4".into(), message: "no frame".into() }.into();
        assert!(matches!(&damaged, Fault::Unusable(reason) if reason == "cannot decode: no frame"), "{damaged:?}");
        for code in [12, 23, 24, 28] {
            assert!(matches!(fault(io::Error::from_raw_os_error(code)), Fault::Elsewhere(_)), "{code}");
        }
        let backend = VideoError::Backend { program: "ffmpeg".into(), source: io::ErrorKind::NotFound.into() };
        assert!(matches!(backend.into(), Fault::Elsewhere(_)));
        let away = VideoError::Unreachable { path: "a.mp4".into(), source: io::ErrorKind::NotFound.into() };
        assert!(matches!(away.into(), Fault::Elsewhere(_)));
    }

    #[test]
    fn a_video_is_listed_once_a_run_and_the_file_keeps_earlier_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.jsonl");
        for run in 1..=2 {
            let quarantine = Quarantine::open(Some(&path)).unwrap();
            quarantine.add("a.mp4", "broken").unwrap();
            quarantine.add("a.mp4", "still broken").unwrap();
            assert_eq!(quarantine.videos(), [Quarantined { path: "a.mp4".into(), reason: "broken".into() }]);
            let line = "{\"path\":\"a.mp4\",\"reason\":\"broken\"}\n";
            assert_eq!(std::fs::read_to_string(&path).unwrap(), line.repeat(run));
        }
    }
}
