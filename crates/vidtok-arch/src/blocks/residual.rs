//! The residual block, for whatever convolution: x + conv2(act(norm2(conv1(act(norm1(x)))))).

use tch::Tensor;
use vidtok_torch::{Conv2d, ConvInit, LayerNorm, ParamPath, Pointwise, add};

use crate::blocks::time_conv::{Layer, TimeConv1d, TimeConv3d};
use crate::causality::Causality;
use crate::stream::state::StreamState;
use crate::stream::state::is_empty;

/// A residual block with convolutions `C`.
#[derive(Clone, Debug)]
pub(crate) struct Residual<C> {
    norm1: LayerNorm,
    conv1: C,
    norm2: LayerNorm,
    conv2: C,
    shortcut: Option<Pointwise>,
}

impl Residual<Conv2d> {
    /// 3x3 convolutions of each frame.
    pub(crate) fn spatial(path: &ParamPath, input: i64, output: i64) -> Self {
        let conv = |name, input| Conv2d::new(&path.sub(name), input, output, Conv2d::SAME, ConvInit::Default);
        Self {
            norm1: norm(path, "norm1", input),
            conv1: conv("conv1", input),
            norm2: norm(path, "norm2", output),
            conv2: conv("conv2", output),
            shortcut: (input != output).then(|| Pointwise::new(&path.sub("nin_shortcut"), input, output, 2)),
        }
    }
}

impl Residual<TimeConv1d> {
    /// Kernel-3 convolutions of each pixel over time; starts as the identity.
    pub(crate) fn temporal(path: &ParamPath, channels: i64, causality: Causality) -> Self {
        let conv = |name, init| TimeConv1d::new(&path.sub(name), channels, causality, init);
        Self {
            norm1: norm(path, "norm1", channels),
            conv1: conv("conv1", ConvInit::Default),
            norm2: norm(path, "norm2", channels),
            conv2: conv("conv2", ConvInit::Zero),
            shortcut: None,
        }
    }
}

impl Residual<TimeConv3d> {
    /// 3x3x3 convolutions.
    pub(crate) fn spatiotemporal(path: &ParamPath, channels: i64, causality: Causality) -> Self {
        let conv = |name| TimeConv3d::new(&path.sub(name), channels, channels, causality);
        Self {
            norm1: norm(path, "norm1", channels),
            conv1: conv("conv1"),
            norm2: norm(path, "norm2", channels),
            conv2: conv("conv2"),
            shortcut: None,
        }
    }
}

impl<C: Layer> Layer for Residual<C> {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor {
        let straight = state.delay_rows(x.shallow_clone(), 2 * C::ROW_LAG);
        // One variable throughout: each activation is freed as soon as the next one stands.
        let mut h = self.conv1.forward_normed(&self.norm1, x, state);
        if is_empty(&h) {
            return h;
        }
        h = self.conv2.forward_normed(&self.norm2, h, state);
        if is_empty(&h) {
            return h;
        }
        match &self.shortcut {
            Some(shortcut) => add(h, &shortcut.forward(&straight)),
            None => add(h, &straight),
        }
    }
}

/// The published name of a norm has one more part.
pub(crate) fn norm(path: &ParamPath, name: &str, channels: i64) -> LayerNorm {
    LayerNorm::new(&path.sub(name).sub("norm"), channels)
}
