//! Downloads into the cache.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use sha2::{Digest, Sha256};

use crate::choose::{Choice, choose};
use crate::error::HubError;
use crate::hub::Hub;
use crate::name::HubModel;

/// How often a transfer that ends early is continued.
const ATTEMPTS: u32 = 5;

impl Hub {
    /// The model's file in the cache, or its folder if it is one of the Python library diffusers. What is not there is
    /// downloaded first, with `progress`; a file that is there is used without asking the server.
    ///
    /// # Errors
    /// If the server cannot be reached, refuses access or does not know the model, the transfer fails, the file is
    /// damaged, or the cache cannot be written.
    pub fn fetch(&self, model: &HubModel, progress: &mut dyn Progress) -> Result<PathBuf, HubError> {
        let repo = Repo::with_revision(model.repository.clone(), RepoType::Model, model.revision.clone());
        let cache = Cache::new(self.cache.clone());
        let api = ApiBuilder::from_cache(cache.clone()).with_endpoint(self.endpoint.clone());
        let api = api.with_token(self.token.clone()).with_progress(false).with_user_agent("vidtok", VERSION).build();
        let api = api.map_err(|source| self.failed(model, source))?;
        let fetch = Fetch { hub: self, model, cache: cache.repo(repo.clone()), repo, api };
        match &model.file {
            Some(file) => fetch.file(file, progress),
            None => match choose(&fetch.files()?)
                .map_err(|problem| HubError::Choice { model: model.to_string(), problem })?
            {
                Choice::File(file) => fetch.file(&file, progress),
                Choice::Folder(files) => {
                    let paths: Result<Vec<_>, _> = files.iter().map(|file| fetch.file(file, progress)).collect();
                    // All files of a revision lie in one folder.
                    Ok(paths?.iter().find_map(|path| path.parent()).unwrap_or(&self.cache).to_owned())
                }
            },
        }
    }

    /// The error of a request, by its status.
    fn failed(&self, model: &HubModel, source: ApiError) -> HubError {
        let (model, endpoint) = (model.to_string(), self.endpoint.clone());
        match &source {
            ApiError::RequestError(error) => match **error {
                ureq::Error::StatusCode(404) => HubError::NotFound { model, endpoint },
                ureq::Error::StatusCode(status @ (401 | 403)) => HubError::Refused { model, endpoint, status },
                _ => HubError::Transfer { model, endpoint, source: Box::new(source) },
            },
            _ => HubError::Transfer { model, endpoint, source: Box::new(source) },
        }
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One model's way into the cache.
struct Fetch<'a> {
    hub: &'a Hub,
    model: &'a HubModel,
    repo: Repo,
    cache: CacheRepo,
    api: Api,
}

impl Fetch<'_> {
    /// The files of the repository; without the server, those in the cache.
    fn files(&self) -> Result<Vec<String>, HubError> {
        if !self.hub.is_offline {
            let info = self.api.repo(self.repo.clone()).info().map_err(|source| self.hub.failed(self.model, source))?;
            return Ok(info.siblings.into_iter().map(|sibling| sibling.rfilename).collect());
        }
        let reference = self.hub.cache.join(self.repo.folder_name()).join("refs").join(&self.model.revision);
        let commit = fs::read_to_string(reference).map_err(|_| self.offline())?;
        let mut files = Vec::new();
        list(&self.cache.pointer_path(commit.trim()), "", &mut files).map_err(|_| self.offline())?;
        Ok(files)
    }

    fn file(&self, name: &str, progress: &mut dyn Progress) -> Result<PathBuf, HubError> {
        if let Some(path) = self.cache.get(name) {
            return Ok(path);
        }
        if self.hub.is_offline {
            return Err(self.offline());
        }
        let failed = |source| self.hub.failed(self.model, source);
        let repo = self.api.repo(self.repo.clone());
        let metadata = self.api.metadata(&repo.url(name)).map_err(failed)?;
        let (size, blob) = (metadata.size() as u64, self.cache.blob_path(metadata.etag()));
        let part = blob.with_extension("part");
        let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        // A longer part is of another file or a damaged one, and could never be continued.
        if bytes(&part) > size {
            fs::remove_file(&part).map_err(HubError::file(&part))?;
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            let downloaded = repo.download_with_progress(name, Borrowed(progress));
            let received = bytes(&blob).max(bytes(&part));
            match downloaded {
                Ok(path) if received == size => return self.checked(path, &blob, metadata.etag()),
                // The library takes what came for the whole file: make it a part again.
                Ok(path) => {
                    fs::remove_file(&path).map_err(HubError::file(&path))?;
                    fs::rename(&blob, &part).map_err(HubError::file(&part))?;
                }
                Err(ApiError::RequestError(error)) if matches!(*error, ureq::Error::StatusCode(_)) => {
                    return Err(failed(ApiError::RequestError(error)));
                }
                Err(error) if attempt == ATTEMPTS && received == 0 => return Err(failed(error)),
                Err(_) => {}
            }
            if attempt == ATTEMPTS {
                return Err(HubError::Interrupted { model: self.model.to_string(), received, size });
            }
        }
    }

    /// The downloaded file, if its SHA-256 is the one that the hub states. The hub calls large files by it; small ones have
    /// a shorter name.
    fn checked(&self, path: PathBuf, blob: &Path, etag: &str) -> Result<PathBuf, HubError> {
        if etag.len() != 64 {
            return Ok(path);
        }
        let found = sha256(blob).map_err(HubError::file(blob))?;
        if found == etag {
            return Ok(path);
        }
        for file in [&path, blob] {
            fs::remove_file(file).map_err(HubError::file(file))?;
        }
        Err(HubError::Checksum { model: self.model.to_string(), expected: etag.to_owned(), found })
    }

    fn offline(&self) -> HubError {
        HubError::Offline { model: self.model.to_string(), cache: self.hub.cache.clone() }
    }
}

/// The library takes its progress by value.
struct Borrowed<'a>(&'a mut dyn Progress);

impl Progress for Borrowed<'_> {
    fn init(&mut self, size: usize, name: &str) {
        self.0.init(size, name);
    }

    fn update(&mut self, bytes: usize) {
        self.0.update(bytes);
    }

    fn finish(&mut self) {
        self.0.finish();
    }
}

/// Appends the paths of all files below a folder, with `/` between their parts.
fn list(folder: &Path, prefix: &str, files: &mut Vec<String>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => list(&entry.path(), &format!("{name}/"), files)?,
            false => files.push(name),
        }
    }
    Ok(())
}

/// The SHA-256 of a file in hexadecimal.
fn sha256(path: &Path) -> std::io::Result<String> {
    const BLOCK: usize = 1 << 20;
    let (mut file, mut hash, mut block) = (File::open(path)?, Sha256::new(), vec![0; BLOCK]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hash.update(&block[..read]),
        }
    }
}
