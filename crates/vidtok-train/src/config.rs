//! The `[train]` table of a configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vidtok::Config;

use crate::{AdamConfig, Schedule, TrainError};

/// How a model is trained. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Decides the initial weights and the clips.
    #[serde(default)]
    pub seed: u64,
    /// Batches to train on.
    pub steps: u64,
    /// Clips in a batch.
    pub batch_size: usize,
    /// The gradients' norm is clipped to this.
    #[serde(default = "TrainConfig::clip_norm")]
    pub clip_norm: f64,
    /// The model is written after every so many batches.
    #[serde(default = "TrainConfig::checkpoint_every")]
    pub checkpoint_every: u64,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: AdamConfig,
    /// The course of the learning rate.
    #[serde(default)]
    pub schedule: Schedule,
    /// The clips.
    pub data: DataConfig,
}

/// The clips that a model is trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Folder of videos; procedural clips without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// CSV table with a column `videos`, of paths below the folder; `clips.csv` in the folder without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<PathBuf>,
    /// The videos themselves, below the folder, in place of a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub videos: Vec<PathBuf>,
    /// Procedural scenes to train on if there is no folder.
    #[serde(default = "DataConfig::scenes")]
    pub scenes: usize,
    /// Whether procedural clips may stand in for a folder that does not exist.
    #[serde(default)]
    pub scenes_if_missing: bool,
    /// Frames of a clip.
    pub frames: usize,
    /// Height and width of a clip.
    pub size: [i64; 2],
    /// Frames per second of a clip; the video's own without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_fps: Option<f64>,
    /// What the shorter side of a video is resized to before the crop; the clip's height without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shorter_side: Option<i64>,
    /// Whether the crop lies anywhere, or in the middle.
    #[serde(default)]
    pub random_crop: bool,
    /// Clips at the end of each video that are kept apart from training.
    #[serde(default = "DataConfig::held_out")]
    pub held_out: usize,
    /// Memory for decoded videos, in MiB.
    #[serde(default = "DataConfig::cache_mib")]
    pub cache_mib: u64,
    /// Threads that prepare clips.
    #[serde(default = "DataConfig::workers")]
    pub workers: usize,
}

impl DataConfig {
    fn scenes() -> usize {
        8
    }

    fn held_out() -> usize {
        1
    }

    fn cache_mib() -> u64 {
        1024
    }

    fn workers() -> usize {
        1
    }
}

impl TrainConfig {
    fn clip_norm() -> f64 {
        20.0
    }

    fn checkpoint_every() -> u64 {
        500
    }

    /// Reads the table of `config`.
    ///
    /// # Errors
    /// If there is none, or it has unknown, missing or nonsensical values.
    pub fn of(config: &Config) -> Result<Self, TrainError> {
        let wrong = |message: String| TrainError::Config { message };
        let table = config.train.clone().ok_or_else(|| wrong("the configuration has no such table".to_owned()))?;
        let train: Self = table.try_into().map_err(|error: toml::de::Error| wrong(one_line(&error.to_string())))?;
        let positive = [
            ("optimizer.lr", train.optimizer.lr),
            ("optimizer.eps", train.optimizer.eps),
            ("clip_norm", train.clip_norm),
            ("checkpoint_every", train.checkpoint_every as f64),
            ("batch_size", train.batch_size as f64),
            ("data.sample_fps", train.data.sample_fps.unwrap_or(1.0)),
        ];
        if let Some((key, value)) = positive.iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            return Err(wrong(format!("{key} is {value}; it must be above 0")));
        }
        let decays = [("optimizer.beta1", train.optimizer.beta1), ("optimizer.beta2", train.optimizer.beta2)];
        if let Some((key, value)) = decays.iter().find(|(_, value)| !(0.0..1.0).contains(value)) {
            return Err(wrong(format!("{key} is {value}; it must be at least 0 and below 1")));
        }
        let DataConfig { folder, table, videos, .. } = &train.data;
        if folder.is_none() && (table.is_some() || !videos.is_empty()) {
            return Err(wrong("data.table and data.videos need data.folder, which their paths start from".to_owned()));
        }
        if table.is_some() && !videos.is_empty() {
            return Err(wrong("data.table and data.videos exclude each other".to_owned()));
        }
        Ok(train)
    }

    /// The learning rate of a step.
    #[must_use]
    pub fn learning_rate(&self, step: u64) -> f64 {
        self.optimizer.lr * self.schedule.factor(step, self.steps)
    }
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
impl TrainConfig {
    /// For tests of other modules.
    pub(crate) fn example() -> Self {
        let text = "steps = 60\nbatch_size = 2\noptimizer.lr = 3e-3\ndata = { frames = 5, size = [16, 16], held_out = 1, scenes = 2 }";
        toml::from_str(text).unwrap()
    }
}

#[cfg(test)]
mod tests {
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

    fn parse(train: &str) -> Result<TrainConfig, TrainError> {
        TrainConfig::of(&Config::parse(&format!("{MODEL}\n{train}")).unwrap())
    }

    #[test]
    fn what_is_left_out_has_the_published_values() {
        let config = parse(TRAIN).unwrap();
        assert_eq!(config.optimizer, AdamConfig { lr: 1e-5, beta1: 0.9, beta2: 0.999, eps: 1e-8 });
        assert_eq!(config.clip_norm, 20.0);
    }

    #[test]
    fn missing_unknown_and_nonsensical_values_are_named() {
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
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(name) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn the_quickstart_can_be_read() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/quickstart.toml");
        let config = Config::load(&path, &[]).unwrap();
        assert!(TrainConfig::of(&config).unwrap().data.scenes_if_missing);
    }
}
