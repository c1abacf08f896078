//! The layers next to the pixels: a 3x3x3 convolution of single pixels, or a linear map of each larger patch.

use tch::Tensor;
use vidtok_torch::{ConvInit, ParamPath, Pointwise};

use crate::blocks::time_conv::TimeConv3d;
use crate::causality::Causality;
use crate::layer::Layer;
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::FootprintWalk;
use crate::patch::Patch;
use crate::stream::state::StreamState;

/// `conv_in` of an encoder or `conv_out` of a decoder.
#[derive(Clone, Debug)]
pub(crate) enum PixelMap {
    Conv(TimeConv3d),
    Linear(Pointwise),
}

impl PixelMap {
    pub(crate) fn new(path: &ParamPath, [input, output]: [i64; 2], (causality, patch): (Causality, Patch)) -> Self {
        Self::with_init(path, [input, output], (causality, patch), ConvInit::Default)
    }

    pub(crate) fn with_init(
        path: &ParamPath,
        channels: [i64; 2],
        (causality, patch): (Causality, Patch),
        init: ConvInit,
    ) -> Self {
        match patch.is_pixel() {
            true => Self::Conv(TimeConv3d::with_init(path, channels, causality, init)),
            false => Self::Linear(Pointwise::with_init(&causality.conv_path(path), channels, 3, init)),
        }
    }

    pub(crate) fn weight(&self) -> &Tensor {
        match self {
            Self::Conv(conv) => conv.weight(),
            Self::Linear(map) => map.weight(),
        }
    }

    /// Follows a forward pass to `output` channels without gradients.
    pub(crate) fn footprint(walk: &mut FootprintWalk, patch: Patch, output: i64) {
        if patch.is_pixel() {
            return TimeConv3d::footprint(walk, output);
        }
        let input = walk.activation();
        walk.channels = output;
        walk.hold(input + walk.activation());
    }

    /// Adds what autograd saves of a forward pass to `output` channels: the input.
    pub(crate) fn activations(walk: &mut ActivationWalk, output: i64) {
        TimeConv3d::activations(walk, output);
    }
}

impl Layer for PixelMap {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        match self {
            Self::Conv(conv) => conv.forward(x, state),
            Self::Linear(map) => Some(map.forward(&x)),
        }
    }
}
