//! The clips of a stage.

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

/// Batches that each loader thread may have ready.
const PREFETCH: usize = 4;
/// The first procedural scene. Scenes are data: they stay the same whatever the seed of the run.
const FIRST_SCENE: u64 = 0;
/// Keeps what was found out about the videos of a folder.
const INDEX: &str = ".vidtok-index.jsonl";

/// Training and validation clips.
pub(crate) struct Data {
    config: DataConfig,
    library: Arc<Library>,
    training: Arc<ClipSet>,
    mixture: Mixture,
    /// Clips of other videos to measure on, in place of the held-out ones.
    validation: Option<ClipSet>,
    /// Training videos; none if the clips are procedural.
    paths: Vec<PathBuf>,
    stands_in: bool,
    /// What else the folders hold.
    left_out: Vec<String>,
    /// How many of the videos that were set aside have been told of, and of the notices.
    told: [Cell<usize>; 2],
}

impl Data {
    /// What `train` says; files that list what was found out about the videos are written into `folder`, by each of the
    /// processes that share the run.
    pub(crate) fn open(
        ffmpeg: &Ffmpeg,
        train: &TrainConfig,
        folder: &Path,
        share: WorldRank,
    ) -> Result<Self, TrainError> {
        let config = &train.data;
        let missing = config.folder.as_ref().is_some_and(|folder| !folder.exists());
        let stands_in = missing && config.scenes_if_missing;
        let mut left_out = Vec::new();
        let mut take = |list: VideoList| {
            let VideoList { root, videos, left_out: others } = list;
            left_out.extend((!others.is_empty()).then(|| format!("{}: {others}", root.display())));
            videos
        };
        let paths = match &config.folder {
            Some(folder) if !stands_in && !config.videos.is_empty() => {
                config.videos.iter().map(|video| folder.join(video)).collect()
            }
            Some(folder) if !stands_in => take(list(folder, config.table.as_deref(), find_videos)?),
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
        let library = open_library(config, folder, share)?;
        let apart = match train.validation.videos {
            Some(_) => HeldOut::NONE,
            None => HeldOut { per_video: config.held_out, max: train.validation.clips },
        };
        let spec = ClipSpec {
            rule: ClipRule { frames: config.frames, sample_fps: config.sample_fps },
            size: config.size,
            shorter_side: config.shorter_side.unwrap_or(config.size[0]),
            crop: if config.random_crop { Crop::Random } else { Crop::Center },
            flip: config.random_flip,
            held_out: apart,
        };
        let training = Arc::new(ClipSet::open(&library, source, spec)?);
        let mixture = match &config.images {
            None => Mixture::from(Arc::clone(&training)),
            Some(images) => {
                let paths = take(list(&images.folder, images.table.as_deref(), find_images)?);
                let set = Arc::new(ClipSet::open(&library, videos(&images.folder, paths), spec.for_images())?);
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
        let (config, told) = (config.clone(), Default::default());
        Ok(Self { config, library, training, mixture, validation, paths, stands_in, left_out, told })
    }

    /// Videos, or scenes.
    pub(crate) fn videos(&self) -> usize {
        self.training.videos()
    }

    /// Whether procedural scenes stand in for a folder that does not exist.
    pub(crate) fn stands_in(&self) -> bool {
        self.stands_in
    }

    /// A line for each folder that holds more than videos.
    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The clips to measure on, at most `most`, each `[1, 3, t, h, w]`.
    pub(crate) fn validation_clips(&self, most: usize) -> Result<Vec<Tensor>, TrainError> {
        let batches = match &self.validation {
            Some(set) => set.first_clips(most)?,
            None => self.training.held_out()?,
        };
        Ok(batches.into_iter().map(|batch| batch.clips).collect())
    }

    /// This process's part of the training batches from `first_batch` on.
    pub(crate) fn loader(&self, train: &TrainConfig, first_batch: u64, share: WorldRank) -> Result<Loader, TrainError> {
        let (batch, seed, workers) = (train.batch_size, train.seed, self.config.workers);
        let options = LoaderOptions { batch, rank: share, seed, first_step: first_batch, workers, prefetch: PREFETCH };
        Ok(Loader::start(self.mixture.clone(), options)?)
    }

    /// What is to be told of videos since the last call: which were set aside, and how others are read.
    pub(crate) fn new_warnings(&self) -> Vec<String> {
        let (quarantined, notices) = (self.library.quarantined(), self.library.notices());
        let [set_aside, noted] = &self.told;
        let set_aside = quarantined.iter().skip(set_aside.replace(quarantined.len()));
        let noted = notices.iter().skip(noted.replace(notices.len()));
        let set_aside = set_aside.map(|video| format!("set aside: {video}"));
        set_aside.chain(noted.map(|(path, notice)| format!("{path}: {notice}"))).collect()
    }

    /// Writes the first seconds of the first video beside what the model makes of it.
    pub(crate) fn write_example(&self, tokenizer: &Tokenizer, ffmpeg: &Ffmpeg, video: &Path) -> Result<(), TrainError> {
        let bad = self.library.quarantined();
        let usable = |path: &&PathBuf| !bad.iter().any(|video| video.path == path_text(path));
        let example = match (&self.config.folder, self.paths.iter().find(usable)) {
            (Some(folder), Some(path)) => Example::Video(path, self.config.input(folder)),
            _ => Example::Scene(FIRST_SCENE),
        };
        let side = self.config.shorter_side.unwrap_or(self.config.size[0]);
        // What training has shown the model: the middle, or all of the frame.
        let crop = (!self.config.random_crop).then_some(self.config.size);
        example_video::write(tokenizer, ffmpeg, &example, (side, crop), video)
    }
}

/// The videos of a folder: those of a table, or what `find` takes.
fn list(
    folder: &Path,
    table: Option<&Path>,
    find: fn(&Path) -> Result<VideoList, DatasetError>,
) -> Result<VideoList, DatasetError> {
    let usual = folder.join("clips.csv");
    let Some(table) = table.or_else(|| usual.is_file().then_some(usual.as_path())) else { return find(folder) };
    let videos = read_video_list(table, folder)?;
    Ok(VideoList { root: folder.to_owned(), videos, ..VideoList::default() })
}

fn open_library(config: &DataConfig, run: &Path, share: WorldRank) -> Result<Arc<Library>, TrainError> {
    let quarantine = match share.rank {
        0 => "quarantine.jsonl".to_owned(),
        rank => format!("quarantine-{rank}.jsonl"),
    };
    // Another process's machine may not have the run's folder.
    let kept = |path: PathBuf| Some(path).filter(|path| share.rank == 0 || path.parent().is_some_and(Path::is_dir));
    let options = |index: PathBuf| LibraryOptions {
        index: kept(index),
        quarantine: kept(run.join(&quarantine)),
        cache_bytes: config.cache_mib << 20,
    };
    if let Some(index) = &config.index {
        return Ok(Library::open(&options(index.clone()))?);
    }
    let beside = config.folder.as_ref().filter(|folder| folder.is_dir()).map(|folder| folder.join(INDEX));
    match beside.map(|index| Library::open(&options(index))) {
        Some(Ok(library)) => Ok(library),
        // Nothing can be written among the videos.
        _ => Ok(Library::open(&options(run.join("index.jsonl")))?),
    }
}
