//! Halving and doubling the height and width of each frame.

use tch::Tensor;
use vidtok_torch::{Conv2d, ConvInit, ParamPath, RowEdges, SpatialConvConfig};

use crate::layer::Layer;
use crate::memory::MemoryModel;
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::FootprintWalk;
use crate::stream::state::StreamState;
use crate::stream::strips::SAME_ROWS;

/// Pads a zero row at the bottom and a zero column on the right, then applies a 3x3 convolution with stride 2.
#[derive(Clone, Debug)]
pub(crate) struct SpatialDownsample(Conv2d);

impl SpatialDownsample {
    pub(crate) fn new(path: &ParamPath, channels: i64) -> Self {
        let halving = SpatialConvConfig { kernel: 3, stride: 2, padding: 0 };
        Self(Conv2d::new(&path.sub("conv"), channels, channels, halving, ConvInit::Default))
    }
}

impl Layer for SpatialDownsample {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let (x, edges) = state.extend_rows(x, 2, [0, 1])?;
        // Pairs from the last axis on: channels, width, height.
        Some(match edges {
            RowEdges::Zeros => self.0.forward(&x.constant_pad_nd([0, 0, 0, 1, 0, 1])),
            RowEdges::Neighbours => self.0.forward(&x.constant_pad_nd([0, 0, 0, 1])),
        })
    }
}

impl MemoryModel for SpatialDownsample {
    fn footprint(walk: &mut FootprintWalk) {
        // The input, the same padded, and the output.
        let x = walk.activation();
        walk.hold(2 * x + x / 4 + walk.edge_rows());
        walk.halve_space();
    }

    fn activations(walk: &mut ActivationWalk) {
        walk.save(walk.activation());
        walk.halve_space();
    }
}

/// Nearest-neighbour upsampling by two in height and width, then a 3x3 convolution.
#[derive(Clone, Debug)]
pub(crate) struct SpatialUpsample(Conv2d);

impl SpatialUpsample {
    pub(crate) fn new(path: &ParamPath, channels: i64) -> Self {
        Self(Conv2d::new(&path.sub("conv"), channels, channels, Conv2d::SAME, ConvInit::Default))
    }
}

impl Layer for SpatialUpsample {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let (x, edges) = state.extend_rows(x, 1, SAME_ROWS)?;
        Some(self.0.forward_upsampled(&x, edges))
    }
}

impl MemoryModel for SpatialUpsample {
    fn footprint(walk: &mut FootprintWalk) {
        // The input, both rows of each pair, and all rows joined.
        walk.hold(9 * walk.activation() + walk.edge_rows());
        walk.double_space();
    }

    fn activations(walk: &mut ActivationWalk) {
        walk.save(walk.activation());
        walk.double_space();
    }
}
