//! Layer normalisation over channels, with the activation that follows it everywhere in VidTok.

use tch::Tensor;

use crate::{Init, ParamPath};

const EPS: f64 = 1e-6;

/// Layer normalisation over the last axis (arXiv 1607.06450), eps 1e-6.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    /// Parameters `weight` and `bias` of shape `[channels]`, starting at 1 and 0.
    #[must_use]
    pub fn new(path: &ParamPath, channels: i64) -> Self {
        Self {
            weight: path.get("weight", &[channels], Init::Constant(1.0)),
            bias: path.get("bias", &[channels], Init::Constant(0.0)),
        }
    }

    /// Normalises `[..., c]` over c.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), EPS, false)
    }

    /// Normalises `[..., c]` and applies SiLU, y * sigmoid(y).
    pub fn forward_silu(&self, x: &Tensor) -> Tensor {
        let mut y = self.forward(x);
        // In place where no gradient needs y.
        if y.requires_grad() { y.silu() } else { y.silu_() }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn normalised_channels_have_zero_mean_and_unit_variance() {
        tch::manual_seed(0);
        let norm = LayerNorm::new(&ParamPath::fresh(Device::Cpu), 64);
        let x = Tensor::randn([2, 3, 64], (Kind::Float, Device::Cpu)) * 5.0 + 2.0;
        let y = norm.forward(&x);
        assert!(y.mean_dim(-1, false, Kind::Float).abs().max().double_value(&[]) < 1e-5);
        assert!((y.square().mean(Kind::Float).double_value(&[]) - 1.0).abs() < 1e-4);
    }

    #[test]
    fn silu_is_the_same_with_and_without_gradients() {
        tch::manual_seed(0);
        let norm = LayerNorm::new(&ParamPath::fresh(Device::Cpu), 8);
        let x = Tensor::randn([4, 8], (Kind::Float, Device::Cpu));
        let expected = {
            let y = norm.forward(&x);
            &y * y.sigmoid()
        };
        let with_gradients = norm.forward_silu(&x.copy().set_requires_grad(true));
        for y in [norm.forward_silu(&x), with_gradients.detach()] {
            assert!(f64::try_from((y - &expected).abs().max()).unwrap() < 1e-6);
        }
    }
}
