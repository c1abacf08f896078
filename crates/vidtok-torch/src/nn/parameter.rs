//! A parameter of a layer.

use std::ops::Deref;

use tch::Tensor;

/// A tensor whose clones share its memory, so that cloning a layer does not copy its weights.
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
