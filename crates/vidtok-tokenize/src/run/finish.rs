//! Finishes a shard whose videos are all tokenized or skipped.

use std::fs;
use std::path::Path;

use vidtok_core::temporary_beside;

use crate::dataset::folder::Folder;
use crate::dataset::settings::Dataset;
use crate::error::TokenizeError;
use crate::run::part;
use crate::run::skipped::SkippedList;
use crate::run::work_list::ListedShard;
use crate::shard::assemble;
use crate::summary::statistics::Statistics;

/// Assembles the shard from its parts, lists its skipped videos, and writes its statistics, which mark it as finished.
pub(super) fn finish_shard(
    folder: &Folder,
    dataset: &Dataset,
    listed: &ListedShard,
    parts: &Path,
) -> Result<(), TokenizeError> {
    let (mut tokenized, mut skipped) = (Vec::new(), Vec::new());
    for index in 0..listed.videos.len() {
        match part::read_skipped(parts, index)? {
            Some(video) => skipped.push(video),
            None => tokenized.push(part::tokens_path(parts, index)),
        }
    }
    let mut statistics = Statistics::of_parts(&tokenized, dataset.latent)?;
    statistics.totals.skipped = skipped.len() as u64;
    if !skipped.is_empty() {
        let _lock = folder.lock()?;
        SkippedList::open(folder)?.add(skipped)?;
    }
    // Files are written in the folder of parts, where no other worker writes, and then renamed.
    if !tokenized.is_empty() {
        let path = folder.shard(listed.index, dataset.shards);
        let temporary = temporary_beside(&parts.join("shard")).map_err(TokenizeError::file(&path))?;
        assemble::write(&temporary, dataset, &tokenized)?;
        statistics.totals.shard_bytes = fs::metadata(&temporary).map_err(TokenizeError::file(&path))?.len();
        temporary.persist(&path).map_err(|error| TokenizeError::File { path, source: error.error })?;
    }
    let (written, path) = (parts.join("statistics"), folder.statistics(listed.index));
    statistics.write(&written)?;
    fs::rename(&written, &path).map_err(TokenizeError::file(path))
}
