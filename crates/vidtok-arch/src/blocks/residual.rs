//! The residual block over any kind of convolution: x + conv2(silu(norm2(conv1(silu(norm1(x)))))).

use tch::Tensor;
use vidtok_torch::{Conv2d, ConvInit, LayerNorm, ParamPath, Pointwise, add};

use crate::blocks::time_conv::{SameConv, TimeConv1d, TimeConv3d};
use crate::causality::Causality;
use crate::layer::{Layer, norm};
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::FootprintWalk;
use crate::stream::state::StreamState;

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
    /// Convolutions of each pixel over three frames. The block starts as the identity.
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

impl<C: SameConv> Layer for Residual<C> {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let residual = state.delay_rows(x.shallow_clone(), 2 * C::ROW_LAG);
        // Moved from call to call, so that each activation is freed as soon as the next one exists.
        let h = self.conv1.forward_normed(&self.norm1, x, state)?;
        let h = self.conv2.forward_normed(&self.norm2, h, state)?;
        let residual = residual?;
        Some(match &self.shortcut {
            Some(shortcut) => add(h, &shortcut.forward(&residual)),
            None => add(h, &residual),
        })
    }
}

impl<C: SameConv> Residual<C> {
    /// Follows a forward pass to `output` channels without gradients.
    pub(crate) fn footprint(walk: &mut FootprintWalk, output: i64) {
        let x = walk.activation();
        walk.channels = output;
        let y = walk.activation();
        walk.keep(2 * C::CONTEXT_FRAMES);
        // The block's input, a layer's input and its output.
        walk.hold(x + x.max(y) + y + C::ROW_LAG * walk.edge_rows() + walk.context(C::CONTEXT_FRAMES));
    }

    /// Adds what autograd saves of a forward pass to `output` channels: the inputs of both norms and both convolutions.
    pub(crate) fn activations(walk: &mut ActivationWalk, output: i64) {
        walk.save(2 * walk.activation());
        walk.channels = output;
        walk.save(2 * walk.activation());
    }
}
