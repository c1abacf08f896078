//! A dry run: sizes, memory and a first batch of each stage, without training.

use std::path::{Path, PathBuf};

use tch::Device;
use vidtok::{Config, Tokenizer};
use vidtok_core::WorldRank;
use vidtok_data::Ffmpeg;

use crate::config::TrainConfig;
use crate::config::stages::Stage;
use crate::error::TrainError;
use crate::run::clips::StageClips;
use crate::run::folder::checked_name;
use crate::run::observer::Observer;
use crate::run::records::images;
use crate::step::losses::Losses;

/// A preview of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingPlan {
    /// Each stage.
    pub stages: Vec<StagePlan>,
}

/// A preview of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StagePlan {
    /// The name of the stage, if the run has stages.
    pub name: Option<String>,
    /// Steps to take.
    pub steps: u64,
    /// Clips per step.
    pub clips: u64,
    /// Parameters of the encoder.
    pub encoder: i64,
    /// Parameters of the decoder.
    pub decoder: i64,
    /// Parameters of the discriminator.
    pub discriminator: i64,
    /// Parameters that are trained, the discriminator's included.
    pub trained: i64,
    /// The estimated memory.
    pub memory: MemoryEstimate,
    /// An image of the first batch.
    pub image: PathBuf,
}

/// An estimate of the memory of a training step, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// Weights of all networks, moving averages included.
    pub weights: i64,
    /// Gradients.
    pub gradients: i64,
    /// The optimizers' moments.
    pub moments: i64,
    /// Activations kept for the backward pass.
    pub activations: i64,
}

impl MemoryEstimate {
    fn new(config: &Config, train: &TrainConfig, parameters: i64, trained: i64) -> Self {
        const BYTES: i64 = size_of::<f32>() as i64;
        let (frames, [h, w]) = (train.data.frames as i64, train.data.size);
        // The networks pad clips in front to a multiple of the factor.
        let factor = config.model.temporal_factor();
        let frames = (frames + factor - 1) / factor * factor;
        let clip = [train.batch_size as i64, frames, h, w];
        let recompute = train.gradient_checkpointing;
        let encoder = match train.trains_decoder_only() {
            true => 0,
            false => config.model.encoder_activation_bytes(clip, recompute),
        };
        let copies = 1 + i64::from(train.ema_decay.is_some());
        Self {
            weights: copies * parameters * BYTES,
            gradients: trained * BYTES,
            moments: 2 * trained * BYTES,
            activations: encoder + config.model.decoder_activation_bytes(clip, recompute),
        }
    }

    /// The parts with their names.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, i64); 4] {
        [
            ("weights", self.weights),
            ("gradients", self.gradients),
            ("optimizer", self.moments),
            ("activations", self.activations),
        ]
    }

    /// The sum of the parts.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }
}

impl TrainingPlan {
    /// Previews a configuration; an image of the first batch of each stage is written into `runs`.
    ///
    /// # Errors
    /// If the configuration is invalid, the clips cannot be read, or an image cannot be written.
    pub fn make(config: &Config, runs: &Path, observer: &mut dyn Observer) -> Result<Self, TrainError> {
        let (config_name, stages) = (checked_name(config)?, Stage::all(config)?);
        for stage in &stages {
            stage.config.check_memory(WorldRank::SINGLE.world_size)?;
        }
        std::fs::create_dir_all(runs).map_err(|error| TrainError::io(runs, error))?;
        let ffmpeg = Ffmpeg::locate()?;
        let tokenizer = Tokenizer::shapes(config.clone())?;
        let [encoder, decoder] = ["encoder.", "decoder."].map(|prefix| tokenizer.parameters().count(prefix));
        let mut plans = Vec::new();
        for Stage { name, config: train, .. } in stages {
            observer.busy("reading a batch");
            let scratch = tempfile::tempdir().map_err(|error| TrainError::io(runs, error))?;
            let clips = StageClips::open(&ffmpeg, &train, scratch.path(), WorldRank::SINGLE)?;
            clips.left_out().iter().for_each(|line| observer.warned(line));
            let batch = clips.loader(&train, 0, WorldRank::SINGLE)?.next().transpose()?;
            let image = runs.join(match &name {
                Some(stage) => format!("{config_name}-{stage}-batch.png"),
                None => format!("{config_name}-batch.png"),
            });
            if let Some(batch) = batch {
                images::draw_batch(&batch.clips, &image)?;
            }
            for warning in clips.new_warnings() {
                observer.warned(&warning);
            }
            let discriminator = Losses::new(&train.loss, None, Device::Cpu).parameters().count("loss.discriminator.");
            let trained = decoder + discriminator + if train.trains_decoder_only() { 0 } else { encoder };
            plans.push(StagePlan {
                name,
                steps: train.steps,
                clips: train.batch_size as u64 * train.accumulate,
                encoder,
                decoder,
                discriminator,
                trained,
                memory: MemoryEstimate::new(config, &train, encoder + decoder + discriminator, trained),
                image,
            });
        }
        Ok(Self { stages: plans })
    }
}
