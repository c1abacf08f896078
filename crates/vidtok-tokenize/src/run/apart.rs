//! The shards of a dataset one by one, for a scheduler that runs each where it likes, such as Ray.
//!
//! [`plan_shards`] lists the work in a folder, [`tokenize_shard`] does one shard in a copy of that folder, and
//! [`finish_dataset`] sums up what has been brought back. The files are those of [`tokenize`](crate::tokenize), to the
//! byte. Nobody else may work in these folders meanwhile.

use std::path::PathBuf;

use vidtok::Tokenizer;
use vidtok_data::{DecodeAhead, Ffmpeg};

use crate::dataset::folder::Folder;
use crate::dataset::settings::Dataset;
use crate::error::TokenizeError;
use crate::run::options::TokenizeOptions;
use crate::run::progress::TokenizeProgress;
use crate::run::video_path::relative;
use crate::run::work_list::WorkList;
use crate::run::worker::Worker;
use crate::summary::manifest::Manifest;

/// The videos of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedShard {
    /// The shard's number.
    pub index: usize,
    /// The videos' paths relative to their folder.
    pub videos: Vec<String>,
}

/// Writes the settings and the list of videos to `options.out`, where an unfinished dataset may be, and returns its
/// unfinished shards. `videos` are paths relative to their folder, which need not be on this machine.
///
/// # Errors
/// If the folder holds a dataset with other settings, a path leads out of its folder, or a file cannot be written.
pub fn plan_shards(
    tokenizer: &Tokenizer,
    options: &TokenizeOptions,
    videos: Vec<PathBuf>,
) -> Result<Vec<PlannedShard>, TokenizeError> {
    let dataset = settings(tokenizer, options)?;
    let paths = relative(&options.data, videos)?;
    let folder = Folder::create(&options.out)?;
    let _lock = folder.lock()?;
    dataset.write_or_check(&folder)?;
    let list = WorkList::extend(&folder, &options.data, &paths, options.shard_videos, options.retry)?;
    let unfinished = list.shards.into_iter().filter(|shard| !folder.is_finished(shard.index));
    let planned = unfinished.map(|shard| PlannedShard {
        index: shard.index,
        videos: shard.videos.into_iter().map(|video| video.path).collect(),
    });
    Ok(planned.collect())
}

/// Tokenizes the shard `index` of the plan in `options.out`, whose videos are in the folder `options.data`.
///
/// # Errors
/// If the plan is of other settings or has no such shard, or as for [`tokenize`](crate::tokenize).
pub fn tokenize_shard(
    tokenizer: &Tokenizer,
    options: &TokenizeOptions,
    index: usize,
    observe: &mut dyn FnMut(TokenizeProgress<'_>),
) -> Result<(), TokenizeError> {
    let folder = Folder::create(&options.out)?;
    settings(tokenizer, options)?.write_or_check(&folder)?;
    let dataset = Dataset::read(&folder)?;
    let mut list = WorkList::read(&folder)?;
    list.shards.retain(|shard| shard.index == index);
    if list.shards.is_empty() {
        return Err(TokenizeError::setting("the shard", "one of the plan", index));
    }
    let ahead = DecodeAhead::start(&Ffmpeg::locate()?, &options.preparation, options.decoders)?;
    Worker::new(tokenizer, options, dataset, folder, options.data.clone(), observe).run_listed(list, ahead)
}

/// Writes the manifest of the dataset in `options.out`, where the statistics of all shards have been brought.
///
/// # Errors
/// If the statistics of a shard are missing or damaged, or the manifest cannot be written.
pub fn finish_dataset(tokenizer: &Tokenizer, options: &TokenizeOptions) -> Result<Manifest, TokenizeError> {
    let folder = Folder::create(&options.out)?;
    let _lock = folder.lock()?;
    let all: Vec<usize> = WorkList::read(&folder)?.shards.iter().map(|shard| shard.index).collect();
    Manifest::write(&folder, &Dataset::read(&folder)?, &all, tokenizer.quantizer())
}

fn settings(tokenizer: &Tokenizer, options: &TokenizeOptions) -> Result<Dataset, TokenizeError> {
    let TokenizeOptions { preparation, format, latents, .. } = options;
    Dataset::new(tokenizer, preparation, *format, *latents, &Ffmpeg::locate()?)
}
