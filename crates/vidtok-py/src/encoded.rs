//! Encoded clips.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyAny;
use tch::Tensor;
use vidtok::{Encoded, Padding};

use crate::dlpack::give;

/// An encoded clip.
#[pyclass(frozen, module = "vidtok._vidtok")]
pub(crate) struct Clip(Mutex<Encoded>);

pub(crate) fn padding((front, back, bottom, right): (i64, i64, i64, i64)) -> Padding {
    Padding { front, back, bottom, right }
}

impl Clip {
    pub(crate) fn new(encoded: Encoded) -> Self {
        Self(Mutex::new(encoded))
    }

    /// The clip, which shares the tensors' memory.
    pub(crate) fn shared(&self) -> Encoded {
        let encoded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let share = |tensor: &Option<Tensor>| tensor.as_ref().map(Tensor::shallow_clone);
        Encoded {
            latent: encoded.latent.shallow_clone(),
            logvar: share(&encoded.logvar),
            indices: share(&encoded.indices),
            padding: encoded.padding,
            window: encoded.window,
            frame_rate: encoded.frame_rate,
            frame_times: encoded.frame_times.clone(),
            pixel_aspect: encoded.pixel_aspect,
        }
    }
}

#[pymethods]
impl Clip {
    #[getter]
    fn latent<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        give(py, &self.shared().latent)
    }

    #[getter]
    fn logvar<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.shared().logvar.map(|logvar| give(py, &logvar)).transpose()
    }

    #[getter]
    fn indices<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.shared().indices.map(|indices| give(py, &indices)).transpose()
    }

    /// Front, back, bottom and right.
    #[getter]
    fn padding(&self) -> (i64, i64, i64, i64) {
        let Padding { front, back, bottom, right } = self.shared().padding;
        (front, back, bottom, right)
    }

    #[getter]
    fn window(&self) -> Option<(i64, i64)> {
        self.shared().window.map(|window| (window.frames, window.overlap))
    }

    /// Frames per second as a fraction.
    #[getter]
    fn frame_rate(&self) -> Option<(u32, u32)> {
        self.shared().frame_rate.map(|rate| rate.fraction())
    }
}
