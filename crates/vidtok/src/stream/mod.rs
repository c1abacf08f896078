//! Clips of any length in bounded memory: frames in, latents out, chunk by chunk, and back.
//!
//! Causal models give what the whole clip at once would give; a whole clip is one chunk. Others have no such form: to
//! bound the memory they take the clip in windows, each on its own, as published for 16 frames, or overlapping and
//! blended. Each chunk can be computed in strips of rows, which changes nothing in the result.

pub(crate) mod blend;
pub(crate) mod decoder;
pub(crate) mod encoder;
pub(crate) mod noise;
pub(crate) mod reconstructor;
pub(crate) mod saved;
pub(crate) mod steps;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// The published window of non-causal models, in frames.
pub const PUBLISHED_WINDOW: i64 = 16;

/// How a clip is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Draws a continuous latent with this seed; its mean without one.
    pub seed: Option<u64>,
    /// Frames that a non-causal model takes at a time; the whole clip without it. Causal models need none.
    pub window: Option<Window>,
}

/// Frames that a non-causal model takes at a time, each window on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Frames of a window.
    pub frames: i64,
    /// Frames that a window shares with the one before, in which one fades into the other. 0 as published; more hides
    /// the seams, and costs tokens: shared frames are encoded twice.
    pub overlap: i64,
}

impl Window {
    /// 16 frames, without overlap.
    pub const PUBLISHED: Self = Self { frames: PUBLISHED_WINDOW, overlap: 0 };

    /// In multiples of the temporal factor, each window reaching further than the one before.
    fn fit(self, factor: i64) -> Self {
        let frames = (self.frames / factor * factor).max(factor);
        let overlap = self.overlap.clamp(0, frames - factor);
        Self { frames, overlap: (overlap + factor - 1) / factor * factor }
    }
}

/// Whether all numbers are finite: one pass over them, which makes no tensor of their size.
fn is_finite(x: &Tensor) -> bool {
    if x.numel() == 0 {
        return true;
    }
    // A number that is none becomes the least and the greatest.
    let (least, greatest) = x.to_kind(Kind::Float).aminmax(None, false);
    least.double_value(&[]).is_finite() && greatest.double_value(&[]).is_finite()
}
