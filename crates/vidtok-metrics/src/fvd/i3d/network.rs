//! The layers of I3D: Inception-v1 (arXiv 1409.4842) with kernels extended over time.

use tch::{Kind, Tensor};
use vidtok_torch::{Init, ParamPath, from_channels_last, to_channels_last};

use crate::fvd::i3d::I3d;

/// Epsilon of the batch norms.
const EPS: f64 = 1e-3;

/// Name and channels of a mixed layer: one convolution in the first branch, two each in the second and third, one in the last.
type Mixing = (&'static str, [i64; 6]);

/// The mixed layers between two poolings.
const STAGE_3: [Mixing; 2] = [("Mixed_3b", [64, 96, 128, 16, 32, 32]), ("Mixed_3c", [128, 128, 192, 32, 96, 64])];
const STAGE_4: [Mixing; 5] = [
    ("Mixed_4b", [192, 96, 208, 16, 48, 64]),
    ("Mixed_4c", [160, 112, 224, 24, 64, 64]),
    ("Mixed_4d", [128, 128, 256, 24, 64, 64]),
    ("Mixed_4e", [112, 144, 288, 32, 64, 64]),
    ("Mixed_4f", [256, 160, 320, 32, 128, 128]),
];
const STAGE_5: [Mixing; 2] = [("Mixed_5b", [256, 160, 320, 32, 128, 128]), ("Mixed_5c", [384, 192, 384, 48, 128, 128])];

#[derive(Debug)]
pub(super) struct Network {
    stem: [Unit; 3],
    stages: [Vec<Mixed>; 3],
    /// `[400, 1024]` and `[400]`.
    classifier: [Tensor; 2],
}

impl Network {
    pub(super) fn new(path: &ParamPath) -> Self {
        let stem = [("Conv3d_1a_7x7", 3, 64, 7, 2), ("Conv3d_2b_1x1", 64, 64, 1, 1), ("Conv3d_2c_3x3", 64, 192, 3, 1)];
        let stem =
            stem.map(|(name, input, output, kernel, stride)| Unit::new(&path.sub(name), input, output, kernel, stride));
        let mut channels = 192;
        let mut stage = |mixings: &[Mixing]| {
            let mixed = mixings.iter().map(|(name, sizes)| {
                let mixed = Mixed::new(&path.sub(*name), channels, *sizes);
                channels = sizes[0] + sizes[2] + sizes[4] + sizes[5];
                mixed
            });
            mixed.collect()
        };
        let stages = [stage(&STAGE_3), stage(&STAGE_4), stage(&STAGE_5)];
        let path = path.sub("Logits.Conv3d_0c_1x1");
        let shape = [I3d::CLASSES, channels, 1, 1, 1];
        let weight = path.get("weight", &shape, Init::fan_in(&shape)).view([I3d::CLASSES, channels]);
        let classifier = [weight, path.get("bias", &[I3d::CLASSES], Init::fan_in(&shape))];
        Self { stem, stages, classifier }
    }

    /// `[n, 3, t, 224, 224]` to `[n, 400]`.
    pub(super) fn forward(&self, clips: &Tensor) -> Tensor {
        let [first, second, third] = &self.stem;
        let [stage_3, stage_4, stage_5] = &self.stages;
        let through = |x: Tensor, stage: &[Mixed]| stage.iter().fold(x, |x, mixed| mixed.forward(&x));
        // Channels innermost in memory, the fastest layout for libtorch's convolutions.
        let x = from_channels_last(&to_channels_last(&clips.to_kind(Kind::Float)));
        let x = pool(&first.forward(&x), [1, 3, 3], [1, 2, 2]);
        let x = pool(&third.forward(&second.forward(&x)), [1, 3, 3], [1, 2, 2]);
        let x = pool(&through(x, stage_3), [3, 3, 3], [2, 2, 2]);
        let x = pool(&through(x, stage_4), [2, 2, 2], [2, 2, 2]);
        let x = through(x, stage_5).avg_pool3d([2, 7, 7], [1, 1, 1], [0, 0, 0], false, true, None);
        let [weight, bias] = &self.classifier;
        // The classifier is linear, so the mean of the logits is the logits of the mean.
        x.mean_dim([2_i64, 3, 4].as_slice(), false, Kind::Float).linear(weight, Some(bias))
    }
}

/// A convolution with its batch norm folded in, and ReLU.
#[derive(Debug)]
struct Unit {
    weight: Tensor,
    bias: Tensor,
    kernel: i64,
    stride: i64,
}

impl Unit {
    fn new(path: &ParamPath, input: i64, output: i64, kernel: i64, stride: i64) -> Self {
        let shape = [output, input, kernel, kernel, kernel];
        let weight = path.get("weight", &shape, Init::fan_in(&shape));
        let [bias, mean] = ["bias", "running_mean"].map(|name| path.get(name, &[output], Init::Constant(0.0)));
        let scale = (path.get("running_var", &[output], Init::Constant(1.0)) + EPS).rsqrt();
        let weight = from_channels_last(&to_channels_last(&(weight * scale.view([output, 1, 1, 1, 1]))));
        Self { weight, bias: bias - mean * scale, kernel, stride }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = same(x, [self.kernel; 3], [self.stride; 3]);
        x.conv3d(&self.weight, Some(&self.bias), [self.stride; 3], [0; 3], [1; 3], 1).relu_()
    }
}

/// Four branches with kernels of several sizes, concatenated along the channels.
#[derive(Debug)]
struct Mixed {
    narrow: Unit,
    wide: [[Unit; 2]; 2],
    pooled: Unit,
}

impl Mixed {
    fn new(path: &ParamPath, input: i64, [a, b0, b1, c0, c1, d]: [i64; 6]) -> Self {
        let unit = |name: &str, input, output, kernel| Unit::new(&path.sub(name), input, output, kernel, 1);
        Self {
            narrow: unit("Branch_0.Conv3d_0a_1x1", input, a, 1),
            wide: [
                [unit("Branch_1.Conv3d_0a_1x1", input, b0, 1), unit("Branch_1.Conv3d_0b_3x3", b0, b1, 3)],
                [unit("Branch_2.Conv3d_0a_1x1", input, c0, 1), unit("Branch_2.Conv3d_0b_3x3", c0, c1, 3)],
            ],
            pooled: unit("Branch_3.Conv3d_0b_1x1", input, d, 1),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let [second, third] = &self.wide;
        let wide = |[first, second]: &[Unit; 2]| second.forward(&first.forward(x));
        let pooled = self.pooled.forward(&pool(x, [3; 3], [1; 3]));
        Tensor::cat(&[self.narrow.forward(x), wide(second), wide(third), pooled], 1)
    }
}

/// Max pooling. Its inputs are never negative, so zero padding does not change the result.
fn pool(x: &Tensor, kernel: [i64; 3], stride: [i64; 3]) -> Tensor {
    same(x, kernel, stride).max_pool3d(kernel, stride, [0; 3], [1; 3], false)
}

/// TensorFlow's "same" padding with zeros, for ceil(n / stride) outputs along each axis; the smaller half goes in front.
fn same(x: &Tensor, kernel: [i64; 3], stride: [i64; 3]) -> Tensor {
    let size = x.size();
    let mut padding = Vec::with_capacity(6);
    // libtorch pads the last axis first.
    for axis in (0..3).rev() {
        let n = size[axis + 2];
        let missing = ((n - 1) / stride[axis] * stride[axis] + kernel[axis] - n).max(0);
        padding.extend([missing / 2, missing - missing / 2]);
    }
    if padding.iter().all(|&side| side == 0) { x.shallow_clone() } else { x.constant_pad_nd(padding) }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn the_smaller_half_of_the_padding_goes_in_front() {
        let x = Tensor::ones([1, 1, 5, 6, 7], (Kind::Float, Device::Cpu));
        let padded = same(&x, [2, 3, 7], [2, 2, 2]);
        // (5 - 1) / 2 * 2 + 2 - 5 = 1, then 6: 4 + 3 - 6 = 1, then 7: 6 + 7 - 7 = 6.
        assert_eq!(padded.size(), [1, 1, 6, 7, 13]);
        let at = |t, h, w| padded.double_value(&[0, 0, t, h, w]);
        assert_eq!((at(0, 0, 3), at(5, 0, 3), at(0, 6, 3), at(0, 0, 2), at(0, 0, 10)), (1.0, 0.0, 0.0, 0.0, 0.0));
    }
}
