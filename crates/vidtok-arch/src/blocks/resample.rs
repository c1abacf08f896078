//! The two ways to resample between levels.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::blocks::shuffle::{ShuffleSpaceDown, ShuffleSpaceUp, ShuffleTimeDown, ShuffleTimeUp};
use crate::blocks::spatial_resample::{SpatialDownsample, SpatialUpsample};
use crate::blocks::temporal_resample::{TemporalDownsample, TemporalUpsample};
use crate::layer::Layer;
use crate::memory::MemoryModel;
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::FootprintWalk;
use crate::stream::state::StreamState;

/// How levels resample height, width and frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resample {
    /// By 3x3 convolutions over space and, over time, a learned blend of a plain resampling and a 3x3x3 convolution, as in
    /// the published models.
    #[default]
    Conv,
    /// By moving positions into channels and back, with a linear map.
    Shuffle,
}

impl Resample {
    /// Whether this is the way of the published models.
    pub(crate) fn is_conv(&self) -> bool {
        *self == Self::Conv
    }
}

/// A resampling layer of either way.
#[derive(Clone, Debug)]
pub(crate) enum Resampler<C, S> {
    Conv(C),
    Shuffle(S),
}

pub(crate) type SpaceDown = Resampler<SpatialDownsample, ShuffleSpaceDown>;
pub(crate) type SpaceUp = Resampler<SpatialUpsample, ShuffleSpaceUp>;
pub(crate) type TimeDown = Resampler<TemporalDownsample, ShuffleTimeDown>;
pub(crate) type TimeUp = Resampler<TemporalUpsample, ShuffleTimeUp>;

impl<C, S> Resampler<C, S> {
    pub(crate) fn new(way: Resample, conv: impl FnOnce() -> C, shuffle: impl FnOnce() -> S) -> Self {
        match way {
            Resample::Conv => Self::Conv(conv()),
            Resample::Shuffle => Self::Shuffle(shuffle()),
        }
    }
}

impl<C: Layer, S: Layer> Layer for Resampler<C, S> {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        match self {
            Self::Conv(layer) => layer.forward(x, state),
            Self::Shuffle(layer) => layer.forward(x, state),
        }
    }
}

/// The memory of a resampling layer.
pub(crate) trait ResamplerMemory {
    /// Follows a forward pass without gradients.
    fn footprint(walk: &mut FootprintWalk, way: Resample);

    /// Adds what autograd saves of a forward pass.
    fn activations(walk: &mut ActivationWalk, way: Resample);
}

impl<C: MemoryModel, S: MemoryModel> ResamplerMemory for Resampler<C, S> {
    fn footprint(walk: &mut FootprintWalk, way: Resample) {
        match way {
            Resample::Conv => C::footprint(walk),
            Resample::Shuffle => S::footprint(walk),
        }
    }

    fn activations(walk: &mut ActivationWalk, way: Resample) {
        match way {
            Resample::Conv => C::activations(walk),
            Resample::Shuffle => S::activations(walk),
        }
    }
}
