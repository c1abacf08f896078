//! What all sets of clips of a run share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clips::frame_cache::Budget;
use crate::clips::index::Index;
use crate::clips::quarantine::{Quarantine, Quarantined};
use crate::error::LoadError;
use crate::input::notice::Notice;

/// Files and memory of a [`Library`]. The default has neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LibraryOptions {
    /// Where to keep what was found out about videos (frames, rate, size), one JSON object a line. A video that is
    /// listed and has not changed since is not decoded to be looked at. Several processes may use one file.
    pub index: Option<PathBuf>,
    /// Where to list videos that cannot be used, with the reason, one JSON object a line; appended to.
    pub quarantine: Option<PathBuf>,
    /// The most memory for resized frames, in bytes.
    pub cache_bytes: u64,
}

/// What is known of videos, which of them are set aside, and room for their frames. The [`ClipSet`](crate::ClipSet)s
/// of a run share one.
#[derive(Debug)]
pub struct Library {
    pub(crate) index: Index,
    pub(crate) quarantine: Quarantine,
    pub(crate) budget: Arc<Budget>,
    notices: Mutex<Vec<(String, Notice)>>,
}

impl Library {
    /// Opens the files, or makes empty ones.
    ///
    /// # Errors
    /// If one of them cannot be read and written.
    pub fn open(options: &LibraryOptions) -> Result<Arc<Self>, LoadError> {
        Ok(Arc::new(Self {
            index: Index::open(options.index.as_deref())?,
            quarantine: Quarantine::open(options.quarantine.as_deref())?,
            budget: Budget::new(options.cache_bytes),
            notices: Mutex::default(),
        }))
    }

    /// The videos that were set aside so far in this run, in the order in which they were met.
    #[must_use]
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.quarantine.videos()
    }

    /// What a user should know of how videos were read so far in this run: each thing once, with the first video.
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
