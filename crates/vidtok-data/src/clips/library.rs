//! The state that all clip sets of a run share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clips::frame_cache::CacheBudget;
use crate::clips::index::Index;
use crate::clips::skipped::{SkippedList, SkippedVideo};
use crate::error::LoadError;
use crate::ffmpeg::notice::Notice;

/// The files and memory of a [`Library`]. The default uses neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LibraryOptions {
    /// A file for descriptions of videos (frames, rate, size), one JSON object per line. A listed video that has not
    /// changed since is not probed again. Several processes may share the file.
    pub index: Option<PathBuf>,
    /// A file to which skipped videos are appended with the reason, one JSON object per line.
    pub skipped: Option<PathBuf>,
    /// The most bytes of resized frames to keep in memory.
    pub cache_bytes: u64,
}

/// The descriptions of videos, the skipped videos, and the frame cache that the [`ClipSet`](crate::ClipSet)s of a run
/// share.
#[derive(Debug)]
pub struct Library {
    pub(crate) index: Index,
    pub(crate) skipped: SkippedList,
    pub(crate) budget: Arc<CacheBudget>,
    notices: Mutex<Vec<(String, Notice)>>,
}

impl Library {
    /// Opens the files, or creates empty ones.
    ///
    /// # Errors
    /// If a file cannot be read and written.
    pub fn open(options: &LibraryOptions) -> Result<Arc<Self>, LoadError> {
        Ok(Arc::new(Self {
            index: Index::open(options.index.as_deref())?,
            skipped: SkippedList::open(options.skipped.as_deref())?,
            budget: CacheBudget::new(options.cache_bytes),
            notices: Mutex::default(),
        }))
    }

    /// The videos skipped in this run, in the order of their discovery.
    #[must_use]
    pub fn skipped(&self) -> Vec<SkippedVideo> {
        self.skipped.videos()
    }

    /// What users should know about how videos were read in this run: each notice once, with its first video.
    #[must_use]
    pub fn notices(&self) -> Vec<(String, Notice)> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note(&self, video: &str, notice: Notice) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if !notices.iter().any(|(_, known)| *known == notice) {
            notices.push((video.to_owned(), notice));
        }
    }
}
