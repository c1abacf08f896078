//! Convolutions over contiguous channels-last activations `[b, t, h, w, c]`.
//!
//! Each layer passes libtorch a permuted view. libtorch returns the layout of its input, so the permutation back is
//! contiguous again. `contiguous()` at the end copies only where libtorch falls back to a kernel without channels-last
//! layout, such as those for double precision.
//!
//! Like tch's own functions, layers panic on an input that does not fit, with a message that says what they expected.

use tch::Tensor;

use crate::nn::causal_context::CausalContext;
use crate::nn::conv_call::{convolution, normed_convolution};
use crate::nn::init::Init;
use crate::nn::norm::LayerNorm;
use crate::nn::parameter::Parameter;
use crate::nn::params::ParamPath;
use crate::runtime::flops;

/// The initial parameters of a convolution that is not loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConvInit {
    /// PyTorch's default.
    #[default]
    Default,
    /// Zero weight and bias, for residual blocks that start as the identity.
    Zero,
}

impl ConvInit {
    fn get(self, path: &ParamPath, shape: &[i64]) -> (Parameter, Parameter) {
        let init = match self {
            Self::Default => Init::fan_in(shape),
            Self::Zero => Init::Constant(0.0),
        };
        (path.get("weight", shape, init).into(), path.get("bias", &shape[..1], init).into())
    }
}

/// Kernel, stride and zero padding over height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpatialConvConfig {
    /// Kernel size.
    pub kernel: i64,
    /// Stride.
    pub stride: i64,
    /// Rows and columns of zeros on each side.
    pub padding: i64,
}

/// Kernel, stride and zero padding over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemporalConvConfig {
    /// Kernel size.
    pub kernel: i64,
    /// Stride.
    pub stride: i64,
    /// Frames of zeros at both ends.
    pub padding: i64,
}

/// The rows that a convolution sees above the first and below the last row of its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowEdges {
    /// Rows of zeros, as the padding says. The input is a whole frame.
    #[default]
    Zeros,
    /// The input's first and last row, which have no output themselves. The input is a strip of a frame.
    Neighbours,
}

impl RowEdges {
    /// The padding over height of a layer that pads whole frames by `padding`.
    pub(crate) fn padding(self, padding: i64) -> i64 {
        match self {
            Self::Zeros => padding,
            Self::Neighbours => 0,
        }
    }
}

/// A convolution of each frame. Parameters: `weight [out, in, k, k]`, `bias [out]`.
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Parameter,
    bias: Option<Parameter>,
    config: SpatialConvConfig,
}

impl Conv2d {
    /// 3x3 with the output size of the input.
    pub const SAME: SpatialConvConfig = SpatialConvConfig { kernel: 3, stride: 1, padding: 1 };

    /// Creates or loads the layer.
    #[must_use]
    pub fn new(path: &ParamPath, input: i64, output: i64, config: SpatialConvConfig, init: ConvInit) -> Self {
        let (weight, bias) = init.get(path, &[output, input, config.kernel, config.kernel]);
        Self { weight, bias: Some(bias), config }
    }

    pub(crate) fn weight(&self) -> &Tensor {
        &self.weight
    }

    pub(crate) fn bias(&self) -> Option<&Tensor> {
        self.bias.as_deref()
    }

    /// Takes out the bias if the operation on the layer's output is to add it: [`LayerNorm::after_bias`] or
    /// [`add_biased`](crate::add_biased). That is faster on GPUs; elsewhere the bias stays.
    #[must_use]
    pub fn defer_bias(mut self) -> (Self, Option<Parameter>) {
        let bias = defer(&mut self.bias);
        (self, bias)
    }

    /// Maps `[b, t, h, w, in]` to `[b, t, h', w', out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_rows(x, RowEdges::Zeros)
    }

    /// Like [`forward`](Self::forward), on whole frames or on a strip of rows.
    pub fn forward_rows(&self, x: &Tensor, edges: RowEdges) -> Tensor {
        let SpatialConvConfig { stride, padding, .. } = self.config;
        let padding = [edges.padding(padding), padding];
        check_input("Conv2d", x, &self.weight);
        from_images(&convolution(&images(x), &CausalContext::NONE, &self.weight, self.bias(), [stride; 2], padding), x)
    }

    /// Applies the layer to silu(norm(x)), see [`LayerNorm::forward_silu`]. Where our fused kernel runs (on the CPU,
    /// without gradients), it makes a few normalised rows at a time; otherwise `x` is freed before the convolution.
    pub fn forward_normed(&self, norm: &LayerNorm, x: Tensor) -> Tensor {
        let SpatialConvConfig { stride, padding, .. } = self.config;
        check_input("Conv2d", &x, &self.weight);
        let fused = self.bias().filter(|_| stride == 1);
        let fused = fused.and_then(|bias| normed_convolution(norm, &images(&x), &self.weight, bias, [padding; 2]));
        if let Some(y) = fused {
            return from_images(&y, &x);
        }
        let h = norm.forward_silu(&x);
        drop(x);
        self.forward(&h)
    }
}

/// Takes the bias out of a layer whose output goes to an operation that adds it in its own pass over memory. Only on GPUs:
/// there libtorch adds a bias after the convolution, in a pass of its own.
fn defer(bias: &mut Option<Parameter>) -> Option<Parameter> {
    bias.take_if(|bias| bias.device().is_cuda())
}

/// Checks that `x` is `[b, t, h, w, in]` for a layer with this weight `[out, in, ...]`.
pub(crate) fn check_input(layer: &str, x: &Tensor, weight: &Tensor) {
    let (size, channels) = (x.size(), weight.size()[1]);
    assert!(
        size.len() == 5 && size[4] == channels && x.device() == weight.device(),
        "{layer}: the input is {size:?} on {:?}; expected [b, t, h, w, {channels}] on {:?}",
        x.device(),
        weight.device(),
    );
}

/// Views `[b, t, h, w, c]` as clips `[b, c, t, h, w]`.
pub(crate) fn clips(x: &Tensor) -> Tensor {
    x.permute([0, 4, 1, 2, 3])
}

/// Views `[b, t, h, w, c]` as images `[b * t, c, h, w]`.
fn images(x: &Tensor) -> Tensor {
    let size = x.size();
    x.reshape([size[0] * size[1], size[2], size[3], size[4]]).permute([0, 3, 1, 2])
}

/// Turns images `[b * t, c, h, w]` into `[b, t, h, w, c]`, with b and t of `x`.
fn from_images(images: &Tensor, x: &Tensor) -> Tensor {
    let y = images.permute([0, 2, 3, 1]).contiguous();
    let (size, out) = (x.size(), y.size());
    y.view([size[0], size[1], out[1], out[2], out[3]])
}

/// A convolution of each pixel over time. Parameters: `weight [out, in, k]`, `bias [out]`.
#[derive(Clone, Debug)]
pub struct Conv1d {
    weight: Parameter,
    bias: Option<Parameter>,
    config: TemporalConvConfig,
}

impl Conv1d {
    /// Creates or loads the layer.
    #[must_use]
    pub fn new(path: &ParamPath, input: i64, output: i64, config: TemporalConvConfig, init: ConvInit) -> Self {
        let (weight, bias) = init.get(path, &[output, input, config.kernel]);
        Self { weight, bias: Some(bias), config }
    }

    /// Takes out the bias if the operation on the layer's output is to add it: [`LayerNorm::after_bias`] or
    /// [`add_biased`](crate::add_biased). That is faster on GPUs; elsewhere the bias stays.
    #[must_use]
    pub fn defer_bias(mut self) -> (Self, Option<Parameter>) {
        let bias = defer(&mut self.bias);
        (self, bias)
    }

    /// Maps `[b, t, h, w, in]` to `[b, t', h, w, out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_after(&CausalContext::NONE, x)
    }

    /// Like [`forward`](Self::forward), on `x` after its causal context.
    pub fn forward_after(&self, context: &CausalContext, x: &Tensor) -> Tensor {
        check_input("Conv1d", x, &self.weight);
        context.check(x);
        let size = x.size();
        let TemporalConvConfig { stride, padding, .. } = self.config;
        // An image of t rows and h * w columns.
        let image = |x: &Tensor| x.reshape([size[0], x.size()[1], size[2] * size[3], size[4]]).permute([0, 3, 1, 2]);
        let weight = self.weight.unsqueeze(-1);
        let y = convolution(&image(x), &context.map(image), &weight, self.bias.as_deref(), [stride, 1], [padding, 0]);
        let y = y.permute([0, 2, 3, 1]).contiguous();
        let out = y.size();
        y.view([size[0], out[1], size[2], size[3], out[3]])
    }
}

/// A convolution over time, height and width, with stride 1 and padding 1 in space. Parameters:
/// `weight [out, in, k_t, 3, 3]`, `bias [out]`.
#[derive(Clone, Debug)]
pub struct Conv3d {
    weight: Parameter,
    bias: Option<Parameter>,
    config: TemporalConvConfig,
}

impl Conv3d {
    /// Creates or loads the layer. `config` is over time.
    #[must_use]
    pub fn new(path: &ParamPath, input: i64, output: i64, config: TemporalConvConfig, init: ConvInit) -> Self {
        let (weight, bias) = init.get(path, &[output, input, config.kernel, 3, 3]);
        Self { weight, bias: Some(bias), config }
    }

    /// The weight, `[out, in, k_t, 3, 3]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    pub(crate) fn bias(&self) -> Option<&Tensor> {
        self.bias.as_deref()
    }

    pub(crate) fn conv_config(&self) -> TemporalConvConfig {
        self.config
    }

    /// Takes out the bias if the operation on the layer's output is to add it: [`LayerNorm::after_bias`] or
    /// [`add_biased`](crate::add_biased). That is faster on GPUs; elsewhere the bias stays.
    #[must_use]
    pub fn defer_bias(mut self) -> (Self, Option<Parameter>) {
        let bias = defer(&mut self.bias);
        (self, bias)
    }

    /// A layer whose output is `factor` times this one's, with parameters of the same kind. Gradients reach `factor`, which may
    /// have another kind, and this layer's parameters.
    ///
    /// # Panics
    /// If `factor` has more than one element.
    #[must_use]
    pub fn scaled(&self, factor: &Tensor) -> Self {
        assert!(factor.numel() == 1, "Conv3d: the factor is {:?}; expected one element", factor.size());
        let scale = |parameter: &Parameter| Parameter::from((&**parameter * factor).to_kind(parameter.kind()));
        Self { weight: scale(&self.weight), bias: self.bias.as_ref().map(scale), config: self.config }
    }

    /// Maps `[b, t, h, w, in]` to `[b, t', h, w, out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_after(&CausalContext::NONE, x, RowEdges::Zeros)
    }

    /// Like [`forward`](Self::forward), on whole frames or a strip of rows `x` after its causal context.
    pub fn forward_after(&self, context: &CausalContext, x: &Tensor, edges: RowEdges) -> Tensor {
        let TemporalConvConfig { stride, padding, .. } = self.config;
        let padding = [padding, edges.padding(1), 1];
        check_input("Conv3d", x, &self.weight);
        context.check(x);
        let y = convolution(&clips(x), &context.map(clips), &self.weight, self.bias(), [stride, 1, 1], padding);
        y.permute([0, 2, 3, 4, 1]).contiguous()
    }
}

/// A 1x1 convolution, which is a matrix product over channels. Parameters: `weight [out, in, 1...]`, `bias [out]`.
#[derive(Clone, Debug)]
pub struct Pointwise {
    weight: Parameter,
    bias: Parameter,
}

impl Pointwise {
    /// Creates or loads the layer. `axes` is the number of axes of the published kernel: 1, 2 or 3.
    #[must_use]
    pub fn new(path: &ParamPath, input: i64, output: i64, axes: usize) -> Self {
        Self::with_init(path, [input, output], axes, ConvInit::Default)
    }

    /// Like [`new`](Self::new) with `[input, output]` channels and another initial weight.
    #[must_use]
    pub fn with_init(path: &ParamPath, [input, output]: [i64; 2], axes: usize, init: ConvInit) -> Self {
        let mut shape = vec![output, input];
        shape.resize(2 + axes, 1);
        let (weight, bias) = init.get(path, &shape);
        Self { weight, bias }
    }

    /// The weight, `[out, in, 1, ...]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Maps `[..., in]` to `[..., out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let matrix = self.weight.flatten(1, -1);
        flops::count(2 * x.numel() as i64 * matrix.size()[0]);
        x.linear(&matrix, Some(&*self.bias))
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::autograd::autocast::autocast;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    fn assert_close(a: &Tensor, b: &Tensor) {
        assert_eq!(a.size(), b.size());
        let worst = (a - b).abs().max().double_value(&[]);
        assert!(worst < 1e-4, "{worst}");
    }

    #[test]
    fn libtorch_convolutions_return_the_layout_of_their_input() {
        tch::manual_seed(0);
        let x = random(&[2, 5, 12, 14, 32]);
        let y = x.view([10, 12, 14, 32]).permute([0, 3, 1, 2]).conv2d(
            &random(&[16, 32, 3, 3]),
            None::<Tensor>,
            [1; 2],
            [1; 2],
            [1; 2],
            1,
        );
        assert!(y.permute([0, 2, 3, 1]).is_contiguous());
        let y =
            x.permute([0, 4, 1, 2, 3]).conv3d(&random(&[16, 32, 3, 3, 3]), None::<Tensor>, [1; 3], [1; 3], [1; 3], 1);
        assert!(y.permute([0, 2, 3, 4, 1]).is_contiguous());
        let y = x.view([2, 5, 12 * 14, 32]).permute([0, 3, 1, 2]).conv2d(
            &random(&[16, 32, 3, 1]),
            None::<Tensor>,
            [1; 2],
            [1, 0],
            [1; 2],
            1,
        );
        assert!(y.permute([0, 2, 3, 1]).is_contiguous());
    }

    #[test]
    fn conv2d_equals_the_convolution_of_each_frame_in_the_public_layout() {
        tch::manual_seed(0);
        let x = random(&[2, 3, 6, 7, 4]);
        let down = SpatialConvConfig { kernel: 3, stride: 2, padding: 0 };
        for config in [Conv2d::SAME, down] {
            let conv = Conv2d::new(&ParamPath::fresh(Device::Cpu), 4, 5, config, ConvInit::Default);
            let frame = x.select(1, 2).permute([0, 3, 1, 2]).contiguous();
            let expected =
                frame.conv2d(&conv.weight, conv.bias.as_deref(), [config.stride; 2], [config.padding; 2], [1; 2], 1);
            assert_close(&conv.forward(&x).select(1, 2).permute([0, 3, 1, 2]), &expected);
        }
    }

    #[test]
    fn conv1d_equals_the_convolution_of_each_pixel() {
        tch::manual_seed(0);
        let x = random(&[2, 6, 3, 4, 5]);
        let config = TemporalConvConfig { kernel: 3, stride: 2, padding: 1 };
        let conv = Conv1d::new(&ParamPath::fresh(Device::Cpu), 5, 7, config, ConvInit::Default);
        let pixel = x.select(2, 1).select(2, 3).permute([0, 2, 1]).contiguous();
        let expected = pixel.conv1d(&conv.weight, conv.bias.as_deref(), 2, 1, 1, 1);
        assert_close(&conv.forward(&x).select(2, 1).select(2, 3).permute([0, 2, 1]), &expected);
    }

    #[test]
    fn conv3d_equals_the_convolution_in_the_public_layout() {
        tch::manual_seed(0);
        let x = random(&[2, 5, 4, 6, 3]);
        let config = TemporalConvConfig { kernel: 3, stride: 2, padding: 0 };
        let conv = Conv3d::new(&ParamPath::fresh(Device::Cpu), 3, 8, config, ConvInit::Default);
        let expected = x.permute([0, 4, 1, 2, 3]).contiguous().conv3d(
            &conv.weight,
            conv.bias.as_deref(),
            [2, 1, 1],
            [0, 1, 1],
            [1; 3],
            1,
        );
        assert_close(&conv.forward(&x).permute([0, 4, 1, 2, 3]), &expected);
    }

    #[test]
    fn autocast_computes_convolutions_and_gradients_in_half_precision() {
        tch::manual_seed(0);
        let root = ParamPath::fresh(Device::Cpu);
        let conv = Conv2d::new(&root.sub("2d"), 8, 6, Conv2d::SAME, ConvInit::Default);
        let time = TemporalConvConfig { kernel: 3, stride: 1, padding: 0 };
        let conv3d = Conv3d::new(&root.sub("3d"), 6, 4, time, ConvInit::Default);
        let parameters = root.finish().unwrap();
        parameters.set_requires_grad("", true);
        let run = |x: &Tensor| conv3d.forward(&conv.forward(x));
        let x = random(&[2, 4, 6, 5, 8]);
        let exact = run(&x);
        let names: Vec<&str> = parameters.names().collect();
        let gradients = |y: &Tensor| {
            let inputs: Vec<&Tensor> = names.iter().filter_map(|name| parameters.get(name)).collect();
            Tensor::run_backward(&[y.to_kind(Kind::Float).square().sum(Kind::Float)], &inputs, false, false)
        };
        let expected = gradients(&exact);
        // Also inputs in half precision, as other layers return them.
        for x in [x.shallow_clone(), x.to_kind(Kind::BFloat16)] {
            let y = autocast(Device::Cpu, Kind::BFloat16, || run(&x)).unwrap();
            assert_eq!(y.kind(), Kind::BFloat16);
            let error = |a: &Tensor, b: &Tensor| ((a - b).norm() / b.norm()).double_value(&[]);
            assert!((1e-4..2e-2).contains(&error(&y.to_kind(Kind::Float), &exact)));
            for (found, expected) in gradients(&y).iter().zip(&expected) {
                assert_eq!(found.kind(), Kind::Float);
                assert!(error(found, expected) < 2e-2);
            }
        }
    }

    #[test]
    fn autocast_sums_the_gradients_of_several_calls_in_float32() {
        let root = ParamPath::fresh(Device::Cpu);
        let conv = Conv2d::new(&root, 8, 8, Conv2d::SAME, ConvInit::Default);
        let parameters = root.finish().unwrap();
        parameters.set_requires_grad("", true);
        let x = Tensor::ones([1, 1, 1, 1, 8], (Kind::Float, Device::Cpu));
        let loss = autocast(Device::Cpu, Kind::BFloat16, || {
            let small = conv.forward(&x).to_kind(Kind::Float) * 2f64.powi(-10);
            (conv.forward(&x).to_kind(Kind::Float) + small).sum(Kind::Float)
        });
        // Both addends are bfloat16 numbers; their sum is not.
        let bias = parameters.get("bias").unwrap();
        let gradient = Tensor::run_backward(&[loss.unwrap()], &[bias], false, false).remove(0);
        assert_eq!(Vec::<f32>::try_from(gradient).unwrap(), [1.0 + 2f32.powi(-10); 8]);
    }

    #[test]
    fn a_strip_of_rows_equals_those_rows_of_the_whole_frame() {
        tch::manual_seed(0);
        let x = random(&[2, 5, 8, 6, 3]);
        let config = TemporalConvConfig { kernel: 3, stride: 1, padding: 0 };
        let conv2d = Conv2d::new(&ParamPath::fresh(Device::Cpu), 3, 4, Conv2d::SAME, ConvInit::Default);
        let conv3d = Conv3d::new(&ParamPath::fresh(Device::Cpu), 3, 4, config, ConvInit::Default);
        let part = x.narrow(2, 2, 5);
        assert_close(&conv2d.forward_rows(&part, RowEdges::Neighbours), &conv2d.forward(&x).narrow(2, 3, 3));
        assert_close(
            &conv3d.forward_after(&CausalContext::NONE, &part, RowEdges::Neighbours),
            &conv3d.forward(&x).narrow(2, 3, 3),
        );
        assert_close(
            &conv2d.forward_upsampled(&part, RowEdges::Neighbours),
            &conv2d.forward_upsampled(&x, RowEdges::Zeros).narrow(2, 6, 6),
        );
        assert_close(
            &conv3d.forward_upsampled(&CausalContext::NONE, &part, RowEdges::Neighbours),
            &conv3d.forward_upsampled(&CausalContext::NONE, &x, RowEdges::Zeros).narrow(2, 3, 3),
        );
    }

    /// With and without our kernels, which read context and input separately. Gradients rule them out.
    #[test]
    fn a_causal_context_equals_the_same_frames_joined_with_the_input() {
        tch::manual_seed(0);
        let root = ParamPath::fresh(Device::Cpu);
        let config = |stride| TemporalConvConfig { kernel: 3, stride, padding: 0 };
        for channels in [8, 64] {
            let conv1d = Conv1d::new(&root.sub("1d").sub(channels), channels, 64, config(1), ConvInit::Default);
            let conv3d = Conv3d::new(&root.sub("3d").sub(channels), channels, 64, config(1), ConvInit::Default);
            let halving = Conv3d::new(&root.sub("half").sub(channels), channels, 64, config(2), ConvInit::Default);
            let x = random(&[2, 4, 14, 18, channels]);
            let inputs = [x.shallow_clone(), x.copy().set_requires_grad(true)];
            for context in [CausalContext::Zeros(2), CausalContext::Frames(random(&[2, 2, 14, 18, channels]))] {
                let whole = context.join(x.shallow_clone());
                for x in &inputs {
                    assert_close(&conv1d.forward_after(&context, x), &conv1d.forward(&whole));
                    assert_close(&conv3d.forward_after(&context, x, RowEdges::Zeros), &conv3d.forward(&whole));
                }
            }
            for context in [CausalContext::Zeros(1), CausalContext::Frames(random(&[2, 1, 14, 18, channels]))] {
                let whole = context.join(x.shallow_clone());
                for x in &inputs {
                    assert_close(&halving.forward_after(&context, x, RowEdges::Zeros), &halving.forward(&whole));
                    let upsampled = conv3d.forward_upsampled(&context, x, RowEdges::Zeros);
                    assert_close(&upsampled, &conv3d.forward_upsampled(&CausalContext::NONE, &whole, RowEdges::Zeros));
                }
            }
        }
    }

    #[test]
    fn normed_convolution_equals_norm_activation_and_convolution() {
        tch::manual_seed(0);
        let root = ParamPath::fresh(Device::Cpu);
        let norm = LayerNorm::new(&root.sub("norm"), 64);
        let conv = Conv2d::new(&root.sub("conv"), 64, 48, Conv2d::SAME, ConvInit::Default);
        // Several rows of tiles in a block, many blocks, a row longer than a block, and several frames.
        for [t, h, w] in [[3, 17, 22], [1, 150, 40], [1, 6, 500], [5, 8, 8]] {
            let x = random(&[1, t, h, w, 64]) * 2.0 + 0.5;
            let expected = conv.forward(&norm.forward_silu(&x));
            assert_close(&tch::no_grad(|| conv.forward_normed(&norm, x.shallow_clone())), &expected);
            let x = x.set_requires_grad(true);
            assert!(conv.forward_normed(&norm, x).requires_grad());
        }
    }

    #[test]
    fn a_zero_initialised_convolution_returns_zero() {
        let config = TemporalConvConfig { kernel: 3, stride: 1, padding: 1 };
        let conv = Conv1d::new(&ParamPath::fresh(Device::Cpu), 2, 2, config, ConvInit::Zero);
        let y = conv.forward(&random(&[1, 3, 2, 2, 2]));
        assert_eq!(y.abs().max().double_value(&[]), 0.0);
    }
}
