//! Batch normalisation (arXiv 1502.03167) in training.

use tch::Tensor;
use vidtok_torch::{Init, ParamPath};

/// Weight of a batch in the running statistics.
const MOMENTUM: f64 = 0.1;
const EPS: f64 = 1e-5;

/// Normalises each channel by the statistics of the batch, and keeps running ones as the published state does.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl BatchNorm {
    /// Gains start from N(1, `std`).
    pub(crate) fn new(path: &ParamPath, channels: i64, std: f64) -> Self {
        Self {
            weight: path.get("weight", &[channels], Init::Normal { mean: 1.0, std }),
            bias: path.get("bias", &[channels], Init::Constant(0.0)),
            running_mean: path.buffer("running_mean", &[channels], Init::Constant(0.0)),
            running_var: path.buffer("running_var", &[channels], Init::Constant(1.0)),
        }
    }

    /// `[n, c, ...]` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let [weight, bias] = [&self.weight, &self.bias].map(Some);
        let [mean, var] = [&self.running_mean, &self.running_var].map(Some);
        x.batch_norm(weight, bias, mean, var, true, MOMENTUM, EPS, true)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn a_batch_is_normalised_by_itself_and_counted_into_the_running_statistics() {
        tch::manual_seed(0);
        let norm = BatchNorm::new(&ParamPath::fresh(Device::Cpu), 2, 0.0);
        let x = Tensor::randn([8, 2, 6, 6], (Kind::Float, Device::Cpu)) * 3.0 + 5.0;
        let y = norm.forward(&x);
        let axes = [0_i64, 2, 3];
        assert!(y.mean_dim(axes.as_slice(), false, Kind::Float).abs().max().double_value(&[]) < 1e-5);
        let mean = x.mean_dim(axes.as_slice(), false, Kind::Float);
        assert!((&norm.running_mean - mean * 0.1).abs().max().double_value(&[]) < 1e-5);
    }
}
