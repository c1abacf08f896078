//! The residual block over any kind of convolution: x + conv2(silu(norm2(conv1(silu(norm1(x)))))).

use tch::Tensor;
use vidtok_torch::{Conv2d, ConvInit, LayerNorm, ParamPath, Parameter, Pointwise, add_biased};

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
    /// Adds the bias of `conv1` if that has deferred it.
    norm2: LayerNorm,
    conv2: C,
    /// The bias of `conv2` if that has deferred it.
    bias2: Option<Parameter>,
    shortcut: Option<Pointwise>,
}

impl<C: SameConv> Residual<C> {
    fn new([norm1, norm2]: [LayerNorm; 2], [conv1, conv2]: [C; 2], shortcut: Option<Pointwise>) -> Self {
        let (conv1, bias1) = conv1.defer_bias();
        let (conv2, bias2) = conv2.defer_bias();
        Self { norm1, conv1, norm2: norm2.after_bias(bias1), conv2, bias2, shortcut }
    }
}

impl Residual<Conv2d> {
    /// 3x3 convolutions of each frame.
    pub(crate) fn spatial(path: &ParamPath, input: i64, output: i64) -> Self {
        let conv = |name, input| Conv2d::new(&path.sub(name), input, output, Conv2d::SAME, ConvInit::Default);
        let norms = [norm(path, "norm1", input), norm(path, "norm2", output)];
        let convs = [conv("conv1", input), conv("conv2", output)];
        let shortcut = (input != output).then(|| Pointwise::new(&path.sub("nin_shortcut"), input, output, 2));
        Self::new(norms, convs, shortcut)
    }
}

impl Residual<TimeConv1d> {
    /// Convolutions of each pixel over three frames. The block starts as the identity.
    pub(crate) fn temporal(path: &ParamPath, channels: i64, causality: Causality) -> Self {
        let conv = |name, init| TimeConv1d::new(&path.sub(name), channels, causality, init);
        let norms = ["norm1", "norm2"].map(|name| norm(path, name, channels));
        Self::new(norms, [conv("conv1", ConvInit::Default), conv("conv2", ConvInit::Zero)], None)
    }
}

impl Residual<TimeConv3d> {
    /// 3x3x3 convolutions.
    pub(crate) fn spatiotemporal(path: &ParamPath, channels: i64, causality: Causality) -> Self {
        let conv = |name| TimeConv3d::new(&path.sub(name), channels, channels, causality);
        Self::new(["norm1", "norm2"].map(|name| norm(path, name, channels)), [conv("conv1"), conv("conv2")], None)
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
            Some(shortcut) => add_biased(h, self.bias2.as_ref(), &shortcut.forward(&residual)),
            None => add_biased(h, self.bias2.as_ref(), &residual),
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
