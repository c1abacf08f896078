//! Halving and doubling the number of frames, as a learned blend of a plain resampling and a convolution:
//! a * plain + (1 - a) * conv, with a = sigmoid(mix_factor).

use tch::Tensor;
use vidtok_torch::{CausalContext, Conv3d, ConvInit, Init, ParamPath, Parameter};

use crate::blocks::interpolate::interpolate;
use crate::blocks::time_conv::{KERNEL, Layer, SAME_ROWS};
use crate::causality::Causality;
use crate::stream::state::StreamState;

/// The blend starts at sigmoid(2) = 0.88 of the plain resampling.
fn mix_factor(path: &ParamPath) -> Parameter {
    path.get("mix_factor", &[1], Init::Constant(2.0)).into()
}

/// A blend: the layer has (1 - a) in its parameters, so that gradients need nothing of its output.
struct Blend {
    conv: Conv3d,
    share: Tensor,
}

impl Blend {
    fn new(conv: &Conv3d, mix_factor: &Tensor) -> Self {
        let share = mix_factor.sigmoid();
        Self { conv: conv.scaled(&(1.0 - &share)), share }
    }

    /// a * plain + `convolved`.
    fn add(&self, plain: &Tensor, mut convolved: Tensor) -> Tensor {
        let share = self.share.to_kind(convolved.kind());
        if convolved.requires_grad() { convolved.addcmul(plain, &share) } else { convolved.addcmul_(plain, &share) }
    }
}

/// The mean of three frames, and a 3x3x3 convolution, both with stride 2 in time.
#[derive(Clone, Debug)]
pub(crate) struct TemporalDownsample {
    conv: Conv3d,
    mix_factor: Parameter,
    causality: Causality,
}

impl TemporalDownsample {
    pub(crate) fn new(path: &ParamPath, channels: i64, causality: Causality) -> Self {
        let conv_path = causality.conv_path(&path.sub("conv"));
        let config = causality.conv_config(KERNEL, 2);
        Self {
            conv: Conv3d::new(&conv_path, channels, channels, config, ConvInit::Default),
            mix_factor: mix_factor(path),
            causality,
        }
    }
}

impl Layer for TemporalDownsample {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor {
        let x = self.causality.extend(x, KERNEL, 2, state);
        let every_second = |start| x.slice(1, start, x.size()[1] - (KERNEL - 1 - start), 2);
        let mean = (every_second(0) + every_second(1)).g_add_(&every_second(2)).g_mul_scalar_(1.0 / KERNEL as f64);
        let mean = state.delay_rows(mean, 1);
        let (x, edges) = match state.extend_rows(x, 1, SAME_ROWS) {
            Ok(extended) => extended,
            Err(none) => return none,
        };
        let blend = Blend::new(&self.conv, &self.mix_factor);
        blend.add(&mean, blend.conv.forward_after(&CausalContext::NONE, &x, edges))
    }
}

/// Twice the frames, and a 3x3x3 convolution of them.
#[derive(Clone, Debug)]
pub(crate) struct TemporalUpsample {
    conv: Conv3d,
    mix_factor: Parameter,
    causality: Causality,
    stage: usize,
}

impl TemporalUpsample {
    /// `stage` counts the decoder's temporal upsamplings from 0, in the order of the forward pass.
    pub(crate) fn new(path: &ParamPath, channels: i64, causality: Causality, stage: usize) -> Self {
        let conv_path = causality.conv_path(&path.sub("conv"));
        let config = causality.conv_config(KERNEL, 1);
        Self {
            conv: Conv3d::new(&conv_path, channels, channels, config, ConvInit::Default),
            mix_factor: mix_factor(path),
            causality,
            stage,
        }
    }
}

impl Layer for TemporalUpsample {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor {
        let blend = Blend::new(&self.conv, &self.mix_factor);
        if self.causality.upsamples_nearest() {
            let plain = state.delay_rows(x.shallow_clone(), 1);
            let context = self.causality.causal_context(&x, KERNEL - 1, 1, state);
            let (context, x, edges) = match state.extend_rows_after(context, x, SAME_ROWS) {
                Ok(extended) => extended,
                Err(none) => return none,
            };
            let upsampled = blend.conv.forward_upsampled(&context, &x, edges);
            drop(x);
            let pairs = upsampled.unflatten(1, [-1, 2]);
            return blend.add(&plain.unsqueeze(2), pairs).flatten(1, 2);
        }
        let x = interpolate(x, self.stage, state);
        if x.size()[1] == 0 {
            return x; // all of the chunk waits for the next one
        }
        let plain = state.delay_rows(x.shallow_clone(), 1);
        let context = self.causality.causal_context(&x, KERNEL, 1, state);
        let (context, x, edges) = match state.extend_rows_after(context, x, SAME_ROWS) {
            Ok(extended) => extended,
            Err(none) => return none,
        };
        blend.add(&plain, blend.conv.forward_after(&context, &x, edges))
    }
}
