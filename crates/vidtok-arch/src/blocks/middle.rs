//! The middle of both networks: 3D block, attention, 3D block.

use tch::Tensor;
use vidtok_torch::ParamPath;

use crate::blocks::attention::Attention;
use crate::blocks::residual::Residual;
use crate::blocks::time_conv::{Layer, TimeConv3d};
use crate::causality::Causality;
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
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor {
        let mut h = self.block_1.forward(x, state);
        h = self.attn_1.forward(&h);
        self.block_2.forward(h, state)
    }
}
