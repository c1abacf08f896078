//! The noise of drawn latents.

use tch::{Device, Kind, Tensor};

/// Standard normal numbers from a seed: the same on every device and for every chunking of a clip.
#[derive(Debug)]
pub(crate) struct Noise {
    seed: i64,
    /// Latent frames that were drawn so far.
    frames: i64,
}

impl Noise {
    pub(crate) fn new(seed: i64) -> Self {
        Self { seed, frames: 0 }
    }

    /// The noise of the next frames of a clip, for what the encoder gave `[b, c, t, h, w]`: `[b, channels, t, h, w]`.
    pub(crate) fn like(&mut self, encoded: &Tensor, channels: i64) -> Tensor {
        let size = encoded.size();
        let frames: Vec<Tensor> = (0..size[2])
            .map(|_| {
                tch::manual_seed(mix(self.seed, self.frames));
                self.frames += 1;
                Tensor::randn([size[0], channels, 1, size[3], size[4]], (Kind::Float, Device::Cpu))
            })
            .collect();
        Tensor::cat(&frames, 2).to_device(encoded.device()).to_kind(encoded.kind())
    }
}

/// Another seed for each frame; neighbouring seeds and frames do not meet.
fn mix(seed: i64, frame: i64) -> i64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64).wrapping_add(frame)
}
