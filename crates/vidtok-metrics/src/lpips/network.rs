//! The convolutions of VGG16 (arXiv 1409.1556) and AlexNet (arXiv 1404.5997), without their classifiers.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vidtok_torch::{Init, ParamPath};

use crate::weights::{WeightsError, locate};

/// Which network's features are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LpipsNet {
    /// VGG16: the one that VidTok is trained and measured with.
    #[default]
    Vgg,
    /// AlexNet: quicker, and what much of the literature reports.
    Alex,
}

impl LpipsNet {
    const ALL: [Self; 2] = [Self::Vgg, Self::Alex];

    /// The fewest rows and columns of an image from which all five features have a pixel.
    #[must_use]
    pub fn least_side(self) -> i64 {
        match self {
            Self::Vgg => 16,
            Self::Alex => 31,
        }
    }

    /// The file of its weights that `cargo xtask assets` fetched.
    ///
    /// # Errors
    /// If there is none, with what to do.
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

/// A convolution: its place in torchvision's `features`, channels, and config.
struct Shape {
    place: usize,
    input: i64,
    output: i64,
    kernel: i64,
    stride: i64,
    padding: i64,
}

/// 3x3, the size stays.
const fn same(place: usize, input: i64, output: i64) -> Shape {
    Shape { place, input, output, kernel: 3, stride: 1, padding: 1 }
}

struct Architecture {
    /// Side of the windows, two pixels apart, of which the largest value is kept.
    pool: i64,
    /// How many slices, from the second on, start with that.
    pooled: usize,
    /// The convolutions up to each feature.
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
        &[Shape { place: 0, input: 3, output: 64, kernel: 11, stride: 4, padding: 2 }],
        &[Shape { place: 3, input: 64, output: 192, kernel: 5, stride: 1, padding: 2 }],
        &[same(6, 192, 384)],
        &[same(8, 384, 256)],
        &[same(10, 256, 256)],
    ],
};

/// The convolutions up to a feature.
#[derive(Debug)]
struct Slice {
    /// The side of the pooling window before them.
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

    /// Channels of each feature.
    pub(super) fn channels(&self) -> Vec<i64> {
        let last = |slice: &Slice| slice.convolutions.last().map(|conv| conv.weight.size()[0]);
        self.slices.iter().filter_map(last).collect()
    }

    /// Channels-last images `[n, 3, h, w]` to five features `[n, c, h', w']`.
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

/// A convolution of channels-last images and max(x, 0).
#[derive(Debug)]
struct ConvRelu {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: i64,
}

impl ConvRelu {
    fn new(path: &ParamPath, shape: &Shape) -> Self {
        let &Shape { place, input, output, kernel, stride, padding } = shape;
        let path = path.sub(place);
        let shape = [output, input, kernel, kernel];
        let init = Init::fan_in(&shape);
        // libtorch would bring kernels into the layout of the images at every call.
        let weight = channels_last(&path.get("weight", &shape, init));
        Self { weight, bias: path.get("bias", &[output], init), stride, padding }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let mut y = x.conv2d(&self.weight, Some(&self.bias), [self.stride; 2], [self.padding; 2], [1; 2], 1);
        // In place: the gradient of neither needs what the convolution gave.
        y.relu_()
    }
}

/// `[n, c, h, w]` with c innermost in memory. libtorch's convolutions answer in the same layout.
pub(super) fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}
