//! What a run would be, before it is one.

use std::path::{Path, PathBuf};

use tch::Device;
use vidtok::{Config, Tokenizer};
use vidtok_core::WorldRank;
use vidtok_data::Ffmpeg;

use crate::config::TrainConfig;
use crate::config::stages::Stage;
use crate::error::TrainError;
use crate::run::Observer;
use crate::run::data::Data;
use crate::run::folder::checked_name;
use crate::run::records::images;
use crate::step::losses::Losses;

/// What each stage of a run would be.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingPlan {
    /// The stages.
    pub stages: Vec<StagePlan>,
}

/// What a stage would be.
#[derive(Clone, Debug, PartialEq)]
pub struct StagePlan {
    /// Its name, if the run has stages.
    pub name: Option<String>,
    /// Steps to take.
    pub steps: u64,
    /// Clips in a step.
    pub clips: u64,
    /// Numbers in the encoder.
    pub encoder: i64,
    /// Numbers in the decoder.
    pub decoder: i64,
    /// Numbers in the discriminator.
    pub discriminator: i64,
    /// Numbers that are trained, the discriminator's included.
    pub trained: i64,
    /// The memory that it takes, about.
    pub memory: MemoryEstimate,
    /// One batch of clips.
    pub picture: PathBuf,
}

/// The memory of a training step in bytes, estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// Weights of all networks, averages included.
    pub weights: i64,
    /// Gradients.
    pub gradients: i64,
    /// The optimizers' moments.
    pub moments: i64,
    /// Activations that the backward pass needs.
    pub activations: i64,
}

impl MemoryEstimate {
    fn new(config: &Config, train: &TrainConfig, parameters: i64, trained: i64) -> Self {
        const BYTES: i64 = size_of::<f32>() as i64;
        let (frames, [h, w]) = (train.data.frames as i64, train.data.size);
        // As the networks take the clip: filled up in front.
        let factor = config.model.temporal_factor();
        let frames = (frames + factor - 1) / factor * factor;
        let clip = [train.batch_size as i64, frames, h, w];
        let recompute = train.gradient_checkpointing;
        let encoder = match train.freeze_encoder {
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

    /// Each part with its name.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, i64); 4] {
        [
            ("weights", self.weights),
            ("gradients", self.gradients),
            ("optimizer", self.moments),
            ("activations", self.activations),
        ]
    }

    /// Their sum.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }
}

impl TrainingPlan {
    /// Looks at a configuration and at the first batch of each stage; pictures of the batches are written into `runs`.
    ///
    /// # Errors
    /// If the configuration is wrong, or the clips cannot be read.
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
        for Stage { name, config: train } in stages {
            observer.busy("reading a batch");
            let scratch = tempfile::tempdir().map_err(|error| TrainError::io(runs, error))?;
            let data = Data::open(&ffmpeg, &train, scratch.path(), WorldRank::SINGLE)?;
            data.left_out().iter().for_each(|line| observer.warned(line));
            let batch = data.loader(&train, 0, WorldRank::SINGLE)?.next().transpose()?;
            let picture = runs.join(match &name {
                Some(stage) => format!("{config_name}-{stage}-batch.png"),
                None => format!("{config_name}-batch.png"),
            });
            if let Some(batch) = batch {
                images::draw_batch(&batch.clips, &picture)?;
            }
            for warning in data.new_warnings() {
                observer.warned(&warning);
            }
            let discriminator = Losses::new(&train.loss, None, Device::Cpu).parameters().count("loss.discriminator.");
            let trained = decoder + discriminator + if train.freeze_encoder { 0 } else { encoder };
            plans.push(StagePlan {
                name,
                steps: train.steps,
                clips: train.batch_size as u64 * train.accumulate,
                encoder,
                decoder,
                discriminator,
                trained,
                memory: MemoryEstimate::new(config, &train, encoder + decoder + discriminator, trained),
                picture,
            });
        }
        Ok(Self { stages: plans })
    }
}
