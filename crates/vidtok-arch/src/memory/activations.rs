//! The memory of a training step's activations, by walking through the layers and adding up what autograd saves.
//!
//! What the backward pass needs for a moment on top is small beside it, unless gradient checkpointing recomputes
//! blocks: then it is all that the largest block saves.

use crate::causality::Causality;

/// The position of a walk: the size of the activation there, and the numbers saved so far.
pub(crate) struct ActivationWalk {
    pub(crate) causality: Causality,
    /// Channels of the activation.
    pub(crate) channels: i64,
    /// Clips times frames.
    frames: i64,
    /// Rows times columns.
    pixels: i64,
    /// Saved outside of checkpointed blocks.
    outside: i64,
    /// Saved by checkpointed blocks besides their inputs.
    inside: i64,
    /// Inputs of checkpointed blocks.
    inputs: i64,
    /// The most that one checkpointed block saves besides its input.
    largest: i64,
}

impl ActivationWalk {
    /// Starts on an activation `[b, t, h, w, channels]`.
    pub(crate) fn new(causality: Causality, [b, t, h, w]: [i64; 4], channels: i64) -> Self {
        Self { causality, channels, frames: b * t, pixels: h * w, outside: 0, inside: 0, inputs: 0, largest: 0 }
    }

    /// Bytes that autograd saves in float32.
    pub(crate) fn bytes(&self, recompute: bool) -> i64 {
        let inside = if recompute { self.largest } else { self.inside };
        (self.outside + self.inputs + inside) * size_of::<f32>() as i64
    }

    /// Numbers of the activation.
    pub(crate) fn activation(&self) -> i64 {
        self.frames * self.pixels * self.channels
    }

    /// Counts numbers that autograd saves.
    pub(crate) fn save(&mut self, numbers: i64) {
        self.outside += numbers;
    }

    /// Counts a block that gradient checkpointing may recompute. The block saves its input at least.
    pub(crate) fn checkpointed(&mut self, block: impl FnOnce(&mut Self)) {
        let (before, input) = (self.outside, self.activation());
        block(self);
        let inside = self.outside - before - input;
        self.outside = before;
        self.inputs += input;
        self.inside += inside;
        self.largest = self.largest.max(inside);
    }

    pub(crate) fn halve_space(&mut self) {
        self.pixels /= 4;
    }

    pub(crate) fn double_space(&mut self) {
        self.pixels *= 4;
    }

    pub(crate) fn halve_time(&mut self) {
        self.frames /= 2;
    }

    pub(crate) fn double_time(&mut self) {
        self.frames *= 2;
    }
}

#[cfg(test)]
mod tests {
    use crate::blocks::resample::Resample;
    use crate::causality::Causality;
    use crate::config::ArchConfig;
    use crate::patch::Patch;

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
            patch: Patch::default(),
            resample: Resample::default(),
            middle: true,
            linear: false,
            decoder: None,
        }
    }

    #[test]
    fn memory_grows_with_the_clip_and_shrinks_with_checkpointing() {
        let (one, four) = ([1, 8, 16, 16], [2, 8, 16, 32]);
        for bytes in [ArchConfig::encoder_activation_bytes, ArchConfig::decoder_activation_bytes] {
            assert_eq!(bytes(&config(), four, false), 4 * bytes(&config(), one, false));
            assert!(bytes(&config(), one, true) < bytes(&config(), one, false) / 2);
        }
    }
}
