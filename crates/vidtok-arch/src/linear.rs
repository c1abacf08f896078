//! A linear codec beside a network: the network learns only what a linear map of blocks cannot do.

use tch::Tensor;
use vidtok_torch::{ParamPath, Pointwise, from_channels_last};

use crate::config::ArchConfig;
use crate::patch::Patch;

/// Channels of a video.
pub(crate) const COLORS: i64 = 3;

/// A linear map from the pixels of each block that one latent position represents to the encoder's output there.
#[derive(Debug)]
pub(crate) struct LinearEncoder {
    patch: Patch,
    map: Pointwise,
}

impl LinearEncoder {
    pub(crate) fn new(path: &ParamPath, config: &ArchConfig, output: i64) -> Self {
        let patch = config.block();
        Self { patch, map: Pointwise::new(path, patch.channels(COLORS), output, 3) }
    }

    /// Maps `[b, 3, t, h, w]` to `[b, output, t / f_t, h / f_s, w / f_s]`.
    pub(crate) fn forward(&self, video: &Tensor) -> Tensor {
        from_channels_last(&self.map.forward(&self.patch.split(video)))
    }
}

/// A linear map from the latent at each position to the pixels of the block that it represents.
#[derive(Debug)]
pub(crate) struct LinearDecoder {
    patch: Patch,
    map: Pointwise,
}

impl LinearDecoder {
    pub(crate) fn new(path: &ParamPath, config: &ArchConfig, input: i64) -> Self {
        let patch = config.block();
        Self { patch, map: Pointwise::new(path, input, patch.channels(COLORS), 3) }
    }

    /// Maps channels-last `[b, t, h, w, input]` to `[b, 3, t * f_t, h * f_s, w * f_s]`.
    pub(crate) fn forward(&self, latent: &Tensor) -> Tensor {
        self.patch.join(&self.map.forward(latent), COLORS)
    }
}
