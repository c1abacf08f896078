//! A worker: claims shards, tokenizes their videos and finishes them.

use std::fs;
use std::path::PathBuf;

use vidtok::Tokenizer;
use vidtok_core::{Claim, remove_partial};
use vidtok_data::{DecodeAhead, LoadError};

use crate::dataset::folder::Folder;
use crate::dataset::settings::Dataset;
use crate::error::TokenizeError;
use crate::run::finish::finish_shard;
use crate::run::options::TokenizeOptions;
use crate::run::part;
use crate::run::progress::{Meter, TokenizeProgress, TokenizeSummary};
use crate::run::skipped::{SkippedVideo, file_stamp};
use crate::run::video::{VideoEncoder, VideoFailure};
use crate::run::work_list::{ListedShard, ListedVideo, WorkList};
use crate::summary::manifest::Manifest;

/// The reason given when a video is skipped because its path is not UTF-8, which the lists cannot hold.
const NOT_UTF8: &str = "its name is not UTF-8 (shown here with escaped bytes); rename it";

/// Tokenizes shards that it claims in the dataset's folder.
pub(super) struct Worker<'a> {
    encoder: VideoEncoder<'a>,
    options: &'a TokenizeOptions,
    folder: Folder,
    /// The folder of videos.
    root: PathBuf,
    meter: Meter,
    observe: &'a mut dyn FnMut(TokenizeProgress<'_>),
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        tokenizer: &'a Tokenizer,
        options: &'a TokenizeOptions,
        dataset: Dataset,
        folder: Folder,
        root: PathBuf,
        observe: &'a mut dyn FnMut(TokenizeProgress<'_>),
    ) -> Self {
        let encoder = VideoEncoder { tokenizer, options, dataset };
        Self { encoder, options, folder, root, meter: Meter::start(), observe }
    }

    /// Works until no shard is left to claim, or the work is stopped.
    pub(super) fn run(mut self, mut list: WorkList, mut ahead: DecodeAhead) -> Result<TokenizeSummary, TokenizeError> {
        let finished = count_videos(list.shards.iter().filter(|shard| self.folder.is_finished(shard.index)));
        (self.observe)(TokenizeProgress::Started { videos: count_videos(&list.shards), finished });
        loop {
            let has_worked = self.pass(&list, &mut ahead)?;
            // Another worker may have extended the list or released a claim in the meantime.
            let _lock = self.folder.lock()?;
            list = WorkList::read(&self.folder)?;
            if !has_worked || self.options.is_stopped() {
                return self.summary(&list);
            }
        }
    }

    /// Tokenizes the listed shards in order, which nobody else has claimed.
    pub(super) fn run_listed(mut self, list: WorkList, mut ahead: DecodeAhead) -> Result<(), TokenizeError> {
        self.pass(&list, &mut ahead)?;
        if self.options.is_stopped() { Err(TokenizeError::Stopped) } else { Ok(()) }
    }

    /// The summary; writes the manifest if all shards are finished. The caller must hold the folder's lock.
    fn summary(&self, list: &WorkList) -> Result<TokenizeSummary, TokenizeError> {
        let all: Vec<usize> = list.shards.iter().map(|shard| shard.index).collect();
        let finished = all.iter().filter(|&&shard| self.folder.is_finished(shard)).count();
        let VideoEncoder { tokenizer, dataset, .. } = &self.encoder;
        let manifest = match finished == all.len() {
            true => Some(Manifest::write(&self.folder, dataset, &all, tokenizer.quantizer())?),
            false => None,
        };
        let (meter, stopped) = (self.meter.clone(), self.options.is_stopped());
        Ok(TokenizeSummary { meter, shards: all.len(), finished, stopped, manifest })
    }

    /// Visits all shards once, each rank from a different start, and returns whether it found work.
    fn pass(&mut self, list: &WorkList, ahead: &mut DecodeAhead) -> Result<bool, TokenizeError> {
        let count = list.shards.len();
        let first = self.options.rank * count / self.options.world_size;
        let mut has_worked = false;
        for listed in list.shards.iter().cycle().skip(first).take(count) {
            if self.options.is_stopped() {
                break;
            }
            let parts = self.folder.parts(listed.index);
            if self.folder.is_finished(listed.index) && !parts.exists() {
                continue;
            }
            let path = self.folder.claim(listed.index);
            let Some(claim) = Claim::try_take(&path).map_err(TokenizeError::file(&path))? else { continue };
            // Another worker may have finished it before the claim was taken.
            if !self.folder.is_finished(listed.index) {
                has_worked = true;
                if !self.tokenize_shard(listed, ahead)? {
                    // Dropping the claim releases it, and the parts stay for the next worker.
                    break;
                }
            }
            // The worker that finished it may have been killed before it removed the parts.
            if parts.exists() {
                fs::remove_dir_all(&parts).map_err(TokenizeError::file(&parts))?;
            }
            claim.remove().map_err(TokenizeError::file(path))?;
        }
        Ok(has_worked)
    }

    /// Finishes a claimed shard; returns false if it was stopped first.
    fn tokenize_shard(&mut self, listed: &ListedShard, ahead: &mut DecodeAhead) -> Result<bool, TokenizeError> {
        let parts = self.folder.parts(listed.index);
        fs::create_dir_all(&parts).map_err(TokenizeError::file(&parts))?;
        // Only the holder of the claim writes to this folder.
        remove_partial(&parts).map_err(TokenizeError::file(&parts))?;
        let missing: Vec<(usize, &ListedVideo)> =
            listed.videos.iter().enumerate().filter(|(index, _)| !part::is_finished(&parts, *index)).collect();
        let resumed = listed.videos.len() - missing.len();
        // Stamp the files before they are probed, so that a later change is noticed.
        let stamps: Vec<_> = missing.iter().map(|(_, video)| file_stamp(&self.root.join(&video.path))).collect();
        let named = missing.iter().filter(|(_, video)| !video.is_escaped);
        ahead.ask(named.map(|(_, video)| self.root.join(&video.path)));
        for ((index, listed_video), file) in missing.into_iter().zip(stamps) {
            if self.options.is_stopped() {
                return Ok(false);
            }
            let tokenized = if listed_video.is_escaped {
                Err(VideoFailure::Skipped(NOT_UTF8.to_owned()))
            } else {
                let Some(video) = ahead.next_video() else { return Err(LoadError::Stopped.into()) };
                let bytes = file.map_or(0, |file| file.size);
                let path = part::tokens_path(&parts, index);
                self.encoder.encode(video, listed_video, bytes, path, &mut self.meter, self.observe)
            };
            match tokenized {
                Ok(frames) => {
                    self.meter.videos += 1;
                    self.meter.frames += frames;
                    (self.observe)(TokenizeProgress::Video { path: &listed_video.path, meter: &self.meter });
                }
                // The signal may have stopped ffmpeg too, so the error says nothing about the video.
                Err(_) if self.options.is_stopped() => return Ok(false),
                Err(VideoFailure::Skipped(reason)) => {
                    (self.observe)(TokenizeProgress::Skipped { path: &listed_video.path, reason: &reason });
                    let path = listed_video.path.clone();
                    part::skip(&parts, index, &SkippedVideo { shard: listed.index, path, reason, file })?;
                }
                Err(VideoFailure::Fatal(error)) => return Err(error),
            }
        }
        finish_shard(&self.folder, &self.encoder.dataset, listed, &parts)?;
        (self.observe)(TokenizeProgress::Shard { shard: listed.index, resumed });
        Ok(true)
    }
}

fn count_videos<'a>(shards: impl IntoIterator<Item = &'a ListedShard>) -> usize {
    shards.into_iter().map(|shard| shard.videos.len()).sum()
}
