//! Errors of the hub.

use std::io;
use std::path::PathBuf;

use hf_hub::api::sync::ApiError;

/// A model cannot be had from the hub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// No model is named, and none is compiled into the program.
    #[error("no model is built in: name one")]
    NoBuiltIn,
    /// A model's file cannot be read.
    #[error(transparent)]
    Model(#[from] vidtok::Error),
    /// A name is not of the right form.
    #[error("{0:?}: expected hf:OWNER/NAME, hf:OWNER/NAME:FILE, or one of them with @REVISION")]
    Name(String),
    /// There is no place for the cache.
    #[error("no folder for the hub's cache: set HF_HOME")]
    NoCache,
    /// The file is not in the cache, and HF_HUB_OFFLINE forbids to download it.
    #[error("{model}: not in the cache {}, and HF_HUB_OFFLINE is set", cache.display())]
    Offline {
        /// The model.
        model: String,
        /// The folder of the cache.
        cache: PathBuf,
    },
    /// The hub knows no such repository, revision or file.
    #[error("{model}: not found at {endpoint} (the owner, the name, the revision or the file is wrong)")]
    NotFound {
        /// The model.
        model: String,
        /// The server.
        endpoint: String,
    },
    /// The hub refuses access.
    #[error(
        "{model}: {endpoint} refuses access (status {status}): set HF_TOKEN or log in with `hf auth login`, and accept \
         the model's terms on its page"
    )]
    Refused {
        /// The model.
        model: String,
        /// The server.
        endpoint: String,
        /// The HTTP status.
        status: u16,
    },
    /// The repository holds no model, or several.
    #[error("{model}: {problem}")]
    Choice {
        /// The model.
        model: String,
        /// What is wrong.
        problem: String,
    },
    /// The transfer failed.
    #[error("{model}: {endpoint}: {source}")]
    Transfer {
        /// The model.
        model: String,
        /// The server.
        endpoint: String,
        /// The reason.
        source: Box<ApiError>,
    },
    /// The transfer ended early again and again.
    #[error("{model}: the transfer ended after {received} of {size} bytes; the same command continues there")]
    Interrupted {
        /// The model.
        model: String,
        /// The bytes that are there.
        received: u64,
        /// The bytes of the file.
        size: u64,
    },
    /// The file is not what the hub states. It has been removed.
    #[error("{model}: the downloaded file is damaged and was removed: expected sha256 {expected}, found {found}")]
    Checksum {
        /// The model.
        model: String,
        /// The hub's SHA-256.
        expected: String,
        /// That of the file.
        found: String,
    },
    /// A file of the cache cannot be read or changed.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl HubError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
