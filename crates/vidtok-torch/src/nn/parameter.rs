//! A parameter as layers hold it.

use std::ops::Deref;

use tch::Tensor;

/// A tensor whose clones share its memory, so that a layer can be cloned without being copied.
#[derive(Debug)]
pub struct Parameter(Tensor);

impl From<Tensor> for Parameter {
    fn from(tensor: Tensor) -> Self {
        Self(tensor)
    }
}

impl Clone for Parameter {
    fn clone(&self) -> Self {
        Self(self.0.shallow_clone())
    }
}

impl Deref for Parameter {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.0
    }
}
