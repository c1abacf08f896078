//! The protocol of an evaluation: two tables can be compared only if their protocols are equal.

use std::fs::File;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vidtok_core::FrameRate;
use vidtok_data::{InputOptions, Preparation, ReadOptions};
use vidtok_metrics::MetricKind;

use crate::error::EvalError;

/// How videos are read, coded and measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// Frames per second, approximated by taking every n-th frame; `None` for the rate of each video.
    pub sample_fps: Option<f64>,
    /// `[height, width]`: frames are resized so that they cover it (bilinear, antialiased), then cropped in the middle.
    pub size: [i64; 2],
    /// Whether videos are coded whole rather than in windows of the codec's length.
    pub long: bool,
    /// The most frames to read from the start of each video.
    pub max_frames: Option<usize>,
    /// How pixels are decoded.
    #[serde(default)]
    pub read: ReadOptions,
    /// The metrics to measure.
    pub metrics: Vec<MetricKind>,
    /// Frames per second of a folder of images; 25 if `None`.
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

/// The SHA-256 of a file in hexadecimal.
pub(crate) fn file_sha256(path: &Path) -> Result<String, EvalError> {
    let mut hash = Sha256::new();
    File::open(path).and_then(|mut file| io::copy(&mut file, &mut hash)).map_err(EvalError::file(path))?;
    Ok(format!("{:x}", hash.finalize()))
}
