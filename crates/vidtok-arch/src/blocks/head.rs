//! The end of both networks: norm, SiLU, and a convolution or a linear map.

use tch::Tensor;
use vidtok_torch::{LayerNorm, ParamPath};

use crate::blocks::pixel_map::PixelMap;
use crate::blocks::time_conv::{SameConv, TimeConv3d};
use crate::layer::{Layer, norm};
use crate::memory::MemoryModel;
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::FootprintWalk;
use crate::patch::Patch;
use crate::stream::state::StreamState;

/// `norm_out` and `conv_out` of the published names.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    norm_out: LayerNorm,
    conv_out: PixelMap,
}

impl Head {
    /// A head that reads `input` channels and ends with `conv_out`.
    pub(crate) fn new(path: &ParamPath, input: i64, conv_out: impl FnOnce(&ParamPath) -> PixelMap) -> Self {
        Self { norm_out: norm(path, "norm_out", input), conv_out: conv_out(&path.sub("conv_out")) }
    }

    pub(crate) fn output_weight(&self) -> &Tensor {
        self.conv_out.weight()
    }

    /// Follows a forward pass to patches without gradients.
    pub(crate) fn footprint(walk: &mut FootprintWalk, patch: Patch) {
        if patch.is_pixel() {
            return <Self as MemoryModel>::footprint(walk);
        }
        // The input, the same normed, and the patches.
        walk.hold(3 * walk.activation());
    }
}

impl Layer for Head {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        self.conv_out.forward_normed(&self.norm_out, x, state)
    }
}

/// Of the input. The output has few channels, so it is left out.
impl MemoryModel for Head {
    fn footprint(walk: &mut FootprintWalk) {
        walk.keep(TimeConv3d::CONTEXT_FRAMES);
        walk.hold(2 * walk.activation() + walk.context(TimeConv3d::CONTEXT_FRAMES) + walk.edge_rows());
    }

    fn activations(walk: &mut ActivationWalk) {
        // Inputs of the norm and of the convolution.
        walk.save(2 * walk.activation());
    }
}
