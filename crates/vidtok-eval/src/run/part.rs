//! The results of one codec on one video as a file, from which a stopped evaluation resumes.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};
use vidtok_data::FileStamp;
use vidtok_metrics::{CodebookUse, MetricResults};
use vidtok_torch::{TensorFile, write_tensors};

use crate::error::EvalError;

/// The metadata key of [`About`].
const ABOUT: &str = "about";
/// Codes and their counts, int64 `[n, 2]`.
const CODES: &str = "codes";

/// The facts about a part, stored as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    /// Everything that determines the numbers: video, codec, protocol.
    pub(crate) stamp: String,
    /// Frames read from the video.
    pub(crate) frames: usize,
    /// Frames per second.
    pub(crate) fps: f64,
    /// Windows, or chunks of a whole video, that were measured.
    pub(crate) windows: usize,
    /// Pixels that were coded, repeated frames included.
    pub(crate) pixels: f64,
    /// Bits of the codec's output.
    pub(crate) bits: Option<f64>,
    /// Seconds that the codec took.
    pub(crate) seconds: f64,
}

/// One video by one codec.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) about: About,
    pub(crate) results: MetricResults,
}

impl Part {
    /// Writes the file, completely or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<(), EvalError> {
        let MetricResults { samples, codes } = &self.results;
        let codes: Vec<i64> = codes.counts().flat_map(|(code, count)| [code, count as i64]).collect();
        let codes = (CODES, Tensor::from_slice(&codes).view([-1, 2]));
        let samples = samples.iter().map(|(name, samples)| (name.as_str(), samples.to_device(Device::Cpu)));
        let tensors: Vec<(&str, Tensor)> = samples.chain([codes]).collect();
        let about = serde_json::to_string(&self.about).unwrap_or_default();
        write_tensors(path, tensors.iter().map(|(name, tensor)| (*name, tensor)), [(ABOUT, about)])?;
        Ok(())
    }

    /// Reads the file if it is complete and has this stamp.
    pub(crate) fn read(path: &Path, stamp: &str) -> Option<Self> {
        let file = TensorFile::open(path).ok()?;
        let about: About = serde_json::from_str(file.metadata(ABOUT)?).ok()?;
        if about.stamp != stamp {
            return None;
        }
        let mut samples = file.tensors().ok()?;
        let codes = Vec::<i64>::try_from(samples.remove(CODES)?.flatten(0, -1)).ok()?;
        let codes = CodebookUse::from_counts(codes.chunks_exact(2).map(|pair| (pair[0], pair[1] as u64)));
        Some(Self { about, results: MetricResults { samples, codes } })
    }
}

/// A text that changes when a file changes.
pub(crate) fn file_state(path: &Path) -> String {
    FileStamp::at(path).map_or_else(|_| String::new(), |file| format!("{} {}", file.size, file.mtime_ns))
}
