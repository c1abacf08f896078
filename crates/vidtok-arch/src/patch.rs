//! Blocks of pixels as positions: the first step of an encoder and the last of a decoder.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// A block of `time` frames of `space` x `space` pixels that the networks treat as one position: the encoder reads its
/// pixels as channels, and the decoder writes them. A block of one pixel, as in the published models, is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Patch {
    /// Frames of a block: 1, 2, 4 or 8.
    pub time: i64,
    /// Rows, and columns, of a block: 1, 2, 4, 8 or 16.
    pub space: i64,
    /// What the channels are.
    pub transform: PatchTransform,
}

/// What the channels of a [`Patch`] are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PatchTransform {
    /// The pixels, as pixel unshuffling orders them.
    #[default]
    Pixels,
    /// The coefficients of the orthonormal Haar wavelet transform along all three axes, which has as many levels as the
    /// block allows.
    Haar,
}

/// The largest sides of a block.
const MAX_TIME: i64 = 8;
const MAX_SPACE: i64 = 16;

impl Default for Patch {
    fn default() -> Self {
        Self { time: 1, space: 1, transform: PatchTransform::Pixels }
    }
}

impl Patch {
    /// Whether each pixel is a position of its own.
    pub(crate) fn is_pixel(&self) -> bool {
        self.time == 1 && self.space == 1
    }

    /// The name of the first side that is not allowed, its value, and the largest one that is.
    pub(crate) fn wrong_side(&self) -> Option<(&'static str, i64, i64)> {
        [("time", self.time, MAX_TIME), ("space", self.space, MAX_SPACE)]
            .into_iter()
            .find(|&(_, side, max)| !(1..=max).contains(&side) || side & (side - 1) != 0)
    }

    /// Channels of a position of a video with `colors` channels.
    pub(crate) fn channels(&self, colors: i64) -> i64 {
        colors * self.time * self.space * self.space
    }

    /// Turns the video `[b, c, t, h, w]` into contiguous `[b, t / time, h / space, w / space, time * space * space * c]`.
    pub(crate) fn split(&self, video: &Tensor) -> Tensor {
        let size = video.size();
        let (time, space) = (self.time, self.space);
        let [b, c, t, h, w] = [size[0], size[1], size[2] / time, size[3] / space, size[4] / space];
        let blocks = video.view(&[b, c, t, time, h, space, w, space][..]).permute([0, 2, 4, 6, 3, 5, 7, 1]);
        let blocks = blocks.reshape([b, t, h, w, self.channels(c)]).contiguous();
        match self.transform {
            PatchTransform::Pixels => blocks,
            PatchTransform::Haar => blocks.matmul(&self.haar(c, &blocks).transpose(0, 1)),
        }
    }

    /// Turns what [`split`](Self::split) returned into a contiguous video of `colors` channels.
    pub(crate) fn join(&self, blocks: &Tensor, colors: i64) -> Tensor {
        let size = blocks.size();
        let (time, space) = (self.time, self.space);
        let [b, t, h, w] = [size[0], size[1], size[2], size[3]];
        let pixels = match self.transform {
            PatchTransform::Pixels => blocks.shallow_clone(),
            PatchTransform::Haar => blocks.matmul(&self.haar(colors, blocks)),
        };
        let pixels = pixels.view(&[b, t, h, w, time, space, space, colors][..]).permute([0, 7, 1, 4, 2, 5, 3, 6]);
        pixels.reshape([b, colors, t * time, h * space, w * space])
    }

    /// The transform of a position's channels: a row for each coefficient. Its inverse is its transpose.
    fn haar(&self, colors: i64, like: &Tensor) -> Tensor {
        let space = haar(self.space);
        let identity = Tensor::eye(colors, (Kind::Float, Device::Cpu));
        haar(self.time).kron(&space).kron(&space).kron(&identity).to_device(like.device()).to_kind(like.kind())
    }
}

/// The orthonormal Haar matrix of `n` values, a power of two: the mean first, then finer and finer differences.
fn haar(n: i64) -> Tensor {
    let one = Tensor::ones([1, 1], (Kind::Float, Device::Cpu));
    let (mut matrix, mut size) = (one, 1);
    while size < n {
        let sums = matrix.kron(&Tensor::from_slice(&[1.0_f32, 1.0]).view([1, 2]));
        let differences =
            Tensor::eye(size, (Kind::Float, Device::Cpu)).kron(&Tensor::from_slice(&[1.0_f32, -1.0]).view([1, 2]));
        matrix = Tensor::cat(&[sums, differences], 0) * std::f64::consts::FRAC_1_SQRT_2;
        size *= 2;
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    #[test]
    fn a_block_of_pixels_becomes_the_channels_of_its_position() {
        let patch = Patch { time: 2, space: 2, transform: PatchTransform::Pixels };
        let video = Tensor::arange(3 * 4 * 4 * 6, CPU).view([1, 3, 4, 4, 6]);
        let blocks = patch.split(&video);
        assert_eq!(blocks.size(), [1, 2, 2, 3, 24]);
        let block = video.slice(2, 2, 4, 1).slice(3, 0, 2, 1).slice(4, 4, 6, 1).permute([0, 2, 3, 4, 1]);
        assert!(blocks.select(1, 1).select(1, 0).select(1, 2).equal(&block.reshape([1, 24])));
    }

    #[test]
    fn joining_undoes_splitting_and_the_haar_transform_keeps_the_norm() {
        for transform in [PatchTransform::Pixels, PatchTransform::Haar] {
            for (time, space) in [(1, 1), (1, 4), (4, 8), (2, 2)] {
                let patch = Patch { time, space, transform };
                let video = Tensor::rand([2, 3, 8, 16, 24], CPU);
                let blocks = patch.split(&video);
                assert!(blocks.is_contiguous() && patch.channels(3) == blocks.size()[4]);
                assert!((blocks.norm() - video.norm()).abs().double_value(&[]) < 1e-3);
                let joined = patch.join(&blocks, 3);
                assert!((&joined - &video).abs().max().double_value(&[]) < 1e-5 && joined.size() == video.size());
            }
        }
    }

    #[test]
    fn the_haar_transform_of_a_constant_block_is_its_scaled_mean_alone() {
        let patch = Patch { time: 2, space: 4, transform: PatchTransform::Haar };
        let blocks = patch.split(&Tensor::ones([1, 1, 2, 4, 4], CPU)).flatten(0, -1);
        assert!((blocks.double_value(&[0]) - 32.0_f64.sqrt()).abs() < 1e-5);
        assert!(blocks.slice(0, 1, 32, 1).abs().max().double_value(&[]) < 1e-6);
    }
}
