//! The noise of sampled latents.

use std::f32::consts::TAU;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::Tensor;

/// Words of the generator for each normal number, which takes two uniform ones.
const WORDS: u128 = 2;

/// Standard normal numbers from a seed, independent of the device and of the chunks of a clip. They come from a
/// generator of their own, so that encoding leaves libtorch's generator unchanged.
#[derive(Debug)]
pub(crate) struct Noise {
    rng: ChaCha8Rng,
    drawn: u64,
}

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self::after(seed, 0)
    }

    /// The numbers of a seed without the first `drawn` ones.
    pub(crate) fn after(seed: u64, drawn: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_word_pos(WORDS * u128::from(drawn));
        Self { rng, drawn }
    }

    /// How many numbers were drawn.
    pub(crate) fn drawn(&self) -> u64 {
        self.drawn
    }

    /// The noise for the next latent frames of a clip: `[b, channels, t, h, w]` for an encoder's output
    /// `[b, c, t, h, w]`.
    pub(crate) fn like(&mut self, encoded: &Tensor, channels: i64) -> Tensor {
        let size = encoded.size();
        let [b, t, h, w] = [size[0], size[2], size[3], size[4]];
        // Time is the outermost axis, so that consecutive chunks take consecutive numbers.
        let numbers: Vec<f32> = (0..b * channels * t * h * w).map(|_| self.normal()).collect();
        let noise = Tensor::from_slice(&numbers).view([t, b, channels, h, w]).permute([1, 2, 0, 3, 4]);
        noise.to_device(encoded.device()).to_kind(encoded.kind())
    }

    /// The Box-Muller transform of two uniform numbers.
    fn normal(&mut self) -> f32 {
        self.drawn += 1;
        let radius = (-2.0 * (1.0 - self.rng.random::<f32>()).ln()).sqrt();
        radius * (TAU * self.rng.random::<f32>()).cos()
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn noise_is_standard_normal_and_depends_on_its_seed_only() {
        let encoded = Tensor::zeros([1, 8, 4, 16, 16], (Kind::Float, Device::Cpu));
        let noise = Noise::new(3).like(&encoded, 8);
        assert!(noise.mean(Kind::Float).double_value(&[]).abs() < 0.03);
        assert!((noise.std(false).double_value(&[]) - 1.0).abs() < 0.03);
        assert!(noise.equal(&Noise::new(3).like(&encoded, 8)));
        assert!(!noise.equal(&Noise::new(4).like(&encoded, 8)));
        let first = encoded.narrow(2, 0, 3);
        let rest = Noise::after(3, 8 * 3 * 16 * 16).like(&encoded.narrow(2, 3, 1), 8);
        assert!(noise.equal(&Tensor::cat(&[Noise::new(3).like(&first, 8), rest], 2)));
    }
}
