//! Halving and doubling the number of frames, as a learned blend of a plain resampling and a convolution:
//! a * plain + (1 - a) * conv, with a = sigmoid(mix_factor).

use tch::Tensor;
use vidtok_torch::{Conv3d, ConvInit, Init, ParamPath};

use crate::time_conv::{Layer, TimeConv3d};
use crate::{Causality, TimeState};

const KERNEL: i64 = 3;

/// The blend starts at sigmoid(2) = 0.88 of the plain resampling.
fn mix_factor(path: &ParamPath) -> Tensor {
    path.get("mix_factor", &[1], Init::Constant(2.0))
}

fn blend(plain: &Tensor, conv: &Tensor, mix_factor: &Tensor) -> Tensor {
    conv.lerp_tensor(plain, &mix_factor.sigmoid())
}

/// The mean of three frames, and a 3x3x3 convolution, both with stride 2 in time.
#[derive(Debug)]
pub(crate) struct TemporalDownsample {
    conv: Conv3d,
    mix_factor: Tensor,
    causality: Causality,
}

impl TemporalDownsample {
    pub(crate) fn new(path: &ParamPath, channels: i64, causality: Causality) -> Self {
        let conv_path = causality.conv_path(&path.sub("conv"));
        let geometry = causality.geometry(KERNEL, 2);
        Self {
            conv: Conv3d::new(&conv_path, channels, channels, geometry, ConvInit::Default),
            mix_factor: mix_factor(path),
            causality,
        }
    }
}

impl Layer for TemporalDownsample {
    fn forward(&self, x: &Tensor, state: &mut TimeState) -> Tensor {
        let x = self.causality.extend(x, KERNEL, 2, state);
        let every_second = |start| x.slice(1, start, x.size()[1] - (KERNEL - 1 - start), 2);
        let mean = (every_second(0) + every_second(1)).g_add_(&every_second(2)).g_mul_scalar_(1.0 / KERNEL as f64);
        blend(&mean, &self.conv.forward(&x), &self.mix_factor)
    }
}

/// Twice the frames, and a 3x3x3 convolution of them.
#[derive(Debug)]
pub(crate) struct TemporalUpsample {
    conv: TimeConv3d,
    mix_factor: Tensor,
    causality: Causality,
    doubling: usize,
}

impl TemporalUpsample {
    /// `doubling` counts the decoder's doublings from 0, in the order of the forward pass.
    pub(crate) fn new(path: &ParamPath, channels: i64, causality: Causality, doubling: usize) -> Self {
        Self {
            conv: TimeConv3d::new(&path.sub("conv"), channels, channels, causality),
            mix_factor: mix_factor(path),
            causality,
            doubling,
        }
    }
}

impl Layer for TemporalUpsample {
    fn forward(&self, x: &Tensor, state: &mut TimeState) -> Tensor {
        let doubled = self.causality.double(x, self.doubling, state);
        if doubled.size()[1] == 0 {
            return doubled; // all of the chunk waits for the next one
        }
        blend(&doubled, &self.conv.forward(&doubled, state), &self.mix_factor)
    }
}
