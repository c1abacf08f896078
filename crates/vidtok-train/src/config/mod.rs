//! The `[train]` table of a configuration.

pub(crate) mod bounds;
pub(crate) mod data;
pub(crate) mod losses;
pub(crate) mod stages;
pub(crate) mod teacher;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind};
use vidtok::Config;
use vidtok_core::one_line;
use vidtok_optim::{AdamConfig, MuonConfig, Schedule};

use crate::config::data::DataConfig;
use crate::config::losses::LossConfig;
use crate::config::teacher::TeacherConfig;
use crate::error::TrainError;

/// The `[train]` table. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The seed of the initial weights, the clips and the noise.
    #[serde(default)]
    pub seed: u64,
    /// Model or checkpoint to start from instead of random weights; later stages start from the stage before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// Steps to take.
    pub steps: u64,
    /// Clips per batch.
    pub batch_size: usize,
    /// Batches per step; their gradients are averaged.
    #[serde(default = "TrainConfig::accumulate")]
    pub accumulate: u64,
    /// The gradient norms of the generator and of the discriminator are each clipped to this.
    #[serde(default = "TrainConfig::clip_norm")]
    pub clip_norm: f64,
    /// The number type of the networks' computations; losses, quantizer and weights stay float32.
    #[serde(default)]
    pub precision: Precision,
    /// Whether GPUs take implementations whose results do not change from run to run, so that a resumed run ends with the same
    /// bits as one that was not stopped. On CPUs that holds anyway. libtorch warns of operations that have none.
    #[serde(default)]
    pub deterministic: bool,
    /// Whether to recompute activations within blocks in the backward pass, which takes less memory and more time.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// The number of batches to which the linear maps of a model with `model.linear` are fitted before the first step, if
    /// training starts from random weights.
    #[serde(default = "TrainConfig::linear_batches")]
    pub linear_batches: usize,
    /// Whether to train only the decoder, which keeps the latent space fixed.
    #[serde(default)]
    pub freeze_encoder: bool,
    /// A larger model, on whose latents the decoder is trained; encoder and quantizer are the teacher's and stay fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherConfig>,
    /// Decay of the moving averages of the weights; without it, no averages are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// The number of steps in a row that may be skipped, because a number is not finite, before the run ends.
    #[serde(default = "TrainConfig::max_skipped")]
    pub max_skipped: u64,
    /// The optimizer of the generator and of the discriminator.
    #[serde(default)]
    pub optimizer: AdamConfig,
    /// Muon in place of Adam for the kernels of the generator's hidden layers, with the same learning rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muon: Option<MuonConfig>,
    /// The schedule of the learning rate.
    #[serde(default)]
    pub schedule: Schedule,
    /// The losses.
    #[serde(default)]
    pub loss: LossConfig,
    /// When to validate, and on which clips.
    #[serde(default)]
    pub validation: ValidationConfig,
    /// When to save states, and how many to keep.
    #[serde(default)]
    pub checkpoints: CheckpointConfig,
    /// The clips.
    pub data: DataConfig,
}

/// The number type of the networks' computations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32.
    #[default]
    F32,
    /// bfloat16 for convolutions and matrix products of the tokenizer and of LPIPS (autocast).
    Bf16,
}

impl Precision {
    /// The number type for autocast, if any.
    pub(crate) fn autocast(self) -> Option<Kind> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Some(Kind::BFloat16),
        }
    }
}

/// The `[train.validation]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationConfig {
    /// Steps between validations; there is also one before the first step and one after the last.
    pub every: u64,
    /// The most clips to validate on.
    pub clips: usize,
    /// Videos to validate on, instead of clips held out from the training videos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub videos: Option<ValidationVideos>,
}

/// Videos to validate on: a clip from the first frame of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationVideos {
    /// The folder of the videos.
    pub folder: PathBuf,
    /// CSV table with a column `videos` of paths relative to the folder. Without it, `clips.csv` in the folder if it exists,
    /// otherwise all videos in the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<PathBuf>,
    /// Frames per second of the clips; 8, as published, without it.
    #[serde(default = "ValidationVideos::sample_fps")]
    pub sample_fps: f64,
}

impl ValidationVideos {
    fn sample_fps() -> f64 {
        8.0
    }
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self { every: 500, clips: 8, videos: None }
    }
}

/// The `[train.checkpoints]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Steps between saved states.
    pub every: u64,
    /// The number of newest states to keep.
    pub keep: usize,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: 500, keep: 3 }
    }
}

impl TrainConfig {
    fn accumulate() -> u64 {
        1
    }

    fn linear_batches() -> usize {
        16
    }

    fn clip_norm() -> f64 {
        20.0
    }

    fn max_skipped() -> u64 {
        10
    }

    /// Reads the `[train]` table of `config`, which must not have stages.
    ///
    /// # Errors
    /// If the table is missing, or has unknown, missing or invalid values.
    pub fn of(config: &Config) -> Result<Self, TrainError> {
        let table = config.train.clone().ok_or_else(|| wrong("the configuration has no such table".to_owned()))?;
        Self::from_table(table)
    }

    /// Reads a `[train]` table.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn from_table(table: toml::Table) -> Result<Self, TrainError> {
        let train: Self = table.try_into().map_err(|error: toml::de::Error| wrong(one_line(&error.to_string())))?;
        train.check()?;
        Ok(train)
    }

    fn check(&self) -> Result<(), TrainError> {
        bounds::check(self).map_err(wrong)?;
        let (t, [h, w]) = (self.data.frames as i64, self.data.size);
        if let Some(gan) = &self.loss.gan
            && !gan.patches.fits([t, h, w])
        {
            return Err(wrong(format!("clips of {t} frames of {h}x{w} are too small for the discriminator")));
        }
        if let Some(perceptual) = &self.loss.perceptual
            && h.min(w) < perceptual.net.least_side()
        {
            let least = perceptual.net.least_side();
            return Err(wrong(format!("clips of {h}x{w} are too small for LPIPS, which needs {least}x{least}")));
        }
        self.data.check().map_err(wrong)
    }

    /// Checks that the clips of a step, divided evenly among `count` processes, fit into memory.
    ///
    /// # Errors
    /// If they do not fit.
    pub(crate) fn check_memory(&self, count: usize) -> Result<(), TrainError> {
        let (clips, size) = (self.batch_size / count.max(1), self.data.size);
        let values = [clips as u64, self.accumulate, self.data.frames as u64, 3, size[0] as u64, size[1] as u64];
        let needed = values.into_iter().fold(size_of::<f32>() as u64, u64::saturating_mul);
        match vidtok::free_bytes(Device::Cpu) {
            Some(free) if needed > free => {
                Err(TrainError::Memory { clips, frames: self.data.frames, size, needed, free })
            }
            _ => Ok(()),
        }
    }

    /// Whether only the decoder is trained.
    #[must_use]
    pub fn trains_decoder_only(&self) -> bool {
        self.freeze_encoder || self.teacher.is_some()
    }

    /// The learning rate of a step.
    #[must_use]
    pub fn learning_rate(&self, step: u64) -> f64 {
        self.optimizer.lr * self.schedule.factor(step, self.steps)
    }
}

pub(crate) fn wrong(message: String) -> TrainError {
    TrainError::Config { message }
}

#[cfg(test)]
impl TrainConfig {
    /// A small configuration for tests.
    pub(crate) fn example() -> Self {
        let text = "steps = 60\nbatch_size = 2\noptimizer.lr = 3e-3\ndata = { frames = 5, size = [16, 16], held_out = 1, scenes = 2 }";
        toml::from_str(text).unwrap()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const MODEL: &str = r#"
        name = "tiny"
        [model]
        causality = "v1.0"
        ch = 8
        ch_mult = [1]
        num_res_blocks = 1
        spatial_down = []
        spatial_up = []
        temporal_down = []
        temporal_up = []
        [quantizer]
        kind = "kl"
        z_channels = 4
    "#;
    const TRAIN: &str = "[train]\nsteps = 1\nbatch_size = 2\n[train.data]\nframes = 5\nsize = [16, 16]\n";

    fn read(train: &str) -> Result<TrainConfig, TrainError> {
        TrainConfig::of(&Config::parse(&format!("{MODEL}\n{train}")).unwrap())
    }

    /// The smallest table with this value set.
    pub(crate) fn parse(key: &str, value: &str) -> Result<TrainConfig, TrainError> {
        let config = Config::parse(&format!("{MODEL}\n{TRAIN}")).unwrap();
        TrainConfig::of(&config.with_overrides(&[format!("train.{key}={value}")]).unwrap())
    }

    #[test]
    fn clips_that_do_not_fit_into_memory_are_refused_before_any_is_loaded() {
        let config = parse("batch_size", "1048576").unwrap();
        let config = TrainConfig { data: parse("data.size", "[16384, 16384]").unwrap().data, ..config };
        let error = config.check_memory(1).unwrap_err();
        // 2^20 clips of 5 frames of 3 x 2^28 float32.
        assert!(matches!(error, TrainError::Memory { needed: 16_888_498_602_639_360, .. }), "{error}");
        assert!(
            error.to_string().contains("1048576 clips of 5 frames of 16384x16384 need 15728640.00 GiB in each process"),
            "{error}"
        );
        assert!(parse("batch_size", "2").unwrap().check_memory(1).is_ok());
    }

    #[test]
    fn missing_keys_have_the_published_values() {
        let config = read(TRAIN).unwrap();
        assert_eq!(config.optimizer, AdamConfig { lr: 1e-5, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 });
        assert_eq!(config.clip_norm, 20.0);
    }

    #[test]
    fn missing_unknown_and_invalid_values_are_named() {
        let wrong = [
            (String::new(), "no such table"),
            (TRAIN.replace("steps = 1", ""), "steps"),
            (TRAIN.replace("steps = 1", "steps = 1\nstepz = 2"), "stepz"),
            (TRAIN.replace("batch_size = 2", "batch_size = 0"), "batch_size"),
            (TRAIN.replace("frames = 5", "frames = 5\nfps = 3"), "fps"),
            (TRAIN.replace("steps = 1", "steps = 1\noptimizer.lr = -1.0"), "optimizer.lr"),
            (TRAIN.replace("steps = 1", "steps = 1\noptimizer.eps = 0.0"), "optimizer.eps"),
            (TRAIN.replace("steps = 1", "steps = 1\noptimizer.beta1 = nan"), "optimizer.beta1"),
            (TRAIN.replace("steps = 1", "steps = 1\noptimizer.beta2 = 1.0"), "optimizer.beta2"),
            (TRAIN.replace("frames = 5", "frames = 5\ntable = \"a.csv\""), "need data.folder"),
            (TRAIN.replace("frames = 5", "frames = 5\nvideos = [\"a.mp4\"]"), "need data.folder"),
        ];
        for (text, name) in wrong {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(name) && error.lines().count() == 1, "{error}");
        }
    }
}
