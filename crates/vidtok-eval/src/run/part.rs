//! What was measured of one video by one codec, as a file: a run that was stopped goes on from these.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use vidtok_data::FileStamp;
use vidtok_metrics::CodebookUse;
use vidtok_torch::{TensorFile, write_tensors};

use crate::error::EvalError;
use crate::run::metric_set::Measures;
use crate::run::metric_set::MetricKind;

const ABOUT: &str = "about";
const BORDERS: &str = "borders";
const CODES: &str = "codes";
const FEATURES: [&str; 2] = ["features.input", "features.reconstruction"];

/// What a part tells of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    /// What determines the numbers: video, codec, protocol.
    pub(crate) stamp: String,
    /// Frames of the video that were taken.
    pub(crate) frames: usize,
    /// Their rate.
    pub(crate) fps: f64,
    /// Windows, or pieces of a whole video, that were measured.
    pub(crate) windows: usize,
    /// Pixels that were coded, repeated frames among them.
    pub(crate) pixels: f64,
    /// Bits that they took.
    pub(crate) bits: Option<f64>,
    /// Seconds that the codec took.
    pub(crate) seconds: f64,
}

/// One video, one codec.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) about: About,
    pub(crate) measures: Measures,
}

impl Part {
    pub(crate) fn write(&self, path: &Path) -> Result<(), EvalError> {
        let measures = &self.measures;
        let mut tensors: Vec<(&str, Tensor)> =
            measures.series.iter().map(|(kind, values)| (kind.key(), Tensor::from_slice(values))).collect();
        tensors.push((BORDERS, Tensor::from_slice(&measures.borders)));
        let codes: Vec<i64> = measures.codes.counts().flat_map(|(code, count)| [code, count as i64]).collect();
        tensors.push((CODES, Tensor::from_slice(&codes).view([-1, 2])));
        if let Some(features) = &measures.features {
            tensors.extend(FEATURES.into_iter().zip(features.iter().map(|x| x.to_device(Device::Cpu))));
        }
        let about = serde_json::to_string(&self.about).unwrap_or_default();
        write_tensors(path, tensors.iter().map(|(name, tensor)| (*name, tensor)), [(ABOUT, about)])?;
        Ok(())
    }

    /// The part in a file, if it is whole and of this stamp.
    pub(crate) fn read(path: &Path, stamp: &str) -> Option<Self> {
        let file = TensorFile::open(path).ok()?;
        let about: About = serde_json::from_str(file.metadata(ABOUT)?).ok()?;
        if about.stamp != stamp {
            return None;
        }
        let values = |name: &str| Vec::<f64>::try_from(file.tensor(name).ok()?).ok();
        let mut measures = Measures { borders: values(BORDERS)?, ..Measures::default() };
        for kind in MetricKind::ALL {
            if file.contains(kind.key()) {
                measures.series.insert(kind, values(kind.key())?);
            }
        }
        let codes = Vec::<i64>::try_from(file.tensor(CODES).ok()?.flatten(0, -1)).ok()?;
        measures.codes = CodebookUse::from_counts(codes.chunks_exact(2).map(|pair| (pair[0], pair[1] as u64)));
        if FEATURES.iter().all(|name| file.contains(name)) {
            let [x, y] = FEATURES.map(|name| file.tensor(name).map(|x| x.to_kind(Kind::Float)));
            measures.features = Some([x.ok()?, y.ok()?]);
        }
        Some(Self { about, measures })
    }
}

/// What tells one state of a file from another.
pub(crate) fn file_state(path: &Path) -> String {
    FileStamp::at(path).map_or_else(|_| String::new(), |file| format!("{} {}", file.size, file.mtime_ns))
}
