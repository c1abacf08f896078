//! Halving and doubling the number of frames, as a learned blend of a plain resampling and a convolution:
//! a * plain + (1 - a) * conv, with a = sigmoid(mix_factor).

use tch::{Kind, Tensor};
use vidtok_torch::{CausalContext, Conv3d, ConvInit, Init, ParamPath, Parameter};

use crate::blocks::interpolate::{self, interpolate};
use crate::blocks::time_conv::KERNEL_FRAMES;
use crate::causality::Causality;
use crate::layer::Layer;
use crate::memory::MemoryModel;
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::FootprintWalk;
use crate::stream::state::StreamState;
use crate::stream::strips::SAME_ROWS;

/// The blend starts at sigmoid(2) = 0.88 of the plain resampling.
fn mix_factor(path: &ParamPath) -> Parameter {
    path.get("mix_factor", &[1], Init::Constant(2.0)).into()
}

/// A blend, whose factor 1 - a is folded into the convolution's parameters, so that gradients do not need the
/// convolution's output.
struct Blend {
    conv: Conv3d,
    /// a, the weight of the plain resampling.
    alpha: Tensor,
}

impl Blend {
    fn new(conv: &Conv3d, mix_factor: &Tensor) -> Self {
        let alpha = mix_factor.sigmoid();
        // In half precision, 1 - a has few digits, while all frames need weights whose sum is 1.
        Self { conv: conv.scaled(&(1.0 - alpha.to_kind(Kind::Float))), alpha }
    }

    /// a * plain + `convolved`.
    fn add(&self, plain: &Tensor, mut convolved: Tensor) -> Tensor {
        let alpha = self.alpha.to_kind(convolved.kind());
        if convolved.requires_grad() { convolved.addcmul(plain, &alpha) } else { convolved.addcmul_(plain, &alpha) }
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
    const STRIDE: i64 = 2;
    /// Frames that a causal network keeps before the next chunk.
    const CONTEXT_FRAMES: i64 = Causality::context_frames(KERNEL_FRAMES, Self::STRIDE);

    pub(crate) fn new(path: &ParamPath, channels: i64, causality: Causality) -> Self {
        let conv_path = causality.conv_path(&path.sub("conv"));
        let config = causality.conv_config(KERNEL_FRAMES, Self::STRIDE);
        Self {
            conv: Conv3d::new(&conv_path, channels, channels, config, ConvInit::Default),
            mix_factor: mix_factor(path),
            causality,
        }
    }
}

impl Layer for TemporalDownsample {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let x = self.causality.extend(x, KERNEL_FRAMES, Self::STRIDE, state);
        let every_second = |start| x.slice(1, start, x.size()[1] - (KERNEL_FRAMES - 1 - start), Self::STRIDE);
        let mean =
            (every_second(0) + every_second(1)).g_add_(&every_second(2)).g_mul_scalar_(1.0 / KERNEL_FRAMES as f64);
        let mean = state.delay_rows(mean, 1);
        let (x, edges) = state.extend_rows(x, 1, SAME_ROWS)?;
        let blend = Blend::new(&self.conv, &self.mix_factor);
        Some(blend.add(&mean?, blend.conv.forward_after(&CausalContext::NONE, &x, edges)))
    }
}

impl MemoryModel for TemporalDownsample {
    fn footprint(walk: &mut FootprintWalk) {
        walk.keep(Self::CONTEXT_FRAMES);
        // The input, the same with the frame before it, the mean and the convolution's output.
        let x = walk.activation();
        walk.hold(2 * x + walk.context(Self::CONTEXT_FRAMES) + walk.edge_rows());
        walk.halve_time();
    }

    fn activations(walk: &mut ActivationWalk) {
        walk.save(walk.activation());
        walk.halve_time();
    }
}

/// Twice the frames, and a 3x3x3 convolution of them.
#[derive(Clone, Debug)]
pub(crate) struct TemporalUpsample {
    conv: Conv3d,
    mix_factor: Parameter,
    causality: Causality,
    /// Temporal upsampling layers before this one, which have doubled the frames already.
    earlier_doublings: usize,
}

impl TemporalUpsample {
    /// Different frames that the kernel covers among repeated frames.
    const REPEATED_KERNEL_FRAMES: i64 = KERNEL_FRAMES - 1;
    /// Frames that a causal network keeps before the convolution of repeated frames.
    const REPEATED_CONTEXT_FRAMES: i64 = Causality::context_frames(Self::REPEATED_KERNEL_FRAMES, 1);
    /// Frames that a causal network keeps before the convolution of interpolated frames.
    const INTERPOLATED_CONTEXT_FRAMES: i64 = Causality::context_frames(KERNEL_FRAMES, 1);

    /// `earlier_doublings` counts the decoder's temporal upsampling layers that run before this one.
    pub(crate) fn new(path: &ParamPath, channels: i64, causality: Causality, earlier_doublings: usize) -> Self {
        let conv_path = causality.conv_path(&path.sub("conv"));
        let config = causality.conv_config(KERNEL_FRAMES, 1);
        Self {
            conv: Conv3d::new(&conv_path, channels, channels, config, ConvInit::Default),
            mix_factor: mix_factor(path),
            causality,
            earlier_doublings,
        }
    }

    /// Repeats each frame, without making the repeated frames for the convolution.
    fn forward_nearest(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let blend = Blend::new(&self.conv, &self.mix_factor);
        let plain = state.delay_rows(x.shallow_clone(), 1);
        let context = self.causality.causal_context(&x, Self::REPEATED_KERNEL_FRAMES, 1, state);
        let (context, x, edges) = state.extend_rows_after(context, x, SAME_ROWS)?;
        let upsampled = blend.conv.forward_upsampled(&context, &x, edges);
        drop(x);
        let pairs = upsampled.unflatten(1, [-1, 2]);
        Some(blend.add(&plain?.unsqueeze(2), pairs).flatten(1, 2))
    }

    /// Interpolates between frames.
    fn forward_linear(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let blend = Blend::new(&self.conv, &self.mix_factor);
        let x = interpolate(x, self.earlier_doublings, state)?;
        let plain = state.delay_rows(x.shallow_clone(), 1);
        let context = self.causality.causal_context(&x, KERNEL_FRAMES, 1, state);
        let (context, x, edges) = state.extend_rows_after(context, x, SAME_ROWS)?;
        Some(blend.add(&plain?, blend.conv.forward_after(&context, &x, edges)))
    }
}

impl Layer for TemporalUpsample {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        match self.causality.upsamples_nearest() {
            true => self.forward_nearest(x, state),
            false => self.forward_linear(x, state),
        }
    }
}

impl MemoryModel for TemporalUpsample {
    fn footprint(walk: &mut FootprintWalk) {
        let x = walk.activation() + walk.edge_rows();
        if walk.causality.upsamples_nearest() {
            walk.keep(Self::REPEATED_CONTEXT_FRAMES);
            // The input, the same with the frame before it, both frames of each pair; then these and all frames joined.
            walk.hold(4 * x + walk.context(Self::REPEATED_CONTEXT_FRAMES));
        } else {
            walk.keep(interpolate::KEPT_FRAMES + Self::INTERPOLATED_CONTEXT_FRAMES);
            // Frames with those that were kept, and one more at both ends; blends with the frames before and after;
            // and both joined.
            walk.hold((5 * (walk.t() + interpolate::KEPT_FRAMES) + 2) * x / walk.t().max(1));
        }
        walk.double_time();
    }

    fn activations(walk: &mut ActivationWalk) {
        let x = walk.activation();
        // The plain resampling and the convolution's input. Repeated frames are never made, interpolated ones are.
        walk.save(if walk.causality.upsamples_nearest() { 2 * x } else { 4 * x });
        walk.double_time();
    }
}
