//! Clips of any length in bounded memory: frames in, latents out, chunk by chunk, and back.
//!
//! Causal models give what the whole clip at once would give; a whole clip is one chunk. Others have no such form: to
//! bound the memory they take the clip in windows, each on its own, as published for 16 frames, or overlapping and
//! blended. Each chunk can be computed in strips of rows, which changes nothing in the result.

mod blend;
mod decoder;
mod encoder;
mod noise;
mod reconstructor;
mod saved;
mod steps;
#[cfg(test)]
mod tests;

pub use decoder::StreamDecoder;
pub use encoder::StreamEncoder;
pub use reconstructor::StreamReconstructor;

use serde::{Deserialize, Serialize};
use vidtok_arch::StreamState;

use crate::Tokenizer;

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

/// The state before a step: a causal step goes on from the one before, a window of another model starts anew.
fn start_step(tokenizer: &Tokenizer, state: &mut StreamState, is_last: bool, strip_rows: Option<i64>) {
    if !tokenizer.config().model.causality.is_causal() {
        let whole = StreamState::whole_clip();
        *state = strip_rows.map_or_else(StreamState::whole_clip, |rows| whole.in_strips(rows));
    } else if is_last {
        state.expect_last();
    }
}
