//! Padding of clips to multiples of the networks' factors.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vidtok_arch::ArchConfig;

/// The padding that is added to a clip before encoding and cropped after decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Padding {
    /// Copies of the first frame before the clip.
    pub front: i64,
    /// Copies of the last frame after the clip; only if its length was not known when the first frame was encoded.
    pub back: i64,
    /// Copies of the last row.
    pub bottom: i64,
    /// Copies of the last column.
    pub right: i64,
}

impl Padding {
    /// The padding of a clip of t frames of h x w.
    ///
    /// Natural lengths are 1, f + 1, 2f + 1, ... frames for causal models with the temporal factor f, and f, 2f, ... for
    /// others; a clip is padded to the next one. In a causal model the first latent frame represents a single frame, so
    /// another f - 1 copies are added before it.
    #[must_use]
    pub fn new(config: &ArchConfig, [t, h, w]: [i64; 3]) -> Self {
        let (f_t, f_s) = (config.temporal_factor(), config.spatial_factor());
        let fill = |n: i64, factor: i64| (factor - n % factor) % factor;
        let front = if config.causality.is_causal() { fill(t - 1, f_t) + f_t - 1 } else { fill(t, f_t) };
        Self { front, back: 0, bottom: fill(h, f_s), right: fill(w, f_s) }
    }

    /// The padding of a clip of natural length whose height and width are multiples of the spatial factor.
    #[must_use]
    pub fn natural(config: &ArchConfig) -> Self {
        let front = if config.causality.is_causal() { config.temporal_factor() - 1 } else { 0 };
        Self { front, back: 0, bottom: 0, right: 0 }
    }

    /// Pads `[b, c, t, h, w]`.
    pub fn pad(&self, video: &Tensor) -> Tensor {
        let none = [self.front, self.back, self.bottom, self.right] == [0; 4];
        if none {
            video.shallow_clone()
        } else {
            video.replication_pad3d([0, self.right, 0, self.bottom, self.front, self.back])
        }
    }

    /// Crops the padding from `[b, c, t, h, w]`.
    pub fn crop(&self, video: &Tensor) -> Tensor {
        let size = video.size();
        video.narrow(2, self.front, size[2] - self.front - self.back).narrow(3, 0, size[3] - self.bottom).narrow(
            4,
            0,
            size[4] - self.right,
        )
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::Causality;
    use crate::config::Config;
    use crate::config::tests::TINY;

    fn arch(causality: Causality) -> ArchConfig {
        let mut config = Config::parse(TINY).unwrap().model;
        config.ch_mult = vec![1, 1, 1];
        config.temporal_down = vec![0, 1];
        config.temporal_up = vec![1, 2];
        config.causality = causality;
        config
    }

    #[test]
    fn clips_are_padded_to_the_next_natural_length() {
        for (t, front) in [(1, 3), (2, 6), (4, 4), (5, 3), (16, 4), (17, 3)] {
            for causality in [Causality::V1_0, Causality::V1_1] {
                assert_eq!(Padding::new(&arch(causality), [t, 8, 8]).front, front, "{t}");
            }
        }
        for (t, front) in [(1, 3), (4, 0), (16, 0), (17, 3)] {
            assert_eq!(Padding::new(&arch(Causality::NonCausal), [t, 8, 8]).front, front, "{t}");
        }
    }

    #[test]
    fn cropping_undoes_padding_and_padding_repeats_the_edges() {
        let video = Tensor::arange(3 * 2 * 3 * 5, (Kind::Float, Device::Cpu)).view([1, 3, 2, 3, 5]);
        let padding = Padding::new(&arch(Causality::V1_0), [2, 3, 5]);
        let padded = padding.pad(&video);
        assert_eq!(padded.size(), [1, 3, 8, 4, 6]);
        assert!(padding.crop(&padded).equal(&video));
        assert!(padded.select(2, 0).equal(&padded.select(2, 6)));
        assert!(padded.select(4, 5).equal(&padded.select(4, 4)));
    }
}
