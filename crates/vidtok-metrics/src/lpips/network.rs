//! The convolutions of VGG16 (arXiv 1409.1556) and AlexNet (arXiv 1404.5997), without their classifiers.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vidtok_torch::{Init, ParamPath};

use crate::weights::{WeightsError, locate};

/// The network whose features LPIPS compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LpipsNet {
    /// VGG16, with which VidTok is trained and measured.
    #[default]
    Vgg,
    /// AlexNet: faster, and common in the literature.
    Alex,
}

impl LpipsNet {
    const ALL: [Self; 2] = [Self::Vgg, Self::Alex];

    /// The smallest height and width of an image: all five feature maps must have a pixel.
    #[must_use]
    pub fn least_side(self) -> i64 {
        match self {
            Self::Vgg => 16,
            Self::Alex => 31,
        }
    }

    /// The path of the weights fetched by `cargo xtask assets`.
    ///
    /// # Errors
    /// If they were not fetched.
    pub fn weights_file(self) -> Result<PathBuf, WeightsError> {
        locate(PathBuf::from(format!("assets/lpips_{self}.safetensors")))
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|net| net.name() == name)
    }

    pub(super) fn metric_name(self) -> &'static str {
        match self {
            Self::Vgg => "lpips_vgg",
            Self::Alex => "lpips_alex",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Vgg => "vgg",
            Self::Alex => "alex",
        }
    }

    fn architecture(self) -> &'static Architecture {
        match self {
            Self::Vgg => &VGG,
            Self::Alex => &ALEX,
        }
    }
}

/// `vgg` or `alex`.
impl fmt::Display for LpipsNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A convolution: its index in torchvision's `features`, its channels and its config.
struct Shape {
    index: usize,
    input: i64,
    output: i64,
    kernel: i64,
    stride: i64,
    padding: i64,
}

/// A 3x3 convolution that keeps the size.
const fn same(index: usize, input: i64, output: i64) -> Shape {
    Shape { index, input, output, kernel: 3, stride: 1, padding: 1 }
}

struct Architecture {
    /// Kernel size of the max pooling, whose stride is 2.
    pool: i64,
    /// The number of slices, from the second on, that start with max pooling.
    pooled: usize,
    /// The convolutions before each feature map.
    slices: [&'static [Shape]; 5],
}

const VGG: Architecture = Architecture {
    pool: 2,
    pooled: 4,
    slices: [
        &[same(0, 3, 64), same(2, 64, 64)],
        &[same(5, 64, 128), same(7, 128, 128)],
        &[same(10, 128, 256), same(12, 256, 256), same(14, 256, 256)],
        &[same(17, 256, 512), same(19, 512, 512), same(21, 512, 512)],
        &[same(24, 512, 512), same(26, 512, 512), same(28, 512, 512)],
    ],
};

const ALEX: Architecture = Architecture {
    pool: 3,
    pooled: 2,
    slices: [
        &[Shape { index: 0, input: 3, output: 64, kernel: 11, stride: 4, padding: 2 }],
        &[Shape { index: 3, input: 64, output: 192, kernel: 5, stride: 1, padding: 2 }],
        &[same(6, 192, 384)],
        &[same(8, 384, 256)],
        &[same(10, 256, 256)],
    ],
};

/// The layers before a feature map.
#[derive(Debug)]
struct Slice {
    /// Kernel size of the max pooling before the convolutions.
    pool: Option<i64>,
    convolutions: Vec<ConvRelu>,
}

/// The network as five slices.
#[derive(Debug)]
pub(super) struct Network {
    slices: Vec<Slice>,
}

impl Network {
    pub(super) fn new(path: &ParamPath, net: LpipsNet) -> Self {
        let Architecture { pool, pooled, slices } = net.architecture();
        let slice = |(index, shapes): (usize, &&[Shape])| {
            let path = path.sub(format!("slice{}", index + 1));
            let pool = (1..=*pooled).contains(&index).then_some(*pool);
            Slice { pool, convolutions: shapes.iter().map(|shape| ConvRelu::new(&path, shape)).collect() }
        };
        Self { slices: slices.iter().enumerate().map(slice).collect() }
    }

    /// Channels of each feature map.
    pub(super) fn channels(&self) -> Vec<i64> {
        let last = |slice: &Slice| slice.convolutions.last().map(|conv| conv.weight.size()[0]);
        self.slices.iter().filter_map(last).collect()
    }

    /// The five feature maps `[n, c, h', w']` of channels-last images `[n, 3, h, w]`.
    pub(super) fn forward(&self, mut x: Tensor) -> Vec<Tensor> {
        let mut features = Vec::with_capacity(self.slices.len());
        for Slice { pool, convolutions } in &self.slices {
            if let Some(side) = *pool {
                x = x.max_pool2d([side; 2], [2; 2], [0; 2], [1; 2], false);
            }
            x = convolutions.iter().fold(x, |x, conv| conv.forward(&x));
            features.push(x.shallow_clone());
        }
        features
    }
}

/// A convolution of channels-last images, and ReLU.
#[derive(Debug)]
struct ConvRelu {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: i64,
}

impl ConvRelu {
    fn new(path: &ParamPath, shape: &Shape) -> Self {
        let &Shape { index, input, output, kernel, stride, padding } = shape;
        let path = path.sub(index);
        let shape = [output, input, kernel, kernel];
        let init = Init::fan_in(&shape);
        // Otherwise libtorch converts the kernels to the layout of the images at every call.
        let weight = channels_last(&path.get("weight", &shape, init));
        Self { weight, bias: path.get("bias", &[output], init), stride, padding }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let mut y = x.conv2d(&self.weight, Some(&self.bias), [self.stride; 2], [self.padding; 2], [1; 2], 1);
        // In place: no gradient needs the output of the convolution.
        y.relu_()
    }
}

/// Images `[n, c, h, w]` with channels innermost in memory, a layout that libtorch's convolutions keep.
pub(super) fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}
