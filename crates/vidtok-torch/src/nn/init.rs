//! Initialisers of parameters, equal to those of PyTorch's modules.

use tch::{Device, Kind, Tensor};

/// The initial value of a parameter that is not loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All elements have this value.
    Constant(f64),
    /// Uniform in [-bound, bound), from libtorch's global generator.
    Uniform {
        /// The bound.
        bound: f64,
    },
    /// Normal, from libtorch's global generator.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
    },
}

impl Init {
    /// PyTorch's default for the weight and the bias of convolutions and linear layers: uniform with bound
    /// 1 / sqrt(fan_in). (For the weight, this equals `kaiming_uniform_` with a = sqrt(5).)
    ///
    /// `weight_shape` is `[out, in, kernel...]`.
    #[must_use]
    pub fn fan_in(weight_shape: &[i64]) -> Self {
        let fan_in: i64 = weight_shape.iter().skip(1).product();
        Self::Uniform { bound: 1.0 / (fan_in.max(1) as f64).sqrt() }
    }

    /// Creates a float32 tensor, always on the CPU, so that a seed produces the same values on every device.
    pub fn tensor(self, shape: &[i64]) -> Tensor {
        let options = (Kind::Float, Device::Cpu);
        match self {
            Self::Constant(value) => Tensor::full(shape, value, options),
            Self::Uniform { bound } => Tensor::empty(shape, options).uniform_(-bound, bound),
            Self::Normal { mean, std } => Tensor::empty(shape, options).normal_(mean, std),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fan_in_init_has_the_variance_of_pytorch_default() {
        tch::manual_seed(0);
        let shape = [64, 32, 3, 3];
        let weight = Init::fan_in(&shape).tensor(&shape);
        let bound = 1.0 / (32.0_f64 * 9.0).sqrt();
        assert!(weight.abs().max().double_value(&[]) <= bound);
        let variance = weight.var(false).double_value(&[]);
        assert!((variance / (bound * bound / 3.0) - 1.0).abs() < 0.03, "{variance}");
    }
}
