//! Convolutions as layers of a stream. Those over time get the frames before their input from the network's
//! [`Causality`].

use tch::Tensor;
use vidtok_torch::{Conv1d, Conv2d, Conv3d, ConvInit, LayerNorm, ParamPath, Parameter};

use crate::causality::Causality;
use crate::layer::{Layer, forward_after_norm};
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::FootprintWalk;
use crate::stream::state::StreamState;
use crate::stream::strips::SAME_ROWS;

/// Frames of every kernel over time.
pub(crate) const KERNEL_FRAMES: i64 = 3;

/// A convolution that keeps the size, as residual blocks use it.
pub(crate) trait SameConv: Layer {
    /// Frames that a causal network keeps before the next chunk.
    const CONTEXT_FRAMES: i64;

    /// Takes out the bias where what follows adds it faster, see [`Conv2d::defer_bias`].
    fn defer_bias(self) -> (Self, Option<Parameter>);
}

impl SameConv for Conv2d {
    const CONTEXT_FRAMES: i64 = 0;

    fn defer_bias(self) -> (Self, Option<Parameter>) {
        Conv2d::defer_bias(self)
    }
}

impl Layer for Conv2d {
    const ROW_LAG: i64 = 1;

    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let (x, edges) = state.extend_rows(x, 1, SAME_ROWS)?;
        Some(self.forward_rows(&x, edges))
    }

    fn forward_normed(&self, norm: &LayerNorm, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        if state.has_whole_frames() {
            return Some(Conv2d::forward_normed(self, norm, x));
        }
        forward_after_norm(self, norm, x, state)
    }
}

/// A convolution of each pixel over three frames.
#[derive(Clone, Debug)]
pub(crate) struct TimeConv1d {
    conv: Conv1d,
    causality: Causality,
}

impl TimeConv1d {
    pub(crate) fn new(path: &ParamPath, channels: i64, causality: Causality, init: ConvInit) -> Self {
        let config = causality.conv_config(KERNEL_FRAMES, 1);
        Self { conv: Conv1d::new(&causality.conv_path(path), channels, channels, config, init), causality }
    }
}

impl SameConv for TimeConv1d {
    const CONTEXT_FRAMES: i64 = Causality::context_frames(KERNEL_FRAMES, 1);

    fn defer_bias(self) -> (Self, Option<Parameter>) {
        let (conv, bias) = self.conv.defer_bias();
        (Self { conv, ..self }, bias)
    }
}

impl Layer for TimeConv1d {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let context = self.causality.causal_context(&x, KERNEL_FRAMES, 1, state);
        Some(self.conv.forward_after(&context, &x))
    }

    fn forward_normed(&self, norm: &LayerNorm, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        if let Some(whole) = self.causality.extend_normed(norm, &x, KERNEL_FRAMES, 1, state) {
            drop(x);
            return Some(self.conv.forward(&whole));
        }
        forward_after_norm(self, norm, x, state)
    }
}

/// A 3x3x3 convolution.
#[derive(Clone, Debug)]
pub(crate) struct TimeConv3d {
    conv: Conv3d,
    causality: Causality,
}

impl TimeConv3d {
    pub(crate) fn new(path: &ParamPath, input: i64, output: i64, causality: Causality) -> Self {
        Self::with_init(path, [input, output], causality, ConvInit::Default)
    }

    pub(crate) fn with_init(path: &ParamPath, [input, output]: [i64; 2], causality: Causality, init: ConvInit) -> Self {
        let config = causality.conv_config(KERNEL_FRAMES, 1);
        Self { conv: Conv3d::new(&causality.conv_path(path), input, output, config, init), causality }
    }

    pub(crate) fn weight(&self) -> &Tensor {
        self.conv.weight()
    }

    /// Follows a forward pass to `output` channels without gradients.
    pub(crate) fn footprint(walk: &mut FootprintWalk, output: i64) {
        walk.keep(Self::CONTEXT_FRAMES);
        let input = walk.activation();
        let extended = input + walk.context(Self::CONTEXT_FRAMES) + walk.edge_rows();
        walk.channels = output;
        // The input and the same with the frames and rows beside it; then that and the output.
        walk.hold(extended + input.max(walk.activation()));
    }

    /// Adds what autograd saves of a forward pass to `output` channels: the input.
    pub(crate) fn activations(walk: &mut ActivationWalk, output: i64) {
        walk.save(walk.activation());
        walk.channels = output;
    }
}

impl SameConv for TimeConv3d {
    const CONTEXT_FRAMES: i64 = Causality::context_frames(KERNEL_FRAMES, 1);

    fn defer_bias(self) -> (Self, Option<Parameter>) {
        let (conv, bias) = self.conv.defer_bias();
        (Self { conv, ..self }, bias)
    }
}

impl Layer for TimeConv3d {
    const ROW_LAG: i64 = 1;

    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let context = self.causality.causal_context(&x, KERNEL_FRAMES, 1, state);
        let (context, x, edges) = state.extend_rows_after(context, x, SAME_ROWS)?;
        Some(self.conv.forward_after(&context, &x, edges))
    }

    fn forward_normed(&self, norm: &LayerNorm, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        if state.has_whole_frames()
            && let Some(whole) = self.causality.extend_normed(norm, &x, KERNEL_FRAMES, 1, state)
        {
            drop(x);
            return Some(self.conv.forward(&whole));
        }
        forward_after_norm(self, norm, x, state)
    }
}
