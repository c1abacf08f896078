//! From a folder of videos to a dataset of tokens, by any number of workers, each of which may stop or be killed at any
//! moment.
//!
//! A shard is claimed by one worker ([`Claim`]), which tokenizes those of its videos that are not done yet, each into a
//! file of its own, and then puts these together. A shard is finished once its statistics have their name; all before
//! that can be done again with the same result.

pub(crate) mod budget;
pub(crate) mod part;
pub(crate) mod pattern;
pub(crate) mod work_list;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vidtok::{EncodeOptions, StreamEncoder, Tokenizer, Work};
use vidtok_core::{Claim, remove_partial, temporary_beside};
use vidtok_data::{
    AheadInfo, AheadVideo, DecodeAhead, Ffmpeg, LeftOut, LoadError, Notice, Preparation, VideoList, list_videos,
    unusable,
};

use crate::dataset::entry::{SourceEntry, VideoEntry};
use crate::dataset::folder::Folder;
use crate::dataset::manifest::Manifest;
use crate::dataset::statistics::Statistics;
use crate::dataset::{Dataset, NumberType, ShardFormat};
use crate::error::TokenizeError;
use crate::run::part::PartWriter;
use crate::run::work_list::{ListedShard, ListedVideo, SkippedList, SkippedVideo, WorkList, file_stamp, relative};
use crate::shard::{self, Shard};

/// What to tokenize, and how.
#[derive(Clone, Debug)]
pub struct TokenizeOptions {
    /// A folder of videos, or a CSV with a column `videos` of paths in its folder.
    pub data: PathBuf,
    /// The folder of the dataset; what is done there is not done again.
    pub out: PathBuf,
    /// What is taken of each video.
    pub preparation: Preparation,
    /// The files of the shards.
    pub format: ShardFormat,
    /// How moments are stored; indices are packed.
    pub latents: NumberType,
    /// Videos of a shard.
    pub shard_videos: usize,
    /// What the work may take of memory, in bytes; on a GPU, beside the weights. Other values change rounding only.
    pub max_memory: u64,
    /// Threads that decode videos ahead of the networks.
    pub decoders: usize,
    /// Whether videos that were skipped are tried again although they have not changed.
    pub retry: bool,
    /// Which worker this is, from 0.
    pub rank: usize,
    /// Workers that begin at different shards.
    pub workers: usize,
    /// Ends the work once it is set: what is done of the video at hand is lost, so who sets it should also end what the
    /// work may wait for ([`Stop`](vidtok_data::Stop)).
    pub stop: Arc<AtomicBool>,
}

/// Why a video is skipped that no list can name.
const ESCAPED: &str = "its name is not UTF-8, and is given with other bytes escaped; rename it";

/// What is told while videos are tokenized.
#[derive(Debug)]
pub enum TokenizeProgress<'a> {
    /// Files of the folder that are no videos.
    LeftOut(&'a LeftOut),
    /// The work begins.
    Started {
        /// Videos in the dataset.
        videos: usize,
        /// Those of them that are in finished shards.
        done: usize,
    },
    /// A video is done.
    Video {
        /// Its path in the folder of the videos.
        path: &'a str,
        /// The work so far.
        meter: &'a Meter,
    },
    /// Something that a user should know of how a video is read.
    Notice {
        /// Its path in the folder of the videos.
        path: &'a str,
        /// What it is.
        notice: &'a Notice,
    },
    /// A video cannot be used.
    Skipped {
        /// Its path.
        path: &'a str,
        /// What is wrong with it.
        reason: &'a str,
    },
    /// A shard is finished.
    Shard {
        /// Its number.
        shard: usize,
        /// Videos in it that were done before.
        resumed: usize,
    },
}

/// How quickly the work goes on.
#[derive(Clone, Debug)]
pub struct Meter {
    started: Instant,
    waited: Duration,
    /// Videos that this worker has tokenized.
    pub videos: u64,
    /// Their frames.
    pub frames: u64,
}

impl Meter {
    fn start() -> Self {
        Self { started: Instant::now(), waited: Duration::ZERO, videos: 0, frames: 0 }
    }

    fn waiting<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let answer = wait();
        self.waited += start.elapsed();
        answer
    }

    /// Frames for each second since the start.
    #[must_use]
    pub fn frames_per_second(&self) -> f64 {
        self.frames as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// The share of that time in which the networks waited for frames, from 0 to 1.
    #[must_use]
    pub fn waiting_share(&self) -> f64 {
        self.waited.as_secs_f64() / self.started.elapsed().as_secs_f64().max(1e-9)
    }
}

/// What a call has done.
#[derive(Debug)]
pub struct TokenizeSummary {
    /// What this worker did.
    pub meter: Meter,
    /// Shards of the dataset.
    pub shards: usize,
    /// Those of them that are finished.
    pub finished: usize,
    /// Whether the work was stopped before its end.
    pub stopped: bool,
    /// The whole dataset, if all of it is finished.
    pub manifest: Option<Manifest>,
}

/// Tokenizes all videos that are not in the dataset yet. Several processes may do so at once with the same options but
/// for their rank; a call after others were killed goes on where they were.
///
/// # Errors
/// If the folder holds a dataset of other settings, the videos cannot be listed or reached, the machine has run out of
/// something, or the file system refuses. What is done stays, and no video is skipped for it.
pub fn tokenize(
    tokenizer: &Tokenizer,
    options: &TokenizeOptions,
    tell: &mut dyn FnMut(TokenizeProgress<'_>),
) -> Result<TokenizeSummary, TokenizeError> {
    let &TokenizeOptions { rank, workers, .. } = options;
    if rank >= workers {
        return Err(TokenizeError::setting("the rank of a worker", format!("less than {workers}"), rank));
    }
    let ffmpeg = Ffmpeg::locate()?;
    let dataset = Dataset::new(tokenizer, options, &ffmpeg)?;
    let VideoList { root, videos, left_out } = list_videos(&options.data)?;
    let paths = relative(&root, videos)?;
    if !left_out.is_empty() {
        tell(TokenizeProgress::LeftOut(&left_out));
    }
    let folder = Folder::create(&options.out)?;
    let lock = folder.lock()?;
    dataset.claim(&folder)?;
    // Only of what is a dataset, and of what only the lock's holder writes.
    remove_partial(folder.root()).map_err(TokenizeError::file(folder.root()))?;
    // All workers say the version of the first.
    let dataset = Dataset::read(&folder)?;
    let list = WorkList::extend(&folder, &root, &paths, options.shard_videos, options.retry)?;
    drop(lock);

    let mut preparation = options.preparation.clone();
    preparation.input.reach = preparation.input.reach.within(&root);
    let mut ahead = DecodeAhead::start(&ffmpeg, &preparation, options.decoders)?;
    let meter = Meter::start();
    let mut worker = Worker { tokenizer, options, dataset, folder, root, meter, tell };
    worker.work(list, &mut ahead)
}

fn count_videos<'a>(shards: impl IntoIterator<Item = &'a ListedShard>) -> usize {
    shards.into_iter().map(|shard| shard.videos.len()).sum()
}

struct Worker<'a> {
    tokenizer: &'a Tokenizer,
    options: &'a TokenizeOptions,
    dataset: Dataset,
    folder: Folder,
    /// The folder of the videos.
    root: PathBuf,
    meter: Meter,
    tell: &'a mut dyn FnMut(TokenizeProgress<'_>),
}

/// Why no tokens came of a video.
enum Fault {
    /// The video cannot be used, for this reason.
    Unusable(String),
    /// Something else is wrong.
    Elsewhere(TokenizeError),
}

impl<E: Into<TokenizeError>> From<E> for Fault {
    fn from(error: E) -> Self {
        match error.into() {
            TokenizeError::Load(LoadError::Video(error)) => match unusable(&error) {
                Some(reason) => Self::Unusable(reason),
                None => Self::Elsewhere(error.into()),
            },
            // Of a single video; the next one may be smaller or better.
            TokenizeError::Model(error @ (vidtok::Error::NotFinite | vidtok::Error::Memory { .. })) => {
                Self::Unusable(error.to_string())
            }
            error => Self::Elsewhere(error),
        }
    }
}

impl Worker<'_> {
    fn work(&mut self, mut list: WorkList, ahead: &mut DecodeAhead) -> Result<TokenizeSummary, TokenizeError> {
        let done = count_videos(list.shards.iter().filter(|shard| self.folder.is_finished(shard.shard)));
        (self.tell)(TokenizeProgress::Started { videos: count_videos(&list.shards), done });
        loop {
            let has_worked = self.pass(&list, ahead)?;
            // Another worker may have appended to the list or given up a claim meanwhile.
            let _lock = self.folder.lock()?;
            list = WorkList::read(&self.folder)?;
            if !has_worked || self.is_stopped() {
                return self.summary(&list);
            }
        }
    }

    /// Whoever calls holds the folder's lock.
    fn summary(&self, list: &WorkList) -> Result<TokenizeSummary, TokenizeError> {
        let finished = list.shards.iter().filter(|shard| self.folder.is_finished(shard.shard)).count();
        let shards = list.shards.len();
        let manifest = if finished == shards {
            Some(Manifest::write(&self.folder, &self.dataset, list, self.tokenizer.quantizer())?)
        } else {
            None
        };
        Ok(TokenizeSummary { meter: self.meter.clone(), shards, finished, stopped: self.is_stopped(), manifest })
    }

    fn is_stopped(&self) -> bool {
        self.options.stop.load(Ordering::Relaxed)
    }

    /// Goes once over all shards, workers of other ranks from other places; whether there was something to do.
    fn pass(&mut self, list: &WorkList, ahead: &mut DecodeAhead) -> Result<bool, TokenizeError> {
        let count = list.shards.len();
        let first = self.options.rank * count / self.options.workers;
        let mut has_worked = false;
        for listed in list.shards.iter().cycle().skip(first).take(count) {
            if self.is_stopped() {
                break;
            }
            let parts = self.folder.parts(listed.shard);
            if self.folder.is_finished(listed.shard) && !parts.exists() {
                continue;
            }
            let path = self.folder.claim(listed.shard);
            let Some(claim) = Claim::try_take(&path).map_err(TokenizeError::file(&path))? else { continue };
            // It may have been finished before it was claimed.
            if !self.folder.is_finished(listed.shard) {
                has_worked = true;
                if !self.shard(listed, ahead)? {
                    break;
                }
            }
            // Whoever finished it may have been killed before this.
            if parts.exists() {
                fs::remove_dir_all(&parts).map_err(TokenizeError::file(&parts))?;
            }
            claim.remove().map_err(TokenizeError::file(path))?;
        }
        Ok(has_worked)
    }

    /// Finishes a shard that is claimed; false if the work was stopped before.
    fn shard(&mut self, listed: &ListedShard, ahead: &mut DecodeAhead) -> Result<bool, TokenizeError> {
        let parts = self.folder.parts(listed.shard);
        fs::create_dir_all(&parts).map_err(TokenizeError::file(&parts))?;
        // Only who holds the claim writes here.
        remove_partial(&parts).map_err(TokenizeError::file(&parts))?;
        let missing: Vec<(usize, &ListedVideo)> =
            listed.videos.iter().enumerate().filter(|(place, _)| !part::is_done(&parts, *place)).collect();
        let resumed = listed.videos.len() - missing.len();
        // Before a video is looked at: should it change meanwhile, it counts as changed.
        let stamps: Vec<_> = missing.iter().map(|(_, video)| file_stamp(&self.root.join(&video.path))).collect();
        let named = missing.iter().filter(|(_, video)| !video.is_escaped);
        ahead.ask(named.map(|(_, video)| self.root.join(&video.path)));
        for ((place, listed_video), file) in missing.into_iter().zip(stamps) {
            if self.is_stopped() {
                return Ok(false);
            }
            let tokenized = if listed_video.is_escaped {
                Err(Fault::Unusable(ESCAPED.to_owned()))
            } else {
                let Some(video) = ahead.next_video() else { return Err(LoadError::Stopped.into()) };
                let bytes = file.map_or(0, |file| file.size);
                self.video(video, listed_video, bytes, part::done(&parts, place))
            };
            match tokenized {
                Ok(frames) => {
                    self.meter.videos += 1;
                    self.meter.frames += frames;
                    (self.tell)(TokenizeProgress::Video { path: &listed_video.path, meter: &self.meter });
                }
                // What told us to stop may have told ffmpeg too, whose end is not the video's fault.
                Err(_) if self.is_stopped() => return Ok(false),
                Err(Fault::Unusable(reason)) => {
                    (self.tell)(TokenizeProgress::Skipped { path: &listed_video.path, reason: &reason });
                    let path = listed_video.path.clone();
                    part::skip(&parts, place, &SkippedVideo { shard: listed.shard, path, reason, file })?;
                }
                Err(Fault::Elsewhere(error)) => return Err(error),
            }
        }
        self.assemble(listed, &parts)?;
        (self.tell)(TokenizeProgress::Shard { shard: listed.shard, resumed });
        Ok(true)
    }

    /// Writes a video's tokens to `path`; gives the number of its frames.
    fn video(
        &mut self,
        mut video: AheadVideo<'_>,
        listed: &ListedVideo,
        bytes: u64,
        path: PathBuf,
    ) -> Result<u64, Fault> {
        let info = self.meter.waiting(|| video.info())?;
        let waiting = video.bytes_ahead()?;
        let AheadInfo { source, frames, size: [h, w], frame_rate, times, pixel_aspect, notices } = info;
        for notice in &notices {
            (self.tell)(TokenizeProgress::Notice { path: &listed.path, notice });
        }
        let source_size = [source.height, source.width];
        let resized = self.options.preparation.resized(source_size);
        if resized[0] < h || resized[1] < w {
            let [height, width] = resized;
            return Err(Fault::Unusable(format!(
                "its frames of {width}x{height} are smaller than the crop of {w}x{h}"
            )));
        }
        let (t, window) = (frames as i64, self.dataset.window);
        let plan = budget::plan(self.tokenizer, Work::Encode, [t, h, w], window, waiting, self.options.max_memory)?;
        let options = EncodeOptions { seed: None, window };
        let mut encoder = StreamEncoder::new(self.tokenizer, [t, h, w], options).in_strips(plan.rows);
        let padding = encoder.padding();
        let [_, f_h, f_w] = self.dataset.compression;
        let latent_frames = encoder.latent_frames().unwrap_or(0);
        let entry = VideoEntry {
            key: listed.key.clone(),
            path: listed.path.clone(),
            tokens: [latent_frames, (h + padding.bottom) / f_h, (w + padding.right) / f_w],
            bits: self.dataset.latent.bits(),
            frames: t,
            size: [h, w],
            fps: frame_rate,
            frame_times: times,
            pixel_aspect,
            padding,
            window,
            source: SourceEntry { frames: source.frames, size: source_size, fps: source.frame_rate, bytes },
        };
        let mut part = PartWriter::create(path, &self.dataset, &entry)?;
        while let Some(frames) = self.meter.waiting(|| video.next(plan.frames))? {
            if self.is_stopped() {
                return Err(TokenizeError::Stopped.into());
            }
            if let Some(quantized) = encoder.push(&frames)? {
                part.push(&quantized)?;
            }
        }
        part.commit()?;
        Ok(frames as u64)
    }

    /// Puts the parts of a shard together.
    fn assemble(&mut self, listed: &ListedShard, parts: &std::path::Path) -> Result<(), TokenizeError> {
        let mut statistics = Statistics::default();
        let (mut done, mut skipped) = (Vec::new(), Vec::new());
        for place in 0..listed.videos.len() {
            match part::read_skipped(parts, place)? {
                Some(video) => skipped.push(video),
                None => {
                    let path = part::done(parts, place);
                    statistics.add(&Shard::open(&path, self.dataset.latent)?, self.dataset.latent)?;
                    done.push(path);
                }
            }
        }
        statistics.totals.skipped = skipped.len() as u64;
        if !skipped.is_empty() {
            let _lock = self.folder.lock()?;
            SkippedList::open(&self.folder)?.add(skipped)?;
        }
        // Made among the parts, where nobody else writes.
        let own = |name: &str| parts.join(name);
        if !done.is_empty() {
            let path = self.folder.shard(listed.shard, self.dataset.shards);
            let temporary = temporary_beside(&own("shard")).map_err(TokenizeError::file(&path))?;
            shard::write(&temporary, &self.dataset, &done)?;
            statistics.totals.shard_bytes = fs::metadata(&temporary).map_err(TokenizeError::file(&path))?.len();
            temporary.persist(&path).map_err(|error| TokenizeError::File { path, source: error.error })?;
        }
        let (made, path) = (own("statistics"), self.folder.statistics(listed.shard));
        statistics.write(&made)?;
        fs::rename(&made, &path).map_err(TokenizeError::file(path))
    }
}
