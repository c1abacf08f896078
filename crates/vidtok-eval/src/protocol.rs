//! What an evaluation did, exactly: without it two tables cannot be compared.

use std::fs::File;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vidtok_core::FrameRate;
use vidtok_data::{InputOptions, Preparation, ReadOptions};

use crate::error::EvalError;
use crate::run::metric_set::MetricKind;

/// How videos are taken and measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// Frames per second that are come close to by taking every n-th; `None`: the videos' own.
    pub sample_fps: Option<f64>,
    /// `[height, width]`: the shorter side is resized to the height (bilinear, antialiased), the middle cut out.
    pub size: [i64; 2],
    /// Whether videos are coded whole instead of in windows of the codec's own length.
    pub long: bool,
    /// Frames from the start of each video that are taken at most.
    pub max_frames: Option<usize>,
    /// How pixels are read.
    #[serde(default)]
    pub read: ReadOptions,
    /// What is measured.
    pub metrics: Vec<MetricKind>,
    /// Images of a folder of frames that are shown in a second; `None`: 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_rate: Option<f64>,
}

impl Default for Protocol {
    /// The published protocol: 30 fps, 256x256, windows.
    fn default() -> Self {
        let metrics = MetricKind::DEFAULT.to_vec();
        Self {
            sample_fps: Some(30.0),
            size: [256, 256],
            long: false,
            max_frames: None,
            read: ReadOptions::default(),
            metrics,
            frame_rate: None,
        }
    }
}

impl Protocol {
    pub(crate) fn preparation(&self) -> Preparation {
        let Self { sample_fps, max_frames, read, .. } = *self;
        let frame_rate = self.frame_rate.and_then(FrameRate::from_f64).unwrap_or(InputOptions::FRAME_RATE);
        let input = InputOptions { frame_rate, read, ..InputOptions::default() };
        Preparation { sample_fps, max_frames, input, ..Preparation::fit(self.size) }
    }
}

/// The sha256 of a file, hexadecimal.
pub(crate) fn file_sha256(path: &Path) -> Result<String, EvalError> {
    let mut hash = Sha256::new();
    File::open(path).and_then(|mut file| io::copy(&mut file, &mut hash)).map_err(EvalError::file(path))?;
    Ok(format!("{:x}", hash.finalize()))
}
