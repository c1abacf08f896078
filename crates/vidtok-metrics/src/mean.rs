//! The mean of values that come bit by bit.

use tch::{Kind, Tensor};

/// A running mean, summed in double precision.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    /// Takes all values of a tensor.
    pub(crate) fn add(&mut self, values: &Tensor) {
        self.sum += values.sum(Kind::Double).double_value(&[]);
        self.count += values.numel();
    }

    /// The mean of all that came; `None` before the first.
    pub(crate) fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}
