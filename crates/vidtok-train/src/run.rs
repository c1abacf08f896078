//! A training run from its configuration to its results.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tch::{Device, Tensor};
use vidtok::{Config, Tokenizer};
use vidtok_data::{
    ClipRule, ClipSet, ClipSpec, Crop, Ffmpeg, HeldOut, Library, LibraryOptions, Loader, LoaderOptions, Source,
    read_video_list,
};
use vidtok_loss::L1;

use crate::example_video::{self, Example};
use crate::run_folder::RunFolder;
use crate::{DataConfig, StepReport, TrainConfig, TrainError, Trainer};

/// Batches that each loader thread may have ready.
const PREFETCH: usize = 4;
/// The most clips that are held out.
const MOST_HELD_OUT: usize = 64;
/// The first procedural scene. Scenes are data: they stay the same whatever the seed of the run.
const FIRST_SCENE: u64 = 0;

/// Hears what happens in a run.
pub trait Observer {
    /// The run begins.
    fn started(&mut self, start: &Start);

    /// A step was taken.
    fn stepped(&mut self, report: &StepReport);

    /// Something takes a while that is no step.
    fn busy(&mut self, what: &str);
}

/// What is known of a run at its start.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Its folder.
    pub folder: PathBuf,
    /// Steps to take.
    pub steps: u64,
    /// Clips in a batch.
    pub batch_size: usize,
    /// Numbers that are trained.
    pub parameters: i64,
    /// Videos, or scenes.
    pub videos: usize,
    /// Whether procedural scenes stand in for a folder that does not exist.
    pub stand_in: bool,
    /// Held-out PSNR in dB of the untrained model; none if no clips are held out.
    pub psnr_before: Option<f64>,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Its folder.
    pub folder: PathBuf,
    /// Held-out PSNR in dB before training; none if no clips are held out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psnr_before: Option<f64>,
    /// Held-out PSNR in dB after it; none if no clips are held out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psnr_after: Option<f64>,
    /// The trained one-file model.
    pub model: PathBuf,
    /// A clip beside its reconstruction.
    pub side_by_side: PathBuf,
    /// The middle frame of it.
    pub picture: PathBuf,
}

/// Trains a model as `config` says; the run's folder is made below `runs`.
///
/// # Errors
/// If the configuration is wrong, a video cannot be read, a file cannot be written, or the loss is no finite number.
pub fn train(config: &Config, runs: &Path, device: Device, observer: &mut dyn Observer) -> Result<Summary, TrainError> {
    let train = TrainConfig::of(config)?;
    let ffmpeg = Ffmpeg::locate()?;
    let tokenizer = Tokenizer::init(config.clone(), train.seed as i64, device)?;
    observer.busy("reading the videos");
    let data = Data::open(&ffmpeg, &train.data)?;
    let held_out: Vec<Tensor> = data.clips.held_out()?.into_iter().map(|batch| batch.clips).collect();
    let mut folder = RunFolder::create(runs, &config.name, &config.to_toml()?)?;
    let parameters = tokenizer.parameters().count("");
    let mut trainer = Trainer::new(tokenizer, Box::new(L1), train.clone());
    let psnr_before = trainer.validate(&held_out)?;
    observer.started(&Start {
        folder: folder.path().to_owned(),
        steps: train.steps,
        batch_size: train.batch_size,
        parameters,
        videos: data.clips.videos(),
        stand_in: data.stand_in,
        psnr_before,
    });

    let model = folder.file("model.safetensors");
    let (batch, workers) = (train.batch_size, train.data.workers);
    let options = LoaderOptions { batch, seed: train.seed, first_step: 0, workers, prefetch: PREFETCH };
    let mut loader = Loader::start(Arc::clone(&data.clips), options)?;
    for step in 0..train.steps {
        let Some(batch) = loader.next().transpose()? else { break };
        let report = trainer.step(&batch.clips)?;
        folder.log(&report)?;
        observer.stepped(&report);
        if (step + 1) % train.checkpoint_every == 0 && step + 1 < train.steps {
            save(&trainer, &model, step + 1)?;
        }
    }
    drop(loader);
    save(&trainer, &model, train.steps)?;

    observer.busy("measuring and drawing the result");
    let psnr_after = trainer.validate(&held_out)?;
    let (side_by_side, picture) = (folder.file("side_by_side.mp4"), folder.file("side_by_side.png"));
    let side = train.data.shorter_side.unwrap_or(train.data.size[0]);
    // What training has shown the model: the middle, or all of the frame.
    let crop = (!train.data.random_crop).then_some(train.data.size);
    example_video::write(trainer.tokenizer(), &ffmpeg, &data.example(), (side, crop), &side_by_side, &picture)?;
    let path = folder.path().to_owned();
    let summary = Summary { folder: path, psnr_before, psnr_after, model, side_by_side, picture };
    folder.log(&summary)?;
    Ok(summary)
}

fn save(trainer: &Trainer, model: &Path, steps: u64) -> Result<(), TrainError> {
    Ok(trainer.tokenizer().save(model, &format!("trained for {steps} steps"))?)
}

/// The clips of a run.
struct Data {
    clips: Arc<ClipSet>,
    /// Video files; none if the clips are procedural.
    paths: Vec<PathBuf>,
    stand_in: bool,
}

impl Data {
    fn open(ffmpeg: &Ffmpeg, config: &DataConfig) -> Result<Self, TrainError> {
        let missing = config.folder.as_ref().is_some_and(|folder| !folder.exists());
        let stand_in = missing && config.scenes_if_missing;
        let paths = match &config.folder {
            Some(folder) if !stand_in && !config.videos.is_empty() => {
                config.videos.iter().map(|video| folder.join(video)).collect()
            }
            Some(folder) if !stand_in => {
                let table = config.table.clone().unwrap_or_else(|| folder.join("clips.csv"));
                read_video_list(&table, folder)?
            }
            _ => Vec::new(),
        };
        let source = if paths.is_empty() {
            Source::Procedural { scenes: config.scenes, seed: FIRST_SCENE }
        } else {
            Source::Videos { ffmpeg: ffmpeg.clone(), paths: paths.clone() }
        };
        let spec = ClipSpec {
            rule: ClipRule { frames: config.frames, sample_fps: config.sample_fps },
            size: config.size,
            shorter_side: config.shorter_side.unwrap_or(config.size[0]),
            crop: if config.random_crop { Crop::Random } else { Crop::Center },
            flip: false,
            held_out: HeldOut { per_video: config.held_out, max: MOST_HELD_OUT },
        };
        let options = LibraryOptions { cache_bytes: config.cache_mib << 20, ..LibraryOptions::default() };
        let clips = Arc::new(ClipSet::open(&Library::open(&options)?, source, spec)?);
        Ok(Self { clips, paths, stand_in })
    }

    fn example(&self) -> Example<'_> {
        match self.paths.first() {
            Some(path) => Example::Video(path),
            None => Example::Scene(FIRST_SCENE),
        }
    }
}
