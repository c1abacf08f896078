//! Decodes the tokens of a dataset to videos.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vidtok::{EncodedFile, StreamDecoder, Tokenizer, Work};
use vidtok_core::{FrameSink, PixelAspect};
use vidtok_data::{Destination, Ffmpeg, Notice, VideoWriter, WriteOptions, to_frames};
use wildmatch::WildMatch;

use crate::budget;
use crate::dataset::settings::Dataset;
use crate::error::TokenizeError;
use crate::shard::reader::{Shard, Tokens, shards};
use crate::storage::entry::VideoEntry;

/// What [`detokenize`] does.
#[derive(Clone, Debug)]
pub struct DetokenizeOptions {
    /// The folder of the dataset.
    pub data: PathBuf,
    /// The folder for the videos, which are named `KEY.mp4`.
    pub out: PathBuf,
    /// Patterns of keys or paths, where `*` matches any characters and `?` matches one. If empty, all videos are
    /// decoded.
    pub only: Vec<String>,
    /// The memory limit in bytes; on a GPU, without the weights.
    pub max_memory: u64,
    /// How the videos are stored.
    pub write: WriteOptions,
    /// Stops the work once it is set. The unfinished video is lost.
    pub stop: Arc<AtomicBool>,
}

/// Decodes videos from the finished shards of a dataset, without sound, and returns their number. Each finished video
/// and what was changed or lost in it are reported to `observe`.
///
/// # Errors
/// If the folder holds no dataset or one of other weights, a shard is damaged, a pattern matches no video, a video
/// cannot be written, or the work was stopped. Videos that were restored before are kept.
pub fn detokenize(
    tokenizer: &Tokenizer,
    options: &DetokenizeOptions,
    observe: &mut dyn FnMut(&VideoEntry, &[Notice]),
) -> Result<u64, TokenizeError> {
    let dataset = Dataset::open(&options.data)?;
    if dataset.weights_sha256 != tokenizer.weights_sha256() {
        return Err(TokenizeError::OtherWeights {
            path: options.data.clone(),
            model: dataset.model.name,
            there: dataset.weights_sha256,
            here: tokenizer.weights_sha256().to_owned(),
        });
    }
    // The weights alone do not determine this: all versions of a model share their names and shapes.
    let [there, here] = [dataset.model.model.causality, tokenizer.config().model.causality];
    if there != here {
        return Err(TokenizeError::setting("the model's causality", there, here));
    }
    let ffmpeg = Ffmpeg::locate()?;
    let patterns: Vec<WildMatch> = options.only.iter().map(|pattern| WildMatch::new(pattern)).collect();
    let mut used = vec![false; patterns.len()];
    let mut count = 0;
    for path in shards(&options.data, &dataset)? {
        let shard = Shard::open(&path, dataset.latent)?;
        for (index, entry) in shard.videos().enumerate() {
            let mut wanted = options.only.is_empty();
            for (pattern, used) in patterns.iter().zip(&mut used) {
                let is_match = pattern.matches(&entry.key) || pattern.matches(&entry.path);
                (wanted, *used) = (wanted | is_match, *used | is_match);
            }
            if !wanted {
                continue;
            }
            let notices = restore(tokenizer, &shard, index, entry, options, &ffmpeg)?;
            count += 1;
            observe(entry, &notices);
        }
    }
    match options.only.iter().zip(used).find(|(_, used)| !used) {
        Some((pattern, _)) => Err(TokenizeError::NoMatch { path: options.data.clone(), pattern: pattern.clone() }),
        None => Ok(count),
    }
}

/// Decodes the video at `index` of a shard to a file.
fn restore(
    tokenizer: &Tokenizer,
    shard: &Shard,
    index: usize,
    entry: &VideoEntry,
    options: &DetokenizeOptions,
    ffmpeg: &Ffmpeg,
) -> Result<Vec<Notice>, TokenizeError> {
    let inside = |part| matches!(part, Component::Normal(_));
    if !Path::new(&entry.key).components().all(inside) {
        return Err(TokenizeError::damaged(
            &shard.path,
            format!("the key {:?} points outside the output folder", entry.key),
        ));
    }
    let path = options.out.join(format!("{}.mp4", entry.key));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(TokenizeError::file(folder))?;
    }
    let model = &tokenizer.config().model;
    let (f_t, f_s) = (model.temporal_factor(), model.spatial_factor());
    let [t, h, w] = entry.tokens;
    let clip = [t * f_t, h * f_s, w * f_s];
    let plan = budget::plan(tokenizer, Work::Decode, clip, entry.window, 0, options.max_memory)?;
    let chunk = (plan.frames / f_t).max(1);
    let mut decoder = StreamDecoder::new(tokenizer, t, entry.padding, entry.window).in_strips(plan.rows);
    let destination = Destination::File(path);
    let mut writer = VideoWriter::with_timeline(ffmpeg, destination, entry.size, &entry.timeline(), options.write)?;
    let notices = writer.notices();
    for start in (0..t).step_by(chunk as usize) {
        if options.stop.load(Ordering::Relaxed) {
            return Err(TokenizeError::Stopped);
        }
        let (latent, indices) = match shard.tokens(index, start, chunk.min(t - start))? {
            Tokens::Indices(indices) => (None, Some(indices)),
            Tokens::Moments { mean, .. } => (Some(mean), None),
        };
        let file = EncodedFile {
            normalization: None,
            latent,
            logvar: None,
            indices,
            padding: None,
            window: entry.window,
            model: None,
            weights_sha256: None,
            frame_rate: None,
            frame_times: None,
            pixel_aspect: PixelAspect::SQUARE,
        };
        if let Some(frames) = decoder.push(&tokenizer.read_encoded(&file)?.latent)? {
            writer.write(&to_frames(&frames))?;
        }
    }
    writer.finish()?;
    Ok(notices)
}
