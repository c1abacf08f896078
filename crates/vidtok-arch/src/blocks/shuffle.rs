//! Resampling by moving pixels into channels and back, with a linear map of the channels: much cheaper than the
//! convolutions of the published models, because nothing is computed at the higher resolution.

use tch::Tensor;
use vidtok_torch::{ParamPath, Pointwise};

use crate::layer::Layer;
use crate::memory::MemoryModel;
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::FootprintWalk;
use crate::stream::state::StreamState;

/// Joins the channels of 2 x 2 positions and maps them to as many as one position had.
#[derive(Clone, Debug)]
pub(crate) struct ShuffleSpaceDown(Pointwise);

impl ShuffleSpaceDown {
    pub(crate) fn new(path: &ParamPath, channels: i64) -> Self {
        Self(Pointwise::new(&path.sub("conv"), 4 * channels, channels, 2))
    }
}

impl Layer for ShuffleSpaceDown {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let x = state.pair_rows(x)?;
        let pairs = x.unflatten(3, [-1, 2]).unflatten(2, [-1, 2]).permute([0, 1, 2, 4, 3, 5, 6]);
        Some(self.0.forward(&pairs.flatten(4, 6)))
    }
}

impl MemoryModel for ShuffleSpaceDown {
    fn footprint(walk: &mut FootprintWalk) {
        let x = walk.activation();
        walk.hold(2 * x + x / 4 + walk.edge_rows());
        walk.halve_space();
    }

    fn activations(walk: &mut ActivationWalk) {
        walk.save(walk.activation());
        walk.halve_space();
    }
}

/// Maps each position to four times the channels and spreads them over 2 x 2 positions.
#[derive(Clone, Debug)]
pub(crate) struct ShuffleSpaceUp(Pointwise);

impl ShuffleSpaceUp {
    pub(crate) fn new(path: &ParamPath, channels: i64) -> Self {
        Self(Pointwise::new(&path.sub("conv"), channels, 4 * channels, 2))
    }
}

impl Layer for ShuffleSpaceUp {
    fn forward(&self, x: Tensor, _state: &mut StreamState) -> Option<Tensor> {
        let channels = x.size()[4];
        let y = self.0.forward(&x).unflatten(4, [2, 2, channels]);
        Some(y.permute([0, 1, 2, 4, 3, 5, 6]).flatten(4, 5).flatten(2, 3).contiguous())
    }
}

impl MemoryModel for ShuffleSpaceUp {
    fn footprint(walk: &mut FootprintWalk) {
        // The input, its four maps, and the same at their positions.
        walk.hold(9 * walk.activation());
        walk.double_space();
    }

    fn activations(walk: &mut ActivationWalk) {
        walk.save(walk.activation());
        walk.double_space();
    }
}

/// Joins the channels of every two frames and maps them to as many as one frame had.
#[derive(Clone, Debug)]
pub(crate) struct ShuffleTimeDown(Pointwise);

impl ShuffleTimeDown {
    pub(crate) fn new(path: &ParamPath, channels: i64) -> Self {
        Self(Pointwise::new(&path.sub("conv"), 2 * channels, channels, 3))
    }
}

impl Layer for ShuffleTimeDown {
    fn forward(&self, x: Tensor, _state: &mut StreamState) -> Option<Tensor> {
        let pairs = x.unflatten(1, [-1, 2]).permute([0, 1, 3, 4, 2, 5]).flatten(4, 5);
        Some(self.0.forward(&pairs))
    }
}

impl MemoryModel for ShuffleTimeDown {
    fn footprint(walk: &mut FootprintWalk) {
        let x = walk.activation();
        walk.hold(2 * x + x / 2);
        walk.halve_time();
    }

    fn activations(walk: &mut ActivationWalk) {
        walk.save(walk.activation());
        walk.halve_time();
    }
}

/// Maps each position to twice the channels and spreads them over two frames.
#[derive(Clone, Debug)]
pub(crate) struct ShuffleTimeUp(Pointwise);

impl ShuffleTimeUp {
    pub(crate) fn new(path: &ParamPath, channels: i64) -> Self {
        Self(Pointwise::new(&path.sub("conv"), channels, 2 * channels, 3))
    }
}

impl Layer for ShuffleTimeUp {
    fn forward(&self, x: Tensor, _state: &mut StreamState) -> Option<Tensor> {
        let channels = x.size()[4];
        let y = self.0.forward(&x).unflatten(4, [2, channels]);
        Some(y.permute([0, 1, 4, 2, 3, 5]).flatten(1, 2).contiguous())
    }
}

impl MemoryModel for ShuffleTimeUp {
    fn footprint(walk: &mut FootprintWalk) {
        walk.hold(5 * walk.activation());
        walk.double_time();
    }

    fn activations(walk: &mut ActivationWalk) {
        walk.save(walk.activation());
        walk.double_time();
    }
}
