//! From tokens back to videos.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vidtok::{EncodedFile, StreamDecoder, Tokenizer, Work};
use vidtok_core::{FrameSink, PixelAspect};
use vidtok_data::{Destination, Ffmpeg, Notice, VideoWriter, WriteOptions, to_frames};

use crate::dataset::Dataset;
use crate::dataset::entry::VideoEntry;
use crate::error::TokenizeError;
use crate::run::budget;
use crate::run::pattern::matches;
use crate::shard::{Shard, Tokens};

/// The shards of a dataset, in its folder.
const SHARDS: &str = "shards";

/// Which videos to bring back, and where to.
#[derive(Clone, Debug)]
pub struct DetokenizeOptions {
    /// The folder of the dataset.
    pub data: PathBuf,
    /// The folder for the videos: `KEY.mp4`.
    pub out: PathBuf,
    /// Keys, or paths as they were in the folder of the videos; `*` stands for any characters, `?` for one. All videos if
    /// there is none.
    pub only: Vec<String>,
    /// What the work may take of memory, in bytes; on a GPU, beside the weights.
    pub max_memory: u64,
    /// How the videos are stored.
    pub write: WriteOptions,
    /// Ends the work once it is set; the video at hand is given up.
    pub stop: Arc<AtomicBool>,
}

/// Brings videos back from the finished shards of a dataset; returns how many. Their sound is lost.
///
/// # Errors
/// If the folder holds no dataset, or one of other weights, a shard is damaged, no video has such a name, a video cannot
/// be written, or the work was stopped; videos that are restored by then stay.
pub fn detokenize(
    tokenizer: &Tokenizer,
    options: &DetokenizeOptions,
    tell: &mut dyn FnMut(&VideoEntry, &[Notice]),
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
    // Versions share names and shapes of weights.
    let [there, here] = [dataset.model.model.causality, tokenizer.config().model.causality];
    if there != here {
        return Err(TokenizeError::setting("the model's causality", there, here));
    }
    let ffmpeg = Ffmpeg::locate()?;
    let mut used = vec![false; options.only.len()];
    let mut count = 0;
    for path in shards(&options.data, &dataset)? {
        let shard = Shard::open(&path, dataset.latent)?;
        for (place, entry) in shard.videos().enumerate() {
            let mut wanted = options.only.is_empty();
            for (pattern, used) in options.only.iter().zip(&mut used) {
                let called = matches(pattern, &entry.key) || matches(pattern, &entry.path);
                (wanted, *used) = (wanted | called, *used | called);
            }
            if !wanted {
                continue;
            }
            let notices = restore(tokenizer, &shard, place, entry, options, &ffmpeg)?;
            count += 1;
            tell(entry, &notices);
        }
    }
    match options.only.iter().zip(used).find(|(_, used)| !used) {
        Some((pattern, _)) => Err(TokenizeError::NoneCalled { path: options.data.clone(), pattern: pattern.clone() }),
        None => Ok(count),
    }
}

/// The files of the finished shards in a dataset's folder, in order.
///
/// # Errors
/// If the folder cannot be read.
pub fn shards(folder: &Path, dataset: &Dataset) -> Result<Vec<PathBuf>, TokenizeError> {
    let folder = folder.join(SHARDS);
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).map_err(TokenizeError::file(&folder))? {
        let path = entry.map_err(TokenizeError::file(&folder))?.path();
        if path.extension().is_some_and(|extension| extension == dataset.shards.extension()) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn restore(
    tokenizer: &Tokenizer,
    shard: &Shard,
    place: usize,
    entry: &VideoEntry,
    options: &DetokenizeOptions,
    ffmpeg: &Ffmpeg,
) -> Result<Vec<Notice>, TokenizeError> {
    let inside = |part| matches!(part, Component::Normal(_));
    if !Path::new(&entry.key).components().all(inside) {
        return Err(TokenizeError::damaged(&shard.path, format!("the key {:?} leads out of the folder", entry.key)));
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
    let mut writer = VideoWriter::retell(ffmpeg, destination, entry.size, &entry.timeline(), options.write)?;
    let notices = writer.notices();
    for start in (0..t).step_by(chunk as usize) {
        if options.stop.load(Ordering::Relaxed) {
            return Err(TokenizeError::Stopped);
        }
        let (latent, indices) = match shard.tokens(place, start, chunk.min(t - start))? {
            Tokens::Indices(indices) => (None, Some(indices)),
            Tokens::Moments { mean, .. } => (Some(mean), None),
        };
        let file = EncodedFile {
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
