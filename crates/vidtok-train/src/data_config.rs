//! The `[train.data]` table: which clips a model is trained on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vidtok_data::ReadOptions;

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
    /// Images that are mixed in as clips of one frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImagesConfig>,
    /// Where to keep what was found out about the videos; `.vidtok-index.jsonl` in their folder without it, or the
    /// run's folder if nothing can be written there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<PathBuf>,
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
    /// Whether every second clip, by chance, is mirrored left to right.
    #[serde(default)]
    pub random_flip: bool,
    /// How the pixels of videos are read: `{ hdr = "tone-map" or "keep", deinterlace = true or false }`.
    #[serde(default, skip_serializing_if = "ReadOptions::is_default")]
    pub read: ReadOptions,
    /// Clips at the end of each video that are kept apart from training, to measure on, if the validation has no
    /// videos of its own.
    #[serde(default = "DataConfig::held_out")]
    pub held_out: usize,
    /// Memory for decoded videos, in MiB.
    #[serde(default = "DataConfig::cache_mib")]
    pub cache_mib: u64,
    /// Threads that prepare clips.
    #[serde(default = "DataConfig::workers")]
    pub workers: usize,
}

/// Images as clips of one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagesConfig {
    /// Folder of images.
    pub folder: PathBuf,
    /// CSV table with a column `videos`, of paths below the folder; `clips.csv` in the folder without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<PathBuf>,
    /// The share of batches that are images, above 0 and below 1.
    pub share: f64,
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

    /// Says what makes no sense, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { folder, table, videos, .. } = self;
        if folder.is_none() && (table.is_some() || !videos.is_empty()) {
            return Err("data.table and data.videos need data.folder, which their paths start from".to_owned());
        }
        if table.is_some() && !videos.is_empty() {
            return Err("data.table and data.videos exclude each other".to_owned());
        }
        match &self.images {
            Some(ImagesConfig { share, .. }) if !(*share > 0.0 && *share < 1.0) => {
                Err(format!("data.images.share is {share}; it must be above 0 and below 1"))
            }
            _ => Ok(()),
        }
    }
}
