//! Reading token datasets.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyAny;
use vidtok_data::VideoList;
use vidtok_tokenize::{Dataset, Shard, Tokens, shards};

use crate::dlpack::give;
use crate::error::{DatasetError, Raise};

/// The shards of a dataset's folder, and its settings as JSON.
#[pyfunction]
pub(crate) fn open_dataset(folder: PathBuf) -> PyResult<(Vec<PathBuf>, String)> {
    let dataset = Dataset::open(&folder).map_err(Raise::raise)?;
    let settings = serde_json::to_string(&dataset).map_err(|error| DatasetError::new_err(error.to_string()))?;
    Ok((shards(&folder, &dataset).map_err(Raise::raise)?, settings))
}

/// The videos of a folder, relative to it, in the order in which they are tokenized.
#[pyfunction]
pub(crate) fn list_videos(folder: PathBuf) -> PyResult<Vec<PathBuf>> {
    let VideoList { root, videos, .. } =
        vidtok_data::list_videos(&folder).map_err(|error| DatasetError::new_err(error.to_string()))?;
    Ok(videos.iter().map(|video| video.strip_prefix(&root).unwrap_or(video).to_owned()).collect())
}

/// A file of a dataset.
#[pyclass(frozen, module = "vidtok._vidtok")]
pub(crate) struct TokenShard(Mutex<Shard>);

#[pymethods]
impl TokenShard {
    /// Opens the file of the dataset in `folder`.
    #[new]
    fn open(folder: PathBuf, path: PathBuf) -> PyResult<Self> {
        let dataset = Dataset::open(folder).map_err(Raise::raise)?;
        Ok(Self(Mutex::new(Shard::open(path, dataset.latent).map_err(Raise::raise)?)))
    }

    /// What is known of each video, as JSON.
    fn videos(&self) -> PyResult<Vec<String>> {
        let shard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entries: Result<_, _> = shard.videos().map(serde_json::to_string).collect();
        entries.map_err(|error| DatasetError::new_err(error.to_string()))
    }

    /// `count` latent frames of a video from `start` on: the indices, or the means and the log-variances.
    fn tokens<'py>(&self, py: Python<'py>, index: usize, start: i64, count: i64) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let tokens = py.detach(|| {
            let shard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            shard.tokens(index, start, count)
        });
        match tokens.map_err(Raise::raise)? {
            Tokens::Indices(indices) => Ok(vec![give(py, &indices)?]),
            Tokens::Moments { mean, logvar } => Ok(vec![give(py, &mean)?, give(py, &logvar)?]),
        }
    }
}
