//! The Karhunen-Loève transform of blocks of pixels: of all linear codecs with as many numbers for each block, the one with
//! the smallest mean squared error on the videos that it was fitted to.

use tch::{Device, Kind, Tensor};
use vidtok_torch::{from_channels_last, to_channels_last};

use crate::linear::COLORS;
use crate::patch::{Patch, PatchTransform};

/// Collects the statistics of blocks of videos.
#[derive(Debug)]
pub struct KltFit {
    block: Patch,
    blocks: i64,
    /// The sum of the blocks, float64 `[d]`.
    sum: Tensor,
    /// The sum of their outer products, float64 `[d, d]`.
    products: Tensor,
}

impl KltFit {
    /// Starts on blocks of `time` frames of `space` x `space` pixels, which have d = 3 * time * space * space numbers.
    #[must_use]
    pub fn new(time: i64, space: i64) -> Self {
        let block = Patch { time, space, transform: PatchTransform::Pixels };
        let d = block.channels(COLORS);
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Double, Device::Cpu));
        Self { block, blocks: 0, sum: zeros(&[d]), products: zeros(&[d, d]) }
    }

    /// Adds the blocks of a video `[b, 3, t, h, w]` in [-1, 1], whose frames, rows and columns are multiples of a block's.
    pub fn add(&mut self, video: &Tensor) {
        let blocks = Self::blocks([self.block.time, self.block.space], video);
        self.blocks += blocks.size()[0];
        self.sum += blocks.sum_dim_intlist(0, false, Kind::Double);
        self.products += blocks.transpose(0, 1).matmul(&blocks).to_kind(Kind::Double);
    }

    /// The blocks of a video as rows: float32 `[b * t / time * h / space * w / space, d]` on the CPU.
    pub fn blocks([time, space]: [i64; 2], video: &Tensor) -> Tensor {
        let block = Patch { time, space, transform: PatchTransform::Pixels };
        block.split(&video.to_device(Device::Cpu).to_kind(Kind::Float)).flatten(0, 3)
    }

    /// The transform with `numbers` coefficients of a block, at most as many as its pixels have numbers.
    #[must_use]
    pub fn finish(&self, numbers: i64) -> Klt {
        let mean = &self.sum / self.blocks.max(1);
        let covariance = &self.products / self.blocks.max(1) - mean.outer(&mean);
        let (variances, vectors) = covariance.linalg_eigh("L");
        let d = mean.size()[0];
        let numbers = numbers.clamp(0, d);
        // Eigenvalues ascend.
        let best = |x: Tensor| x.narrow(-1, d - numbers, numbers).flip([-1]).to_kind(Kind::Float);
        Klt {
            block: self.block,
            mean: mean.to_kind(Kind::Float),
            basis: best(vectors).transpose(0, 1).contiguous(),
            deviations: best(variances).clamp_min(0.0).sqrt(),
        }
    }
}

/// A fitted transform.
#[derive(Debug)]
pub struct Klt {
    block: Patch,
    /// The mean block, float32 `[d]`.
    pub mean: Tensor,
    /// The basis, float32 `[n, d]`: orthonormal rows in the order of their variance, the largest first.
    pub basis: Tensor,
    /// The standard deviation of each coefficient, float32 `[n]`.
    pub deviations: Tensor,
}

impl Klt {
    /// Frames, and rows or columns, of a block.
    #[must_use]
    pub fn block(&self) -> [i64; 2] {
        [self.block.time, self.block.space]
    }

    /// The transform of these blocks with this mean `[d]`, basis `[n, d]` and standard deviations `[n]`; `None` if a shape
    /// does not fit.
    #[must_use]
    pub fn from_parts([time, space]: [i64; 2], mean: Tensor, basis: Tensor, deviations: Tensor) -> Option<Self> {
        let block = Patch { time, space, transform: PatchTransform::Pixels };
        let d = block.channels(COLORS);
        let fits = mean.size() == [d] && basis.size() == [deviations.numel() as i64, d];
        fits.then_some(Self { block, mean, basis, deviations })
    }

    /// The same transform with its first `numbers` coefficients; `None` if it has fewer.
    #[must_use]
    pub fn truncated(&self, numbers: i64) -> Option<Self> {
        (numbers <= self.basis.size()[0]).then(|| Self {
            block: self.block,
            mean: self.mean.shallow_clone(),
            basis: self.basis.narrow(0, 0, numbers),
            deviations: self.deviations.narrow(0, 0, numbers),
        })
    }

    /// The coefficients `[b, n, t / time, h / space, w / space]` of a video `[b, 3, t, h, w]` in [-1, 1], whose frames, rows
    /// and columns are multiples of a block's.
    pub fn encode(&self, video: &Tensor) -> Tensor {
        from_channels_last(&(self.block.split(video) - &self.mean).matmul(&self.basis.transpose(0, 1)))
    }

    /// The video of coefficients.
    pub fn decode(&self, coefficients: &Tensor) -> Tensor {
        self.block.join(&(to_channels_last(coefficients).matmul(&self.basis) + &self.mean), COLORS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn fitted(video: &Tensor, numbers: i64) -> Klt {
        let mut fit = KltFit::new(2, 2);
        fit.add(video);
        fit.finish(numbers)
    }

    #[test]
    fn all_coefficients_restore_the_video_and_fewer_lose_the_variance_of_the_rest() {
        tch::manual_seed(0);
        let video = Tensor::rand([2, 3, 4, 16, 16], CPU) * 2.0 - 1.0;
        let all = fitted(&video, 24);
        let error =
            |klt: &Klt| (klt.decode(&klt.encode(&video)) - &video).square().mean(Kind::Double).double_value(&[]);
        assert!(error(&all) < 1e-9);
        let variances = all.deviations.square();
        for numbers in [0, 5, 20] {
            let lost = variances.slice(0, numbers, 24, 1).sum(Kind::Double).double_value(&[]) / 24.0;
            let few = fitted(&video, numbers);
            assert!((error(&few) - lost).abs() < 1e-5, "{numbers}");
            assert!((error(&all.truncated(numbers).unwrap()) - lost).abs() < 1e-5);
        }
        assert!(all.truncated(25).is_none());
    }

    #[test]
    fn coefficients_are_uncorrelated_with_the_stated_deviations() {
        tch::manual_seed(1);
        let noise = Tensor::randn([1, 3, 8, 32, 32], CPU) * 0.2;
        let video = noise.cumsum(4, Kind::Float) * 0.2 + 0.3;
        let klt = fitted(&video, 6);
        let coefficients = to_channels_last(&klt.encode(&video)).flatten(0, 3).to_kind(Kind::Double);
        let covariance = coefficients.transpose(0, 1).matmul(&coefficients) / coefficients.size()[0];
        let expected = klt.deviations.square().diag(0);
        assert!((covariance - expected).abs().max().double_value(&[]) < 1e-4);
    }
}
