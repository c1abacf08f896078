//! How much memory a training step's activations take, estimated from the shape of the networks.
//!
//! Autograd keeps of every residual block the inputs of its two norms and of its two convolutions, and of every
//! resampling its convolution's input. What the backward pass needs on top of that, for a moment, is small beside it
//! unless blocks are computed again: then it is the whole inside of the largest one.

use crate::config::ArchConfig;

/// Numbers kept.
#[derive(Clone, Copy, Default)]
struct Kept {
    /// Inputs of blocks.
    inputs: i64,
    /// What lies inside them, in all.
    inside: i64,
    /// What lies inside the largest.
    largest: i64,
}

impl Kept {
    fn block(&mut self, input: i64, inside: i64) {
        self.inputs += input;
        self.inside += inside;
        self.largest = self.largest.max(inside);
    }

    fn bytes(self, recompute: bool) -> i64 {
        let numbers = self.inputs + if recompute { self.largest } else { self.inside };
        numbers * size_of::<f32>() as i64
    }
}

impl ArchConfig {
    /// Bytes that autograd keeps of the encoder's forward pass on clips `[b, 3, t, h, w]` in float32, about.
    #[must_use]
    pub fn encoder_activation_bytes(&self, [b, t, h, w]: [i64; 4], recompute: bool) -> i64 {
        let mut kept = Kept::default();
        let (mut time, mut pixels, mut input) = (b * t, h * w, self.ch);
        for level in 0..self.ch_mult.len() {
            let width = self.width(level);
            for _ in 0..self.num_res_blocks {
                unit(&mut kept, time * pixels, input, width);
                input = width;
            }
            if self.spatial_down.contains(&level) {
                kept.block(0, time * pixels * width);
                pixels /= 4;
            }
            if self.temporal_down.contains(&level) {
                kept.block(0, time * pixels * width);
                time /= 2;
            }
        }
        middle(&mut kept, time * pixels, input);
        kept.bytes(recompute)
    }

    /// The same for the decoder, on the latent of such clips.
    #[must_use]
    pub fn decoder_activation_bytes(&self, [b, t, h, w]: [i64; 4], recompute: bool) -> i64 {
        let mut kept = Kept::default();
        let (factor, side) = (self.temporal_factor(), self.spatial_factor());
        let (mut time, mut pixels) = (b * ((t + factor - 1) / factor), (h / side).max(1) * (w / side).max(1));
        let mut input = self.width(self.last_level());
        middle(&mut kept, time * pixels, input);
        for level in (0..self.ch_mult.len()).rev() {
            let width = self.width(level);
            for _ in 0..=self.num_res_blocks {
                unit(&mut kept, time * pixels, input, width);
                input = width;
            }
            if self.spatial_up.contains(&level) {
                kept.block(0, time * pixels * width);
                pixels *= 4;
            }
            if self.temporal_up.contains(&level) {
                // Repeated frames are never made, interpolated ones are.
                let frames = if self.causality.upsamples_nearest() { time } else { 2 * time };
                kept.block(0, 2 * frames * pixels * width);
                time *= 2;
            }
        }
        kept.block(0, 2 * time * pixels * input);
        kept.bytes(recompute)
    }
}

/// A block in space from `input` to `width` channels, then one in time.
fn unit(kept: &mut Kept, positions: i64, input: i64, width: i64) {
    kept.block(positions * input, positions * (input + 6 * width));
}

/// Two 3D blocks, and the attention between them: its norm, and queries, keys, values and what they give.
fn middle(kept: &mut Kept, positions: i64, width: i64) {
    for _ in 0..2 {
        kept.block(positions * width, 3 * positions * width);
    }
    kept.block(positions * width, 5 * positions * width);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causality::Causality;

    fn config() -> ArchConfig {
        ArchConfig {
            causality: Causality::V1_0,
            ch: 8,
            ch_mult: vec![1, 2],
            num_res_blocks: 2,
            spatial_down: vec![0],
            spatial_up: vec![1],
            temporal_down: vec![0],
            temporal_up: vec![1],
        }
    }

    #[test]
    fn memory_grows_with_the_clip_and_shrinks_when_blocks_are_computed_again() {
        let (one, four) = ([1, 8, 16, 16], [2, 8, 16, 32]);
        for bytes in [ArchConfig::encoder_activation_bytes, ArchConfig::decoder_activation_bytes] {
            assert_eq!(bytes(&config(), four, false), 4 * bytes(&config(), one, false));
            assert!(bytes(&config(), one, true) < bytes(&config(), one, false) / 2);
        }
    }
}
