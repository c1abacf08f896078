//! The middle of both networks: 3D residual block, attention, 3D residual block.

use tch::Tensor;
use vidtok_torch::ParamPath;

use crate::blocks::attention::Attention;
use crate::blocks::residual::Residual;
use crate::blocks::time_conv::TimeConv3d;
use crate::causality::Causality;
use crate::layer::Layer;
use crate::memory::MemoryModel;
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::FootprintWalk;
use crate::stream::state::StreamState;

/// `mid` of the published names.
#[derive(Clone, Debug)]
pub(crate) struct Middle {
    block_1: Residual<TimeConv3d>,
    attn_1: Attention,
    block_2: Residual<TimeConv3d>,
}

impl Middle {
    pub(crate) fn new(path: &ParamPath, channels: i64, causality: Causality) -> Self {
        Self {
            block_1: Residual::spatiotemporal(&path.sub("block_1"), channels, causality),
            attn_1: Attention::new(&path.sub("attn_1"), channels, causality),
            block_2: Residual::spatiotemporal(&path.sub("block_2"), channels, causality),
        }
    }
}

impl Layer for Middle {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let mut h = self.block_1.forward(x, state)?;
        h = self.attn_1.forward(&h);
        self.block_2.forward(h, state)
    }
}

impl MemoryModel for Middle {
    fn footprint(walk: &mut FootprintWalk) {
        let channels = walk.channels;
        Residual::<TimeConv3d>::footprint(walk, channels);
        Attention::footprint(walk);
        Residual::<TimeConv3d>::footprint(walk, channels);
    }

    fn activations(walk: &mut ActivationWalk) {
        let channels = walk.channels;
        Residual::<TimeConv3d>::activations(walk, channels);
        Attention::activations(walk);
        Residual::<TimeConv3d>::activations(walk, channels);
    }
}
