//! Convolutions of inputs that are upsampled by two (nearest neighbour), without making the upsampled input.
//!
//! Two of three neighbouring taps along an upsampled axis always see the same source. So each of the two outputs of a
//! source position is a kernel of two taps on the small input, with sums of the weights: 2x2 taps instead of 3x3 over
//! height and width, 2 instead of 3 over time.

use tch::Tensor;

use crate::nn::causal_context::CausalContext;
use crate::nn::conv::{Conv2d, Conv3d, RowEdges, check_input, clips};
use crate::nn::conv_call::{KernelAlignment, convolution, upsampled_convolution};

/// For the two outputs of a source position, the number of the three taps that see the earlier of two sources.
#[derive(Clone, Copy)]
struct FoldedTaps([i64; 2]);

impl FoldedTaps {
    /// For a kernel that is centred on its output.
    const CENTERED: Self = Self([1, 2]);
    /// For a kernel that ends at its output.
    const CAUSAL: Self = Self([2, 1]);

    /// The two kernels with two taps along `axis`.
    fn fold(self, weight: &Tensor, axis: i64) -> [Tensor; 2] {
        self.0.map(|earlier| {
            let sum = |start, taps| weight.narrow(axis, start, taps).sum_dim_intlist(axis, true, weight.kind());
            Tensor::cat(&[sum(0, earlier), sum(earlier, 3 - earlier)], axis)
        })
    }
}

/// Checks that a layer's weight `[out, in, ...]` has three taps along each axis.
fn check_taps(layer: &str, weight: &Tensor) {
    let size = weight.size();
    assert!(
        size[2..].iter().all(|&taps| taps == 3),
        "{layer} of an upsampled input: the weight is {size:?}; expected 3 taps along each axis"
    );
}

impl Conv2d {
    /// Applies the layer to frames that are upsampled by two in height and width: maps `[b, t, h, w, in]` to `[b, t, 2
    /// * h, 2 * w, out]`. With [`RowEdges::Neighbours`] the first and the last row have no output. For 3x3 kernels with
    /// the config [`SAME`](Self::SAME).
    pub fn forward_upsampled(&self, x: &Tensor, edges: RowEdges) -> Tensor {
        check_input("Conv2d", x, self.weight());
        check_taps("Conv2d", self.weight());
        let size = x.size();
        let padding = edges.padding(1);
        let (h, w) = (size[2] + 2 * padding - 2, size[3]);
        let frames = x.reshape([size[0] * size[1], size[2], w, size[4]]).permute([0, 3, 1, 2]);
        let output = [size[0], size[1], 2 * h, 2 * w, self.weight().size()[0]];
        let by_kernel = |bias| {
            let (context, alignment) = (CausalContext::NONE, KernelAlignment::Centered);
            upsampled_convolution(&frames, &context, self.weight(), bias, alignment, [padding, 1])
        };
        if let Some(y) = self.bias().and_then(by_kernel) {
            return y.permute([0, 2, 3, 1]).contiguous().view(output);
        }
        let rows = FoldedTaps::CENTERED.fold(self.weight(), 2);
        // Each folded kernel also has an output before the first or after the last, which is cut off.
        let rows = [0, 1].map(|row| {
            let columns = FoldedTaps::CENTERED.fold(&rows[row as usize], 3);
            let columns = [0, 1].map(|column| {
                let y = convolution(
                    &frames,
                    &CausalContext::NONE,
                    &columns[column as usize],
                    self.bias(),
                    [1; 2],
                    [padding, 1],
                );
                y.permute([0, 2, 3, 1]).narrow(1, row, h).narrow(2, column, w)
            });
            Tensor::stack(&columns, 3)
        });
        Tensor::stack(&rows, 2).view(output)
    }
}

impl Conv3d {
    /// Applies the layer to a clip whose frames are upsampled by two, and returns `[b, 2 * t, h, w, out]`. For kernels
    /// of three frames.
    ///
    /// A kernel that pads both ends of time reads `[b, t, h, w, in]`. One without padding reads 1 + t frames, causal
    /// context included: the frame before the first pair comes first.
    pub fn forward_upsampled(&self, context: &CausalContext, x: &Tensor, edges: RowEdges) -> Tensor {
        check_input("Conv3d", x, self.weight());
        check_taps("Conv3d", self.weight());
        context.check(x);
        let is_centered = self.conv_config().padding > 0;
        let (alignment, taps) = match is_centered {
            true => (KernelAlignment::Centered, FoldedTaps::CENTERED),
            false => (KernelAlignment::Causal, FoldedTaps::CAUSAL),
        };
        let padding = [i64::from(is_centered), edges.padding(1), 1];
        let (x, context) = (clips(x), context.map(clips));
        let by_kernel = |bias| upsampled_convolution(&x, &context, self.weight(), bias, alignment, padding);
        if let Some(y) = self.bias().and_then(by_kernel) {
            return y.permute([0, 2, 3, 4, 1]).contiguous();
        }
        let kernels = taps.fold(self.weight(), 2);
        let pairs = [0, 1].map(|second| {
            let y = convolution(&x, &context, &kernels[second as usize], self.bias(), [1; 3], padding);
            let y = y.permute([0, 2, 3, 4, 1]);
            if is_centered { y.narrow(1, second, x.size()[2]) } else { y }
        });
        Tensor::stack(&pairs, 2).flatten(1, 2)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::nn::conv::{ConvInit, TemporalConvConfig};
    use crate::nn::params::ParamPath;

    /// Random parameters in float64 that require gradients.
    fn parameters(weight: &[i64]) -> ParamPath {
        let tensors = [("weight", weight), ("bias", &weight[..1])];
        let tensors = tensors.map(|(name, shape)| (name.to_owned(), random(shape).set_requires_grad(true)));
        ParamPath::loaded(tensors.into(), Device::Cpu, Kind::Double)
    }

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Double, Device::Cpu))
    }

    /// Compares values, and gradients of the input and the parameters.
    fn assert_equal(found: &Tensor, expected: &Tensor, inputs: &[&Tensor]) {
        let difference = |a: &Tensor, b: &Tensor| {
            assert_eq!(a.size(), b.size());
            (a - b).abs().max().double_value(&[])
        };
        assert!(difference(found, expected) < 1e-12);
        let cotangent = random(&found.size());
        let gradients = |y: &Tensor| {
            let loss = (y * &cotangent).sum(Kind::Double);
            Tensor::run_backward(&[loss], inputs, false, false)
        };
        for (found, expected) in gradients(found).iter().zip(&gradients(expected)) {
            assert!(difference(found, expected) < 1e-10);
        }
    }

    #[test]
    fn upsampled_pixels_equal_a_convolution_of_repeated_pixels() {
        tch::manual_seed(0);
        let conv = Conv2d::new(&parameters(&[4, 3, 3, 3]), 3, 4, Conv2d::SAME, ConvInit::Default);
        for side in [[5, 6], [1, 1]] {
            let x = random(&[2, 3, side[0], side[1], 3]).set_requires_grad(true);
            let upsampled = x.repeat_interleave_self_int(2, 2, None).repeat_interleave_self_int(2, 3, None);
            let expected = conv.forward(&upsampled);
            assert_equal(
                &conv.forward_upsampled(&x, RowEdges::Zeros),
                &expected,
                &[&x, conv.weight(), conv.bias().unwrap()],
            );
        }
    }

    #[test]
    fn upsampled_frames_equal_a_convolution_of_repeated_frames() {
        tch::manual_seed(0);
        for padding in [0, 1] {
            let config = TemporalConvConfig { kernel: 3, stride: 1, padding };
            let conv = Conv3d::new(&parameters(&[4, 3, 3, 3, 3]), 3, 4, config, ConvInit::Default);
            let x = random(&[2, 5, 4, 6, 3]).set_requires_grad(true);
            let upsampled = x.repeat_interleave_self_int(2, 1, None);
            let expected = conv.forward(&upsampled);
            let found = conv.forward_upsampled(&CausalContext::NONE, &x, RowEdges::Zeros);
            assert_equal(&found, &expected, &[&x, conv.weight(), conv.bias().unwrap()]);
        }
    }

    /// A layer in float32, which takes the Winograd kernel, and the same layer in float64, which does not.
    fn narrow_and_wide<C>(weight: &[i64], new: impl Fn(&ParamPath) -> C) -> [C; 2] {
        let tensors =
            [("weight", weight), ("bias", &weight[..1])].map(|(name, shape)| (name.to_owned(), random(shape)));
        let copy = || tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        [Kind::Float, Kind::Double].map(|kind| new(&ParamPath::loaded(copy(), Device::Cpu, kind)))
    }

    fn assert_near(found: &Tensor, expected: &Tensor) {
        assert_eq!(found.size(), expected.size());
        let worst = (found.to_kind(Kind::Double) - expected).abs().max() / expected.abs().max();
        assert!(worst.double_value(&[]) < 1e-5, "{worst}");
    }

    #[test]
    fn the_winograd_kernel_over_upsampled_pixels_equals_the_folded_convolution() {
        tch::manual_seed(0);
        let [narrow, wide] =
            narrow_and_wide(&[48, 64, 3, 3], |path| Conv2d::new(path, 64, 48, Conv2d::SAME, ConvInit::Default));
        let x = random(&[2, 3, 17, 22, 64]);
        for edges in [RowEdges::Zeros, RowEdges::Neighbours] {
            let found = narrow.forward_upsampled(&x.to_kind(Kind::Float), edges);
            assert_near(&found, &wide.forward_upsampled(&x, edges));
        }
    }

    #[test]
    fn the_winograd_kernel_over_upsampled_frames_equals_the_folded_convolution() {
        tch::manual_seed(0);
        for padding in [0, 1] {
            let config = TemporalConvConfig { kernel: 3, stride: 1, padding };
            let [narrow, wide] =
                narrow_and_wide(&[48, 64, 3, 3, 3], |path| Conv3d::new(path, 64, 48, config, ConvInit::Default));
            let x = random(&[2, 4, 17, 22, 64]);
            for edges in [RowEdges::Zeros, RowEdges::Neighbours] {
                let found = narrow.forward_upsampled(&CausalContext::NONE, &x.to_kind(Kind::Float), edges);
                assert_near(&found, &wide.forward_upsampled(&CausalContext::NONE, &x, edges));
            }
        }
    }
}
