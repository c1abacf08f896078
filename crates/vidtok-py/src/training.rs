//! Training steps whose gradients torch's autograd takes over.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyAny;
use tch::{Kind, Tensor};

use crate::dlpack::{give, take};
use crate::error::InputError;
use crate::worker::Pool;

/// What a forward pass leaves for the backward pass.
#[pyclass(frozen, module = "vidtok._vidtok")]
pub(crate) struct Graph {
    outputs: Mutex<Option<Outputs>>,
    pool: Pool,
}

pub(crate) struct Outputs {
    pub(crate) reconstruction: Tensor,
    /// The quantizer's loss with its weight.
    pub(crate) loss: Tensor,
    pub(crate) indices: Option<Tensor>,
    pub(crate) parameters: Vec<Tensor>,
}

/// Reconstruction, loss, indices and graph.
pub(crate) type Forward<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>, Graph);

impl Outputs {
    pub(crate) fn give<'py>(self, py: Python<'py>, pool: &Pool) -> PyResult<Forward<'py>> {
        let reconstruction = give(py, &self.reconstruction)?;
        let loss = give(py, &self.loss)?;
        let indices = self.indices.as_ref().map(|indices| give(py, indices)).transpose()?;
        Ok((reconstruction, loss, indices, Graph { outputs: Mutex::new(Some(self)), pool: pool.clone() }))
    }
}

#[pymethods]
impl Graph {
    /// The gradients of the trained parameters, from those of the reconstruction and of the loss. It works once.
    fn backward<'py>(
        &self,
        py: Python<'py>,
        reconstruction: &Bound<'py, PyAny>,
        loss: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (of_reconstruction, of_loss) = (take(reconstruction)?, take(loss)?);
        let outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let outputs = outputs.ok_or_else(|| InputError::new_err("the graph of this step has been used"))?;
        // Not in this thread, which is one of torch's own backward pass.
        let gradients = self.pool.call(py, move |_, _| {
            let sum = (outputs.reconstruction * of_reconstruction).sum(Kind::Float) + outputs.loss * of_loss;
            Ok(Tensor::run_backward(&[sum], &outputs.parameters, false, false))
        });
        gradients?.iter().map(|gradient| give(py, gradient)).collect()
    }
}
