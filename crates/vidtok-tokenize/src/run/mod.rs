//! Tokenizes a folder of videos with any number of workers, each of which may be stopped or killed at any moment.
//!
//! A worker claims a shard ([`Claim`](vidtok_core::Claim)), tokenizes those of its videos that are not finished yet,
//! each into a part file of its own, and then assembles the parts. A shard is finished when its statistics exist;
//! everything before that can be repeated with the same result.

pub(crate) mod apart;
mod finish;
mod keys;
pub(crate) mod options;
mod part;
pub(crate) mod progress;
mod skipped;
mod video;
mod video_path;
mod work_list;
mod worker;

use vidtok::Tokenizer;
use vidtok_core::remove_partial;
use vidtok_data::{DecodeAhead, Ffmpeg, VideoList, list_videos};

use crate::dataset::folder::Folder;
use crate::dataset::settings::Dataset;
use crate::error::TokenizeError;
use crate::run::options::TokenizeOptions;
use crate::run::progress::{TokenizeProgress, TokenizeSummary};
use crate::run::video_path::relative;
use crate::run::work_list::WorkList;
use crate::run::worker::Worker;

/// Tokenizes all videos that are not in the dataset yet, and reports progress to `observe`.
///
/// Several processes may do this at once, with the same options except for their rank. After processes were stopped or
/// killed, a new call continues where they were.
///
/// # Errors
/// If the folder holds a dataset with other settings, the videos cannot be listed or reached, the machine runs out of a
/// resource, or a file cannot be written. Finished videos are kept, and no video is skipped because of such an error.
pub fn tokenize(
    tokenizer: &Tokenizer,
    options: &TokenizeOptions,
    observe: &mut dyn FnMut(TokenizeProgress<'_>),
) -> Result<TokenizeSummary, TokenizeError> {
    let &TokenizeOptions { rank, world_size, format, latents, .. } = options;
    if rank >= world_size {
        return Err(TokenizeError::setting("the worker's rank", format!("less than {world_size}"), rank));
    }
    let ffmpeg = Ffmpeg::locate()?;
    let dataset = Dataset::new(tokenizer, &options.preparation, format, latents, &ffmpeg)?;
    let VideoList { root, videos, left_out } = list_videos(&options.data)?;
    let paths = relative(&root, videos)?;
    if !left_out.is_empty() {
        observe(TokenizeProgress::LeftOut(&left_out));
    }
    let folder = Folder::create(&options.out)?;
    let lock = folder.lock()?;
    dataset.write_or_check(&folder)?;
    // Now the folder is known to be a dataset, and these temporary files can only be those of a killed holder of the
    // lock.
    remove_partial(folder.root()).map_err(TokenizeError::file(folder.root()))?;
    // All workers record the version of the first.
    let dataset = Dataset::read(&folder)?;
    let list = WorkList::extend(&folder, &root, &paths, options.shard_videos, options.retry)?;
    drop(lock);

    let mut preparation = options.preparation.clone();
    preparation.input.retry = preparation.input.retry.within(&root);
    let ahead = DecodeAhead::start(&ffmpeg, &preparation, options.decoders)?;
    Worker::new(tokenizer, options, dataset, folder, root, observe).run(list, ahead)
}
