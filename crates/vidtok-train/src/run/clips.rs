//! The training and validation clips of a stage.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::Tensor;
use vidtok::Tokenizer;
use vidtok_core::WorldRank;
use vidtok_data::{
    ClipRule, ClipSet, ClipSpec, Crop, DatasetError, Ffmpeg, HeldOut, Library, LibraryOptions, Loader, LoaderOptions,
    Mixture, Source, VideoList, find_images, find_videos, path_text, read_video_list,
};

use crate::config::data::DataConfig;
use crate::config::{TrainConfig, ValidationVideos};
use crate::error::TrainError;
use crate::run::records::example_video::{self, Example};

/// Batches that each loader thread may prepare ahead.
const PREFETCH: usize = 4;
/// The seed of the first procedural scene. Scenes are data: they do not depend on the seed of the run.
const FIRST_SCENE: u64 = 0;
/// The index of the videos in a folder.
const INDEX: &str = ".vidtok-index.jsonl";

/// Training and validation clips.
pub(crate) struct StageClips {
    config: DataConfig,
    library: Arc<Library>,
    training: Arc<ClipSet>,
    mixture: Mixture,
    /// Clips of other videos to validate on, in place of held-out ones.
    validation: Option<ClipSet>,
    /// The training videos; empty if the clips are procedural.
    paths: Vec<PathBuf>,
    procedural_fallback: bool,
    /// A line for each folder that also holds other files.
    left_out: Vec<String>,
    /// The numbers of skipped videos and of notices that were already reported.
    reported: [Cell<usize>; 2],
}

impl StageClips {
    /// Opens the clips that `train` describes. Each process of the run writes its index and its list of skipped videos
    /// into `folder`.
    pub(crate) fn open(
        ffmpeg: &Ffmpeg,
        train: &TrainConfig,
        folder: &Path,
        rank: WorldRank,
    ) -> Result<Self, TrainError> {
        let config = &train.data;
        let missing = config.folder.as_ref().is_some_and(|folder| !folder.exists());
        let procedural_fallback = missing && config.scenes_if_missing;
        let mut left_out = Vec::new();
        let mut take = |list: VideoList| {
            let VideoList { root, videos, left_out: others } = list;
            left_out.extend((!others.is_empty()).then(|| format!("{}: {others}", root.display())));
            videos
        };
        let paths = match &config.folder {
            Some(folder) if !procedural_fallback && !config.videos.is_empty() => {
                config.videos.iter().map(|video| folder.join(video)).collect()
            }
            Some(folder) if !procedural_fallback => take(list(folder, config.table.as_deref(), find_videos)?),
            _ => Vec::new(),
        };
        let videos = |folder: &Path, paths: Vec<PathBuf>| Source::Videos {
            ffmpeg: ffmpeg.clone(),
            paths,
            input: config.input(folder),
        };
        let source = match (&config.folder, paths.as_slice()) {
            (Some(folder), [_, ..]) => videos(folder, paths.clone()),
            _ => Source::Procedural { scenes: config.scenes, seed: FIRST_SCENE },
        };
        let library = open_library(config, folder, rank)?;
        let held_out = match train.validation.videos {
            Some(_) => HeldOut::NONE,
            None => HeldOut { per_video: config.held_out, max: train.validation.clips },
        };
        let spec = ClipSpec {
            rule: ClipRule { frames: config.frames, sample_fps: config.sample_fps },
            size: config.size,
            shorter_side: config.shorter_side.unwrap_or(config.size[0]),
            crop: if config.random_crop { Crop::Random } else { Crop::Center },
            flip: config.random_flip,
            held_out,
            filmed: false,
        };
        let training = Arc::new(ClipSet::open(&library, source, spec)?);
        let mixture = match &config.images {
            None => Mixture::from(Arc::clone(&training)),
            Some(images) => {
                let paths = take(list(&images.folder, images.table.as_deref(), find_images)?);
                let spec = match images.shorter_side {
                    Some(side) => spec.for_photographs(side),
                    None => spec.for_images(),
                };
                let set = Arc::new(ClipSet::open(&library, videos(&images.folder, paths), spec)?);
                Mixture::new(vec![(Arc::clone(&training), 1.0 - images.share), (set, images.share)])?
            }
        };
        let validation = match &train.validation.videos {
            None => None,
            Some(ValidationVideos { folder, table, sample_fps }) => {
                let rule = ClipRule { frames: config.frames, sample_fps: Some(*sample_fps) };
                let spec = ClipSpec { rule, held_out: HeldOut::NONE, ..spec };
                let paths = take(list(folder, table.as_deref(), find_videos)?);
                Some(ClipSet::open(&library, videos(folder, paths), spec)?)
            }
        };
        let (config, reported) = (config.clone(), Default::default());
        Ok(Self { config, library, training, mixture, validation, paths, procedural_fallback, left_out, reported })
    }

    /// The number of training videos, or of procedural scenes.
    pub(crate) fn videos(&self) -> usize {
        self.training.videos()
    }

    /// Whether the clips are procedural because the folder does not exist.
    pub(crate) fn procedural_fallback(&self) -> bool {
        self.procedural_fallback
    }

    /// A line for each folder that also holds other files.
    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The clips to validate on, at most `most`, each `[1, 3, t, h, w]`.
    pub(crate) fn validation_clips(&self, most: usize) -> Result<Vec<Tensor>, TrainError> {
        let batches = match &self.validation {
            Some(set) => set.first_clips(most)?,
            None => self.training.held_out()?,
        };
        Ok(batches.into_iter().map(|batch| batch.clips).collect())
    }

    /// Loads this rank's part of the training batches, from `first_batch` on.
    pub(crate) fn loader(&self, train: &TrainConfig, first_batch: u64, rank: WorldRank) -> Result<Loader, TrainError> {
        let (batch, seed, workers) = (train.batch_size, train.seed, self.config.workers);
        let options = LoaderOptions { batch, rank, seed, first_step: first_batch, workers, prefetch: PREFETCH };
        Ok(Loader::start(self.mixture.clone(), options)?)
    }

    /// Warnings about videos since the last call: which were skipped, and remarks on how others are read.
    pub(crate) fn new_warnings(&self) -> Vec<String> {
        let (skipped, notices) = (self.library.skipped(), self.library.notices());
        let [reported_videos, reported_notices] = &self.reported;
        let skipped = skipped.iter().skip(reported_videos.replace(skipped.len()));
        let notices = notices.iter().skip(reported_notices.replace(notices.len()));
        let skipped = skipped.map(|video| format!("skipped: {video}"));
        skipped.chain(notices.map(|(path, notice)| format!("{path}: {notice}"))).collect()
    }

    /// Writes the first seconds of the first usable video beside their reconstruction.
    pub(crate) fn write_example(&self, tokenizer: &Tokenizer, ffmpeg: &Ffmpeg, video: &Path) -> Result<(), TrainError> {
        let skipped = self.library.skipped();
        let usable = |path: &&PathBuf| !skipped.iter().any(|video| video.path == path_text(path));
        let example = match (&self.config.folder, self.paths.iter().find(usable)) {
            (Some(folder), Some(path)) => Example::Video(path, self.config.input(folder)),
            _ => Example::Scene(FIRST_SCENE),
        };
        let side = self.config.shorter_side.unwrap_or(self.config.size[0]);
        // As in training: the middle crop, or the whole frame.
        let crop = (!self.config.random_crop).then_some(self.config.size);
        example_video::write(tokenizer, ffmpeg, &example, (side, crop), video)
    }
}

/// The videos of a folder: those listed in a table, or those that `find` finds.
fn list(
    folder: &Path,
    table: Option<&Path>,
    find: fn(&Path) -> Result<VideoList, DatasetError>,
) -> Result<VideoList, DatasetError> {
    let default = folder.join("clips.csv");
    let Some(table) = table.or_else(|| default.is_file().then_some(default.as_path())) else { return find(folder) };
    let videos = read_video_list(table, folder)?;
    Ok(VideoList { root: folder.to_owned(), videos, ..VideoList::default() })
}

fn open_library(
    config: &DataConfig,
    run: &Path,
    WorldRank { rank, .. }: WorldRank,
) -> Result<Arc<Library>, TrainError> {
    let skipped = match rank {
        0 => "quarantine.jsonl".to_owned(),
        rank => format!("quarantine-{rank}.jsonl"),
    };
    // The machine of another rank may not have the run's folder.
    let writable = |path: PathBuf| Some(path).filter(|path| rank == 0 || path.parent().is_some_and(Path::is_dir));
    let options = |index: PathBuf| LibraryOptions {
        index: writable(index),
        skipped: writable(run.join(&skipped)),
        cache_bytes: config.cache_mib << 20,
    };
    if let Some(index) = &config.index {
        return Ok(Library::open(&options(index.clone()))?);
    }
    let beside_videos = config.folder.as_ref().filter(|folder| folder.is_dir()).map(|folder| folder.join(INDEX));
    match beside_videos.map(|index| Library::open(&options(index))) {
        Some(Ok(library)) => Ok(library),
        // The folder of the videos is not writable.
        _ => Ok(Library::open(&options(run.join("index.jsonl")))?),
    }
}
