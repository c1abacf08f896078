//! The `[train.data]` table: the training clips.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vidtok_core::FrameRate;
use vidtok_data::{InputOptions, ReadOptions, RetryPolicy};

use crate::config::wrong;
use crate::error::TrainError;

/// The training clips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Folder of videos and of folders of frames (PNG, JPEG); without it, clips are procedural.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// CSV table with a column `videos` of paths relative to the folder. Without it, `clips.csv` in the folder if it exists,
    /// otherwise all videos in the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<PathBuf>,
    /// The videos as paths relative to the folder, instead of a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub videos: Vec<PathBuf>,
    /// Images to mix in, as clips of one frame or filmed by a camera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImagesConfig>,
    /// The file of the index of videos. Without it, `.vidtok-index.jsonl` in their folder, or the run's folder if that is
    /// not writable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<PathBuf>,
    /// The number of procedural scenes to train on without a folder.
    #[serde(default = "DataConfig::scenes")]
    pub scenes: usize,
    /// Whether to fall back to procedural clips if the folder does not exist.
    #[serde(default)]
    pub scenes_if_missing: bool,
    /// Frames per clip.
    pub frames: usize,
    /// Height and width of the clips.
    pub size: [i64; 2],
    /// Frames per second of the clips; without it, the rate of each video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_fps: Option<f64>,
    /// Frames per second of folders of frames; 25 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_rate: Option<f64>,
    /// The length to which the shorter side of a video is resized before the crop; without it, the clips' height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shorter_side: Option<i64>,
    /// Whether crops are random; otherwise they are in the middle.
    #[serde(default)]
    pub random_crop: bool,
    /// Whether clips are flipped horizontally with probability 1/2.
    #[serde(default)]
    pub random_flip: bool,
    /// How the pixels of videos are decoded: `{ hdr = "tone-map" or "keep", deinterlace = true or false }`.
    #[serde(default, skip_serializing_if = "ReadOptions::is_default")]
    pub read: ReadOptions,
    /// Clips at the end of each video that are held out from training for validation, if validation has no videos of its
    /// own.
    #[serde(default = "DataConfig::held_out")]
    pub held_out: usize,
    /// Memory for the cache of decoded videos, in MiB.
    #[serde(default = "DataConfig::cache_mib")]
    pub cache_mib: u64,
    /// Threads that prepare clips.
    #[serde(default = "DataConfig::workers")]
    pub workers: usize,
}

/// Images that are mixed in, as clips of one frame or filmed by a camera.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagesConfig {
    /// Folder of images.
    pub folder: PathBuf,
    /// CSV table with a column `videos` of paths relative to the folder. Without it, `clips.csv` in the folder if it exists,
    /// otherwise all images in the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<PathBuf>,
    /// The fraction of batches that are images, above 0 and below 1.
    pub share: f64,
    /// Films clips of the images by a random moving camera instead of taking them as clips of one frame; the images are
    /// resized until their shorter side has this length. About twice the height of the clips is a good choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shorter_side: Option<i64>,
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

    /// The options for opening videos in `folder`.
    pub(crate) fn input(&self, folder: &Path) -> InputOptions {
        let frame_rate = self.frame_rate.and_then(FrameRate::from_f64).unwrap_or(InputOptions::FRAME_RATE);
        InputOptions { frame_rate, retry: RetryPolicy::default().within(folder), read: self.read }
    }

    /// Checks the table; the error says what is invalid.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { folder, table, videos, .. } = self;
        if folder.is_none() && (table.is_some() || !videos.is_empty()) {
            return Err("data.table and data.videos need data.folder, to which their paths are relative".to_owned());
        }
        if table.is_some() && !videos.is_empty() {
            return Err("data.table and data.videos exclude each other; set one of them".to_owned());
        }
        if let Some(rate) = self.frame_rate
            && FrameRate::from_f64(rate).is_none()
        {
            return Err(format!("data.frame_rate is {rate}; it must be above 0 and below 1000000"));
        }
        match &self.images {
            Some(ImagesConfig { share, .. }) if !(*share > 0.0 && *share < 1.0) => {
                Err(format!("data.images.share is {share}; it must be above 0 and below 1"))
            }
            _ => Ok(()),
        }
    }
}

/// Replaces the videos of a `[train]` table by those of `data`: a folder, or a CSV table in the folder of its videos.
///
/// # Errors
/// If the path is not UTF-8, or the key `data` of `train` is not a table.
pub fn take_videos(train: &mut toml::Table, data: &Path) -> Result<(), TrainError> {
    let text = |path: &Path| match path.to_str() {
        Some(text) => Ok(toml::Value::from(text)),
        None => Err(wrong(format!("{}: a configuration cannot hold paths that are not UTF-8", path.display()))),
    };
    let table = train.entry("data").or_insert_with(|| toml::Table::new().into());
    let Some(table) = table.as_table_mut() else { return Err(wrong("data must be a table".to_owned())) };
    table.remove("videos");
    table.remove("table");
    if !data.is_dir() {
        table.insert("table".to_owned(), text(data)?);
    }
    let folder = if data.is_dir() { data } else { data.parent().unwrap_or(Path::new("")) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    table.insert("folder".to_owned(), text(folder)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn videos_of_a_folder_or_a_table_replace_those_of_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("list.csv");
        let taken = |data: &Path| {
            let text = "[data]\nframes = 5\nsize = [16, 16]\nfolder = \"a\"\nvideos = [\"b.mp4\"]\n";
            let mut train: toml::Table = toml::from_str(text).unwrap();
            take_videos(&mut train, data).unwrap();
            train["data"].clone().try_into::<DataConfig>().unwrap()
        };
        let config = taken(folder.path());
        assert_eq!((config.folder.as_deref(), config.table, config.videos), (Some(folder.path()), None, vec![]));
        let config = taken(&table);
        assert_eq!((config.folder.as_deref(), config.table), (Some(folder.path()), Some(table)));
        let config = taken(Path::new("list.csv"));
        assert_eq!((config.folder, config.table), (Some(".".into()), Some("list.csv".into())));
    }

    #[test]
    fn an_invalid_rate_of_images_is_named() {
        let text = "frames = 5\nsize = [16, 16]\nframe_rate = 0.0\n";
        let problem = toml::from_str::<DataConfig>(text).unwrap().check().unwrap_err();
        assert!(problem.contains("data.frame_rate is 0"), "{problem}");
    }
}
