//! Clips of any length in bounded memory: frames are encoded to latents chunk by chunk, and latents decoded to frames.
//!
//! Causal models produce the result of the whole clip, which is a stream of one chunk. For other models that is
//! impossible: to bound their memory they take a clip in windows, either separate windows of 16 frames as published, or
//! overlapping ones that are blended. Each chunk can be computed in strips of rows with the same result.

pub(crate) mod blend;
pub(crate) mod decoder;
pub(crate) mod encoder;
pub(crate) mod noise;
pub(crate) mod reconstructor;
pub(crate) mod state_file;
pub(crate) mod steps;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vidtok_arch::{ArchConfig, StreamState};

/// The published window of non-causal models, in frames.
pub const PUBLISHED_WINDOW: i64 = 16;

/// How a clip is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The seed for sampling a continuous latent; `None` for its mean.
    pub seed: Option<u64>,
    /// The window in which a non-causal model takes the clip; `None` for the whole clip. Causal models ignore it.
    pub window: Option<Window>,
}

/// The frames that a non-causal model takes at a time; each window is encoded independently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Frames of a window.
    pub frames: i64,
    /// Frames that a window shares with the previous one and that are blended after decoding. 0 is the published value.
    /// A larger overlap hides the seams but costs tokens, because shared frames are encoded twice.
    pub overlap: i64,
}

impl Window {
    /// 16 frames without overlap.
    pub const PUBLISHED: Self = Self { frames: PUBLISHED_WINDOW, overlap: 0 };

    /// The nearest window of multiples of the temporal factor that advances by at least one factor.
    fn fit(self, factor: i64) -> Self {
        let frames = (self.frames / factor * factor).max(factor);
        let overlap = self.overlap.clamp(0, frames - factor);
        Self { frames, overlap: (overlap + factor - 1) / factor * factor }
    }
}

/// Sets the strips of a network's state to about `rows` rows of the frames, or to the whole height. The network's input
/// has `scale` rows for each row of the latent: the spatial factor for the encoder, 1 for the decoder.
fn set_strips(state: StreamState, model: &ArchConfig, rows: Option<i64>, scale: i64) -> StreamState {
    match rows {
        Some(rows) => state.in_strips((rows / model.spatial_factor()).max(1) * scale),
        None => state.in_one_piece(),
    }
}

/// Whether all elements are finite, without a temporary tensor of the same size.
fn is_finite(x: &Tensor) -> bool {
    if x.numel() == 0 {
        return true;
    }
    // If an element is NaN, so are the minimum and the maximum.
    let (least, greatest) = x.to_kind(Kind::Float).aminmax(None, false);
    least.double_value(&[]).is_finite() && greatest.double_value(&[]).is_finite()
}
