//! The layers that take most of the networks' time, each as a case: a layer at a size.
//!
//! `benches/layers.rs` times them, `examples/roofline.rs` compares them with the machine's peaks.

use std::fmt::{self, Display, Formatter};

use tch::{Device, Kind, Tensor};
use vidtok_torch::{
    CausalContext, Conv1d, Conv2d, Conv3d, ConvInit, LayerNorm, ParamPath, ParameterError, Parameters, Pointwise,
    RowEdges, SpatialConvConfig, TemporalConvConfig, add,
};

/// Operations of norm and activation for each value: mean and variance (4), the affine map (4), and the activation's
/// exponential, sum, quotient and product (4).
const NORM_SILU_OPERATIONS: i64 = 12;

/// A layer as the causal networks use it, and what it is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A 3x3 convolution of each frame.
    Conv2d,
    /// A convolution over three frames, of each pixel.
    Conv1d,
    /// A 3x3x3 convolution.
    Conv3d,
    /// A 1x1 convolution: a matrix product over channels.
    Pointwise,
    /// Norm and activation.
    NormSilu,
    /// Attention over the positions of each frame, with its norm and projections.
    Attention,
    /// The convolution that halves height and width.
    DownsampleSpace,
    /// The convolution that doubles height and width.
    UpsampleSpace,
    /// The convolution that halves the number of frames.
    DownsampleTime,
    /// The convolution that doubles the number of frames.
    UpsampleTime,
}

impl Layer {
    /// The number of frames of causal context that the input begins with.
    fn frames_before(self) -> i64 {
        match self {
            Self::Conv1d | Self::Conv3d => 2,
            Self::DownsampleTime | Self::UpsampleTime => 1,
            _ => 0,
        }
    }

    /// The layer with fresh parameters.
    fn build(self, path: &ParamPath, [input, output]: [i64; 2]) -> Box<dyn Fn(&Tensor) -> Tensor> {
        let conv2d = |config| Conv2d::new(path, input, output, config, ConvInit::Default);
        let over_time = |stride| TemporalConvConfig { kernel: 3, stride, padding: 0 };
        let conv3d = |stride| Conv3d::new(path, input, output, over_time(stride), ConvInit::Default);
        match self {
            Self::Conv2d => {
                let conv = conv2d(Conv2d::SAME);
                Box::new(move |x| conv.forward(x))
            }
            Self::Conv1d => {
                let conv = Conv1d::new(path, input, output, over_time(1), ConvInit::Default);
                Box::new(move |x| conv.forward(x))
            }
            Self::Conv3d => {
                let conv = conv3d(1);
                Box::new(move |x| conv.forward(x))
            }
            Self::Pointwise => {
                let product = Pointwise::new(path, input, output, 2);
                Box::new(move |x| product.forward(x))
            }
            Self::NormSilu => {
                let norm = LayerNorm::new(path, input);
                Box::new(move |x| norm.forward_silu(x))
            }
            Self::Attention => attention(path, input),
            Self::DownsampleSpace => {
                let conv = conv2d(SpatialConvConfig { kernel: 3, stride: 2, padding: 0 });
                Box::new(move |x| conv.forward(&x.constant_pad_nd([0, 0, 0, 1, 0, 1])))
            }
            Self::UpsampleSpace => {
                let conv = conv2d(Conv2d::SAME);
                Box::new(move |x| conv.forward_upsampled(x, RowEdges::Zeros))
            }
            Self::DownsampleTime => {
                let conv = conv3d(2);
                Box::new(move |x| conv.forward(x))
            }
            Self::UpsampleTime => {
                let conv = conv3d(1);
                Box::new(move |x| conv.forward_upsampled(&CausalContext::NONE, x, RowEdges::Zeros))
            }
        }
    }

    /// Operations for each value of the output, for the given input channels and positions of a frame.
    fn operations(self, input: i64, positions: i64) -> i64 {
        match self {
            Self::Conv2d | Self::DownsampleSpace | Self::UpsampleSpace => 2 * 9 * input,
            Self::Conv1d => 2 * 3 * input,
            Self::Conv3d | Self::DownsampleTime | Self::UpsampleTime => 2 * 27 * input,
            Self::Pointwise => 2 * input,
            Self::NormSilu => NORM_SILU_OPERATIONS,
            // Four projections, and two matrix products with the scores.
            Self::Attention => 4 * 2 * input + 2 * 2 * positions,
        }
    }
}

impl Display for Layer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conv2d => "conv2d",
            Self::Conv1d => "conv1d",
            Self::Conv3d => "conv3d",
            Self::Pointwise => "pointwise",
            Self::NormSilu => "norm_silu",
            Self::Attention => "attention",
            Self::DownsampleSpace => "downsample_space",
            Self::UpsampleSpace => "upsample_space",
            Self::DownsampleTime => "downsample_time",
            Self::UpsampleTime => "upsample_time",
        })
    }
}

/// The attention of the networks, which is private to them: x + proj(softmax(q k^T / sqrt(c)) v) with one head.
fn attention(path: &ParamPath, channels: i64) -> Box<dyn Fn(&Tensor) -> Tensor> {
    let norm = LayerNorm::new(&path.sub("norm"), channels);
    let [q, k, v, projection] =
        ["q", "k", "v", "proj_out"].map(|name| Pointwise::new(&path.sub(name), channels, channels, 3));
    Box::new(move |x| {
        let size = x.size();
        let normed = norm.forward(x).view([size[0] * size[1], 1, size[2] * size[3], size[4]]);
        let [q, k, v] = [&q, &k, &v].map(|project| project.forward(&normed));
        let attended = vidtok_torch::attention(&q, &k, &v);
        add(projection.forward(&attended).view(size.as_slice()), x)
    })
}

/// A layer with fresh parameters, for one clip of a given size.
pub struct Case {
    layer: Layer,
    size: [i64; 3],
    channels: [i64; 2],
    forward: Box<dyn Fn(&Tensor) -> Tensor>,
    parameters: Parameters,
}

impl Case {
    /// Makes a case. `size` is `[t, h, w]` of the input without its causal context; `channels` are those of input and
    /// output.
    ///
    /// # Errors
    /// If the layer registers a parameter twice.
    pub fn new(layer: Layer, size: [i64; 3], channels: [i64; 2]) -> Result<Self, ParameterError> {
        let path = ParamPath::fresh(Device::Cpu);
        let forward = layer.build(&path, channels);
        Ok(Self { layer, size, channels, forward, parameters: path.finish()? })
    }

    /// The layer.
    #[must_use]
    pub fn layer(&self) -> Layer {
        self.layer
    }

    /// The layer's parameters, which share memory with it.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// A random input, `[1, t, h, w, c]`, that begins with the causal context.
    pub fn input(&self) -> Tensor {
        let [t, h, w] = self.size;
        Tensor::randn([1, self.layer.frames_before() + t, h, w, self.channels[0]], (Kind::Float, Device::Cpu))
    }

    /// The layer's output.
    pub fn forward(&self, input: &Tensor) -> Tensor {
        (self.forward)(input)
    }

    /// Multiplications and additions of the direct form, in which every tap of a kernel is multiplied.
    #[must_use]
    pub fn operations(&self, output: &Tensor) -> f64 {
        let [_, h, w] = self.size;
        self.layer.operations(self.channels[0], h * w) as f64 * output.numel() as f64
    }

    /// The size of the input without its causal context, and the channels: `4x64x64x128`, `4x64x64x128-256`.
    #[must_use]
    pub fn size(&self) -> String {
        let ([t, h, w], [input, output]) = (self.size, self.channels);
        let size = format!("{t}x{h}x{w}x{input}");
        if input == output { size } else { format!("{size}-{output}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_give_clips_of_the_size_that_they_are_named_after() {
        let same = [4, 6, 8];
        for (layer, size) in [
            (Layer::Conv2d, same),
            (Layer::Conv1d, same),
            (Layer::Conv3d, same),
            (Layer::Pointwise, same),
            (Layer::NormSilu, same),
            (Layer::Attention, same),
            (Layer::DownsampleSpace, [4, 3, 4]),
            (Layer::UpsampleSpace, [4, 12, 16]),
            (Layer::DownsampleTime, [2, 6, 8]),
            (Layer::UpsampleTime, [8, 6, 8]),
        ] {
            let case = Case::new(layer, same, [16, 16]).unwrap();
            let [t, h, w] = size;
            assert_eq!(case.forward(&case.input()).size(), [1, t, h, w, 16], "{layer}");
            assert_eq!(case.size(), "4x6x8x16");
        }
    }

    #[test]
    fn operations_are_those_of_the_direct_form() {
        let count = |layer, size, channels| {
            let case = Case::new(layer, size, channels).unwrap();
            case.operations(&case.forward(&case.input()))
        };
        // One multiplication and one addition for each output position, pair of channels and tap.
        assert_eq!(count(Layer::Conv2d, [1, 2, 3], [5, 7]), 2.0 * (9 * 6 * 5 * 7) as f64);
        assert_eq!(count(Layer::UpsampleTime, [2, 2, 3], [5, 7]), 2.0 * (27 * 24 * 5 * 7) as f64);
        assert_eq!(count(Layer::DownsampleSpace, [2, 2, 4], [5, 7]), 2.0 * (9 * 4 * 5 * 7) as f64);
        // q k^T and the product with v: 6 x 6 scores of 5 channels; four projections of 6 x 5.
        assert_eq!(count(Layer::Attention, [1, 2, 3], [5, 5]), 2.0 * (2 * 36 * 5 + 4 * 6 * 25) as f64);
    }

    #[test]
    fn a_name_tells_the_channels_of_both_sides_where_they_differ() {
        let case = Case::new(Layer::Pointwise, [1, 2, 3], [5, 7]).unwrap();
        assert_eq!(format!("{}/{}", case.layer(), case.size()), "pointwise/1x2x3x5-7");
        assert_eq!(case.parameters().count(""), 5 * 7 + 7);
    }
}
