//! Random training clips, prepared in the background.
//!
//! [`ClipSet`] knows how to make any clip from `(seed, step, place in the batch)` alone; [`Loader`] makes the batches
//! of coming steps on a few threads. So the same run sees the same clips whatever the number of threads, and a run
//! that goes on at step n needs to store nothing.
//!
//! Frames are resized once and kept in memory as bytes, up to a budget. Videos are given room in the order of the
//! list; those for which it is too small are decoded anew for each clip, from their beginning up to the clip: the same
//! pixels, at the cost of a decoder run each.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};
use vidtok_core::{FrameSource, VideoError, VideoInfo};

use crate::ffmpeg::{Ffmpeg, VideoReader};
use crate::procedural::Scene;
use crate::sampling::ClipRule;
use crate::transform::{center_offset, resize_frames, resized_size, to_model_range};

/// Frames that are decoded and resized at a time.
const CHUNK: usize = 16;
/// The most videos that are opened at a time: each decoder has threads and memory of its own.
const OPENED: usize = 8;
/// Seconds that a procedural video lasts.
const SCENE_SECONDS: u64 = 6;
/// Its frames per second.
const SCENE_RATE: u64 = 25;

/// Clips cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A video cannot be read.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// There is nothing to take clips from.
    #[error("there are no videos to take clips from")]
    NoVideos,
    /// A clip or batch of nothing was asked for.
    #[error("clips of {frames} frames of {height}x{width} in batches of {batch}: each must be at least 1")]
    EmptyClip {
        /// Frames in a clip.
        frames: usize,
        /// Rows.
        height: i64,
        /// Columns.
        width: i64,
        /// Clips in a batch.
        batch: usize,
    },
    /// A video is too narrow for the crop.
    #[error("{video}: resized to {resized:?} (height, width) it is smaller than the crop of {crop:?}")]
    SmallerThanCrop {
        /// The video.
        video: String,
        /// Its size once resized, `[height, width]`.
        resized: [i64; 2],
        /// The size of a clip, `[height, width]`.
        crop: [i64; 2],
    },
    /// No video is long enough to keep clips apart.
    #[error("no video is long enough to hold {clips} clip(s) of {span} frames apart and still to train on")]
    NothingHeldOut {
        /// Clips that were to be held out of each video.
        clips: usize,
        /// Frames that the longest one stretches over.
        span: u64,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// A thread ended too early.
    #[error("a thread has ended early")]
    Ended,
}

/// Where clips come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Video files.
    Videos {
        /// What reads them.
        ffmpeg: Ffmpeg,
        /// The files.
        paths: Vec<PathBuf>,
    },
    /// Made-up [`Scene`]s of 6 seconds at 25 frames per second.
    Procedural {
        /// How many.
        scenes: usize,
        /// The seed of the first; the others follow.
        seed: u64,
    },
}

/// What a clip looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipSpec {
    /// Frames and their rate.
    pub rule: ClipRule,
    /// `[height, width]`.
    pub size: [i64; 2],
    /// What the shorter side of a video is resized to before the crop; the published recipe takes the height.
    pub shorter_side: i64,
    /// Where the crop lies in training clips; held-out clips take the middle.
    pub crop: Crop,
    /// Clips at the end of each video that are kept apart from training.
    pub held_out: usize,
}

/// Where the crop lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crop {
    /// In the middle.
    Center,
    /// Anywhere, the same for all frames of a clip.
    Random,
}

/// Videos from which clips are cut.
#[derive(Debug)]
pub struct ClipSet {
    spec: ClipSpec,
    videos: Vec<Video>,
}

impl ClipSet {
    /// Looks at every video of `source`; `cache_bytes` is the most memory for resized frames.
    ///
    /// # Errors
    /// If there is no video, one cannot be read, is smaller than the crop once resized, or none is long enough to
    /// hold clips out.
    pub fn open(source: Source, spec: ClipSpec, cache_bytes: u64) -> Result<Self, LoadError> {
        let [height, width] = spec.size;
        if spec.rule.frames < 1 || height < 1 || width < 1 || spec.shorter_side < 1 {
            return Err(LoadError::EmptyClip { frames: spec.rule.frames, height, width, batch: 1 });
        }
        let mut videos = match source {
            Source::Videos { ffmpeg, paths } => open_videos(&ffmpeg, &paths, &spec)?,
            Source::Procedural { scenes, seed } => {
                (0..scenes as u64).map(|i| Video::scene(seed.wrapping_add(i), &spec)).collect()
            }
        };
        if videos.is_empty() {
            return Err(LoadError::NoVideos);
        }
        let mut budget = cache_bytes;
        for video in &mut videos {
            if video.size[0] < height || video.size[1] < width {
                return Err(LoadError::SmallerThanCrop { video: video.name(), resized: video.size, crop: spec.size });
            }
            if let Some(rest) = budget.checked_sub(video.bytes()) {
                (budget, video.cached) = (rest, true);
            }
        }
        let set = Self { spec, videos };
        if spec.held_out > 0 && set.held_out_starts().next().is_none() {
            let span = set.videos.iter().map(|video| video.span(&spec)).max().unwrap_or(0);
            return Err(LoadError::NothingHeldOut { clips: spec.held_out, span });
        }
        Ok(set)
    }

    /// The training clips of one step: float `[batch, 3, t, h, w]` in [-1, 1]. The same arguments give the same clips.
    ///
    /// # Errors
    /// If a video cannot be read.
    pub fn batch(&self, seed: u64, step: u64, batch: usize) -> Result<Tensor, LoadError> {
        let mut pixels = Vec::new();
        for place in 0..batch as u64 {
            // One stream of random numbers a clip.
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(step.wrapping_mul(batch as u64).wrapping_add(place));
            self.random_clip(&mut rng, &mut pixels)?;
        }
        Ok(self.tensor(batch, &pixels))
    }

    /// The clips that training never sees, each float `[1, 3, t, h, w]` in [-1, 1], with the video's name: the last
    /// frames of each video that is long enough for [`ClipSpec::held_out`] clips and one to train on.
    ///
    /// # Errors
    /// If a video cannot be read.
    pub fn held_out(&self) -> Result<Vec<(String, Tensor)>, LoadError> {
        let mut clips = Vec::new();
        for (video, start) in self.held_out_starts() {
            let step = video.span(&self.spec).saturating_sub(1) / (self.spec.rule.frames as u64 - 1).max(1);
            let indices: Vec<_> = (0..self.spec.rule.frames as u64).map(|i| start + i * step).collect();
            let mut pixels = Vec::new();
            video.cut(&indices, center_offset(video.size, self.spec.size), self.spec.size, &mut pixels)?;
            clips.push((video.name(), self.tensor(1, &pixels)));
        }
        Ok(clips)
    }

    /// The number of videos.
    #[must_use]
    pub fn videos(&self) -> usize {
        self.videos.len()
    }

    fn held_out_starts(&self) -> impl Iterator<Item = (&Video, u64)> {
        self.videos.iter().flat_map(|video| {
            let train = video.training_frames(&self.spec);
            (train..video.frames).step_by(video.span(&self.spec) as usize).map(move |start| (video, start))
        })
    }

    fn random_clip(&self, rng: &mut ChaCha8Rng, pixels: &mut Vec<u8>) -> Result<(), LoadError> {
        let video = &self.videos[rng.random_range(0..self.videos.len())];
        let ClipSpec { rule, size, crop, .. } = self.spec;
        let (frames, fps) = (video.training_frames(&self.spec), video.fps);
        let start = rule.random_start(frames, fps, rng);
        let indices = rule.pad(rule.indices(frames, fps, start));
        let offset = match crop {
            Crop::Center => center_offset(video.size, size),
            Crop::Random => [0, 1].map(|axis| rng.random_range(0..=video.size[axis] - size[axis])),
        };
        Ok(video.cut(&indices, offset, size, pixels)?)
    }

    fn tensor(&self, clips: usize, pixels: &[u8]) -> Tensor {
        let [height, width] = self.spec.size;
        let shape = [clips as i64, self.spec.rule.frames as i64, height, width, 3];
        to_model_range(&Tensor::from_data_size(pixels, &shape, Kind::Uint8))
    }
}

/// One video, as it looks once resized.
#[derive(Debug)]
struct Video {
    origin: Origin,
    frames: u64,
    fps: f64,
    /// `[height, width]` once resized.
    size: [i64; 2],
    /// Whether there is room to keep its frames.
    cached: bool,
    /// All its frames once resized, when they have been needed.
    kept: Mutex<Option<Arc<Vec<u8>>>>,
}

#[derive(Debug)]
enum Origin {
    File { ffmpeg: Ffmpeg, path: PathBuf, info: VideoInfo, shorter_side: i64 },
    Scene { seed: u64, scene: Scene },
}

impl Video {
    fn file(ffmpeg: &Ffmpeg, path: PathBuf, spec: &ClipSpec) -> Result<Self, VideoError> {
        let info = VideoReader::open(ffmpeg, &path)?.info().clone();
        let size = resized_size([info.height, info.width], spec.shorter_side);
        let (frames, fps) = (info.frames, info.frame_rate.as_f64());
        let origin = Origin::File { ffmpeg: ffmpeg.clone(), path, info, shorter_side: spec.shorter_side };
        Ok(Self::new(origin, frames, fps, size))
    }

    fn scene(seed: u64, spec: &ClipSpec) -> Self {
        // A third more than what is shown, so that random crops differ.
        let [height, width] = spec.size.map(|side| side.max(spec.shorter_side));
        let size = [height, width + width / 3];
        let origin = Origin::Scene { seed, scene: Scene::new(seed) };
        Self::new(origin, SCENE_SECONDS * SCENE_RATE, SCENE_RATE as f64, size)
    }

    fn new(origin: Origin, frames: u64, fps: f64, size: [i64; 2]) -> Self {
        Self { origin, frames, fps, size, cached: false, kept: Mutex::new(None) }
    }

    fn name(&self) -> String {
        match &self.origin {
            Origin::File { path, .. } => path.display().to_string(),
            Origin::Scene { seed, .. } => format!("scene {seed}"),
        }
    }

    fn frame_bytes(&self) -> u64 {
        (self.size[0] * self.size[1] * 3) as u64
    }

    fn bytes(&self) -> u64 {
        self.frames.saturating_mul(self.frame_bytes())
    }

    /// Frames that a clip stretches over.
    fn span(&self, spec: &ClipSpec) -> u64 {
        spec.rule.span(self.fps)
    }

    /// Frames at its beginning that training may use: all of them if it is too short to keep any apart.
    fn training_frames(&self, spec: &ClipSpec) -> u64 {
        let span = self.span(spec);
        let apart = span.saturating_mul(spec.held_out as u64);
        match self.frames.checked_sub(apart) {
            Some(rest) if rest >= span => rest,
            _ => self.frames,
        }
    }

    /// Appends `size` at `offset` of these frames to `pixels`.
    fn cut(&self, indices: &[u64], offset: [i64; 2], size: [i64; 2], pixels: &mut Vec<u8>) -> Result<(), VideoError> {
        if self.cached {
            self.crop(&self.all_frames()?, indices.iter().copied(), offset, size, pixels);
        } else {
            self.crop(&self.frames_at(indices)?, 0..indices.len() as u64, offset, size, pixels);
        }
        Ok(())
    }

    fn crop(
        &self,
        frames: &[u8],
        indices: impl Iterator<Item = u64>,
        [top, left]: [i64; 2],
        [height, width]: [i64; 2],
        pixels: &mut Vec<u8>,
    ) {
        for index in indices {
            for row in top..top + height {
                let start = (index * self.frame_bytes()) as usize + ((row * self.size[1] + left) * 3) as usize;
                pixels.extend_from_slice(&frames[start..start + width as usize * 3]);
            }
        }
    }

    /// All frames, from memory if they have been needed before.
    fn all_frames(&self) -> Result<Arc<Vec<u8>>, VideoError> {
        // Who waits here would otherwise decode the same video once more. A panic cannot leave half a video behind.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frames) = &*kept {
            return Ok(Arc::clone(frames));
        }
        let mut all = Vec::with_capacity(self.bytes() as usize);
        match &self.origin {
            Origin::File { ffmpeg, path, info, shorter_side } => {
                let mut reader = VideoReader::with_info(ffmpeg, path, info.clone());
                while let Some(chunk) = reader.next_frames(CHUNK)? {
                    append(&mut all, &resize_frames(&chunk, *shorter_side));
                }
            }
            Origin::Scene { scene, .. } => {
                let times: Vec<_> = (0..self.frames).map(scene_time).collect();
                append(&mut all, &scene.frames(&times, self.size));
            }
        }
        Ok(Arc::clone(kept.insert(Arc::new(all))))
    }

    /// Some frames, made anew.
    fn frames_at(&self, indices: &[u64]) -> Result<Vec<u8>, VideoError> {
        let frames = match &self.origin {
            Origin::File { ffmpeg, path, info, shorter_side } => {
                let reader = VideoReader::with_info(ffmpeg, path, info.clone());
                resize_frames(&reader.frames_at(indices)?, *shorter_side)
            }
            Origin::Scene { scene, .. } => {
                let times: Vec<_> = indices.iter().copied().map(scene_time).collect();
                scene.frames(&times, self.size)
            }
        };
        let mut pixels = Vec::new();
        append(&mut pixels, &frames);
        Ok(pixels)
    }
}

/// Looks at all videos, several at a time, each thread at a part of the list. The error is that of the first that has
/// one.
fn open_videos(ffmpeg: &Ffmpeg, paths: &[PathBuf], spec: &ClipSpec) -> Result<Vec<Video>, LoadError> {
    let count = std::thread::available_parallelism().map_or(1, NonZero::get).min(OPENED);
    let open = |path: &PathBuf| Video::file(ffmpeg, path.clone(), spec);
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for part in paths.chunks(paths.len().div_ceil(count).max(1)) {
            let work = move || part.iter().map(open).collect::<Result<Vec<_>, _>>();
            threads.push(std::thread::Builder::new().spawn_scoped(scope, work).map_err(LoadError::Thread)?);
        }
        let mut videos = Vec::with_capacity(paths.len());
        for thread in threads {
            videos.extend(thread.join().map_err(|_| LoadError::Ended)??);
        }
        Ok(videos)
    })
}

fn scene_time(frame: u64) -> f64 {
    frame as f64 / SCENE_RATE as f64
}

fn append(pixels: &mut Vec<u8>, frames: &Tensor) {
    let (start, count) = (pixels.len(), frames.numel());
    pixels.resize(start + count, 0);
    frames.copy_data_u8(&mut pixels[start..], count);
}

/// How a [`Loader`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Clips in a batch.
    pub batch: usize,
    /// What decides which clips come.
    pub seed: u64,
    /// The step whose batch comes first.
    pub first_step: u64,
    /// Background threads, at least 1.
    pub workers: usize,
    /// Batches that each thread may have ready, at least 1.
    pub prefetch: usize,
}

/// An endless iterator of batches, float `[b, 3, t, h, w]` in [-1, 1], which are made on background threads.
///
/// A video that cannot be read gives an error in place of its batch. Dropping the loader ends its threads.
#[derive(Debug)]
pub struct Loader {
    /// One per worker; worker i makes the batches of steps `first + i`, `first + i + workers`, ...
    batches: Vec<Receiver<Result<Tensor, LoadError>>>,
    workers: Vec<JoinHandle<()>>,
    next: usize,
}

impl Loader {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the batch is empty or a thread cannot be started.
    pub fn start(set: Arc<ClipSet>, options: LoaderOptions) -> Result<Self, LoadError> {
        let LoaderOptions { batch, seed, first_step, workers, prefetch } = options;
        if batch < 1 {
            let ClipSpec { rule, size: [height, width], .. } = set.spec;
            return Err(LoadError::EmptyClip { frames: rule.frames, height, width, batch });
        }
        let count = workers.max(1);
        let mut loader = Self { batches: Vec::new(), workers: Vec::new(), next: 0 };
        for worker in 0..count as u64 {
            let (sender, receiver) = sync_channel(prefetch.max(1));
            let set = Arc::clone(&set);
            let steps = (first_step.saturating_add(worker)..).step_by(count);
            let work = move || send_batches(&set, seed, batch, steps, &sender);
            let thread = std::thread::Builder::new().name(format!("loader {worker}"));
            loader.batches.push(receiver);
            loader.workers.push(thread.spawn(work).map_err(LoadError::Thread)?);
        }
        Ok(loader)
    }
}

impl Iterator for Loader {
    type Item = Result<Tensor, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.get(self.next)?.recv();
        self.next = (self.next + 1) % self.batches.len();
        Some(batch.unwrap_or(Err(LoadError::Ended)))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // A thread ends when nobody takes its next batch.
        self.batches.clear();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn send_batches(
    set: &ClipSet,
    seed: u64,
    batch: usize,
    steps: impl Iterator<Item = u64>,
    sender: &SyncSender<Result<Tensor, LoadError>>,
) {
    for step in steps {
        if sender.send(set.batch(seed, step, batch)).is_err() {
            return;
        }
    }
}
