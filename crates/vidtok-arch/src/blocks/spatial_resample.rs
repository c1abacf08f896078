//! Halving and doubling height and width of each frame.

use tch::Tensor;
use vidtok_torch::{Conv2d, ConvInit, ParamPath, RowEdges, SpatialConvConfig};

use crate::blocks::time_conv::{Layer, SAME_ROWS};
use crate::stream::state::StreamState;

/// A zero row below and a zero column on the right, then a 3x3 convolution with stride 2.
#[derive(Clone, Debug)]
pub(crate) struct SpatialDownsample(Conv2d);

impl SpatialDownsample {
    pub(crate) fn new(path: &ParamPath, channels: i64) -> Self {
        let halving = SpatialConvConfig { kernel: 3, stride: 2, padding: 0 };
        Self(Conv2d::new(&path.sub("conv"), channels, channels, halving, ConvInit::Default))
    }
}

impl Layer for SpatialDownsample {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor {
        // Pairs from the last axis on: channels, width, height.
        match state.extend_rows(x, 2, [0, 1]) {
            Ok((x, RowEdges::Zeros)) => self.0.forward(&x.constant_pad_nd([0, 0, 0, 1, 0, 1])),
            Ok((x, RowEdges::Given)) => self.0.forward(&x.constant_pad_nd([0, 0, 0, 1])),
            Err(none) => none,
        }
    }
}

/// Every pixel twice in both directions, then a 3x3 convolution.
#[derive(Clone, Debug)]
pub(crate) struct SpatialUpsample(Conv2d);

impl SpatialUpsample {
    pub(crate) fn new(path: &ParamPath, channels: i64) -> Self {
        Self(Conv2d::new(&path.sub("conv"), channels, channels, Conv2d::SAME, ConvInit::Default))
    }
}

impl Layer for SpatialUpsample {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor {
        match state.extend_rows(x, 1, SAME_ROWS) {
            Ok((x, edges)) => self.0.forward_upsampled(&x, edges),
            Err(none) => none,
        }
    }
}
