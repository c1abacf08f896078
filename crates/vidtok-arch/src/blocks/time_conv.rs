//! Convolutions over time that get the frames beside their input from the network's [`Causality`].

use tch::Tensor;
use vidtok_torch::{Conv1d, Conv2d, Conv3d, ConvInit, LayerNorm, ParamPath};

use crate::causality::Causality;
use crate::stream::state::StreamState;

/// A layer between channels-last activations. Clones share the parameters.
pub(crate) trait Layer: Clone + std::fmt::Debug + Send + 'static {
    /// Rows by which the output runs behind the input where frames come in strips.
    const ROW_LAG: i64 = 0;

    /// `[b, t, h, w, c]` to the layer's own shape, in the same layout; empty if nothing is determined yet. The layer
    /// lets go of its input as soon as it can.
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor;

    /// The same of x that `norm` normalises and activates.
    fn forward_normed(&self, norm: &LayerNorm, x: Tensor, state: &mut StreamState) -> Tensor {
        let h = norm.forward_silu(&x);
        drop(x);
        self.forward(h, state)
    }
}

impl Layer for Conv2d {
    const ROW_LAG: i64 = 1;

    fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor {
        match state.extend_rows(x, 1, SAME_ROWS) {
            Ok((x, edges)) => self.forward_between(&x, edges),
            Err(none) => none,
        }
    }

    fn forward_normed(&self, norm: &LayerNorm, x: Tensor, state: &mut StreamState) -> Tensor {
        if state.has_whole_frames() {
            return Conv2d::forward_normed(self, norm, x);
        }
        let h = norm.forward_silu(&x);
        drop(x);
        Layer::forward(self, h, state)
    }
}

/// Rows of zeros above and below the frame, for a 3x3 convolution that keeps the size.
pub(crate) const SAME_ROWS: [i64; 2] = [1, 1];

/// All convolutions over time have this kernel.
pub(crate) const KERNEL: i64 = 3;

/// A kernel-3 convolution of each pixel over time.
#[derive(Clone, Debug)]
pub(crate) struct TimeConv1d {
    conv: Conv1d,
    causality: Causality,
}

impl TimeConv1d {
    pub(crate) fn new(path: &ParamPath, channels: i64, causality: Causality, init: ConvInit) -> Self {
        let config = causality.conv_config(KERNEL, 1);
        Self { conv: Conv1d::new(&causality.conv_path(path), channels, channels, config, init), causality }
    }
}

impl Layer for TimeConv1d {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor {
        let context = self.causality.causal_context(&x, KERNEL, 1, state);
        self.conv.forward_after(&context, &x)
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
        let config = causality.conv_config(KERNEL, 1);
        let conv = Conv3d::new(&causality.conv_path(path), input, output, config, ConvInit::Default);
        Self { conv, causality }
    }

    pub(crate) fn weight(&self) -> &Tensor {
        self.conv.weight()
    }
}

impl Layer for TimeConv3d {
    const ROW_LAG: i64 = 1;

    fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor {
        let context = self.causality.causal_context(&x, KERNEL, 1, state);
        match state.extend_rows_after(context, x, SAME_ROWS) {
            Ok((context, x, edges)) => self.conv.forward_after(&context, &x, edges),
            Err(none) => none,
        }
    }
}
