//! The calls of the shim's convolutions: libtorch's, or our own kernels where they are faster.

#![allow(unsafe_code)] // Calls of the shim.

use tch::Tensor;

use crate::nn::causal_context::CausalContext;
use crate::nn::norm::{EPS, LayerNorm};
use crate::shim;

/// Convolves `x` `[n, in, ...]`, after its causal context along the first of two or three axes, with `weight`
/// `[out, in, ...]` and adds `bias` `[out]`, if there is one. There are no second derivatives.
pub(crate) fn convolution<const N: usize>(
    x: &Tensor,
    context: &CausalContext,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: [i64; N],
    padding: [i64; N],
) -> Tensor {
    let (frames, zeros) = context.parts();
    let (x, weight, bias) = (x.as_ptr(), weight.as_ptr(), shim::pointer(bias));
    let (stride, padding) = (stride.as_ptr(), padding.as_ptr());
    // SAFETY: tensors and arrays live during the call.
    shim::tensor(|out| unsafe { shim::vidtok_convolution(x, frames, zeros, weight, bias, stride, padding, N, out) })
}

/// Where a kernel over upsampled frames lies relative to its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KernelAlignment {
    /// The kernel is centred on its output.
    Centered,
    /// The kernel ends at its output.
    Causal,
}

/// Like [`convolution`] with stride 1, on an `x` whose pixels (two axes) or frames (three axes) are upsampled by two.
/// Runs our own kernel; returns `None` if that is not the fastest way, or for gradients.
///
/// The kernel has three taps along each axis. Padding and causal context are those of `x` before upsampling; for
/// [`KernelAlignment::Causal`], the first frame of all precedes the first pair.
pub(crate) fn upsampled_convolution<const N: usize>(
    x: &Tensor,
    context: &CausalContext,
    weight: &Tensor,
    bias: &Tensor,
    alignment: KernelAlignment,
    padding: [i64; N],
) -> Option<Tensor> {
    let (frames, zeros) = context.parts();
    let (x, weight, bias) = (x.as_ptr(), weight.as_ptr(), bias.as_ptr());
    let (centered, padding) = (alignment == KernelAlignment::Centered, padding.as_ptr());
    // SAFETY: tensors and the array live during the call.
    shim::maybe_tensor(|out| unsafe {
        shim::vidtok_upsampled_convolution(x, frames, zeros, weight, bias, centered, padding, N, out)
    })
}

/// Convolves silu(norm(x)) of images `x` `[n, in, h, w]` with stride 1. Runs our own kernel, which makes a few
/// normalised rows at a time; returns `None` if that is not the fastest way, or for gradients.
pub(crate) fn normed_convolution(
    norm: &LayerNorm,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    padding: [i64; 2],
) -> Option<Tensor> {
    let (norm_weight, norm_bias) = norm.parameters()?;
    let (norm_weight, norm_bias) = (norm_weight.as_ptr(), norm_bias.as_ptr());
    let (x, weight, bias) = (x.as_ptr(), weight.as_ptr(), bias.as_ptr());
    let padding = padding.as_ptr();
    // SAFETY: tensors and the array live during the call.
    shim::maybe_tensor(|out| unsafe {
        shim::vidtok_normed_convolution(x, norm_weight, norm_bias, EPS, weight, bias, padding, out)
    })
}

/// The most numbers that a convolution on the CPU from and to `channels` channels holds besides its input and output,
/// with three taps over time.
#[must_use]
pub fn winograd_workspace(channels: i64, threads: i64) -> i64 {
    // SAFETY: it computes on numbers.
    unsafe { shim::vidtok_winograd_workspace(channels, threads) }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// A random tensor of a public shape with channels-last strides.
    fn channels_last(shape: &[i64], kind: Kind) -> Tensor {
        let mut last = shape.to_vec();
        let channels = last.remove(1);
        last.push(channels);
        let axes = last.len() as i64;
        let order: Vec<i64> = [0, axes - 1].into_iter().chain(1..axes - 1).collect();
        Tensor::randn(&last, (kind, Device::Cpu)).permute(order)
    }

    /// Compares values and gradients in float32 with libtorch's in float64.
    fn assert_equals_libtorch<const N: usize>(
        x: &[i64],
        out: i64,
        kernel: [i64; N],
        stride: [i64; N],
        padding: [i64; N],
    ) {
        tch::manual_seed(0);
        let weight: Vec<i64> = [out, x[1]].into_iter().chain(kernel).collect();
        let inputs = [channels_last(x, Kind::Double), Tensor::randn(&weight, (Kind::Double, Device::Cpu))];
        let [x, weight] = inputs.map(|input| input.set_requires_grad(true));
        let bias = Tensor::randn([out], (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let y = match N {
            2 => x.conv2d(&weight, Some(&bias), stride, padding, [1; 2], 1),
            _ => x.conv3d(&weight, Some(&bias), stride, padding, [1; 3], 1),
        };
        let cotangent = channels_last(&y.size(), Kind::Double);
        let loss = (&y * &cotangent).sum(Kind::Double);
        let mut expected = Tensor::run_backward(&[loss], &[&x, &weight, &bias], false, false);
        expected.push(y);

        let [x, weight, bias] = [x, weight, bias].map(|t| t.detach().to_kind(Kind::Float).set_requires_grad(true));
        let y = convolution(&x, &CausalContext::NONE, &weight, Some(&bias), stride, padding);
        let loss = (&y * cotangent.to_kind(Kind::Float)).sum(Kind::Float);
        let mut found = Tensor::run_backward(&[loss], &[&x, &weight, &bias], false, false);
        found.push(y);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.size(), expected.size());
            let worst = (found.to_kind(Kind::Double) - expected).abs().max() / expected.abs().max();
            assert!(worst.double_value(&[]) < 1e-5, "{kernel:?} {stride:?} {padding:?}: {}", worst.double_value(&[]));
        }
    }

    #[test]
    fn values_and_gradients_equal_libtorch_for_every_conv_config_of_the_networks() {
        // Images: same size, halving, folded upsampling, over time (rows are frames).
        assert_equals_libtorch(&[3, 16, 9, 17], 16, [3, 3], [1, 1], [1, 1]);
        assert_equals_libtorch(&[3, 32, 18, 37], 7, [3, 3], [2, 2], [0, 0]);
        assert_equals_libtorch(&[2, 16, 6, 20], 24, [2, 2], [1, 1], [1, 1]);
        assert_equals_libtorch(&[2, 48, 7, 150], 16, [3, 1], [1, 1], [0, 0]);
        assert_equals_libtorch(&[2, 16, 7, 150], 16, [3, 1], [2, 1], [1, 0]);
        // Clips: causal, centred, halving, folded upsampling, few outputs.
        assert_equals_libtorch(&[2, 16, 5, 6, 18], 16, [3, 3, 3], [1, 1, 1], [0, 1, 1]);
        assert_equals_libtorch(&[1, 16, 5, 6, 70], 20, [3, 3, 3], [1, 1, 1], [1, 1, 1]);
        assert_equals_libtorch(&[2, 16, 7, 4, 16], 16, [3, 3, 3], [2, 1, 1], [0, 1, 1]);
        assert_equals_libtorch(&[2, 16, 4, 4, 16], 16, [2, 3, 3], [1, 1, 1], [0, 1, 1]);
        assert_equals_libtorch(&[1, 32, 4, 4, 16], 3, [3, 3, 3], [1, 1, 1], [0, 1, 1]);
        // Unsupported by our kernels.
        assert_equals_libtorch(&[2, 3, 5, 6, 18], 8, [3, 3, 3], [1, 1, 1], [0, 1, 1]);
        assert_equals_libtorch(&[2, 16, 5, 4], 8, [3, 3], [1, 1], [1, 1]);
    }

    #[test]
    fn values_and_gradients_of_the_winograd_kernels_equal_libtorch() {
        // Images whose sides are and are not whole tiles, of four and of two outputs, with and without padded rows.
        assert_equals_libtorch(&[2, 32, 24, 32], 64, [3, 3], [1, 1], [1, 1]);
        assert_equals_libtorch(&[2, 64, 23, 37], 48, [3, 3], [1, 1], [1, 1]);
        assert_equals_libtorch(&[40, 64, 6, 6], 64, [3, 3], [1, 1], [1, 1]);
        assert_equals_libtorch(&[2, 64, 17, 37], 64, [3, 3], [1, 1], [0, 1]);
        // Over time: frames that are and are not whole tiles, two frames.
        assert_equals_libtorch(&[1, 64, 10, 300], 64, [3, 1], [1, 1], [0, 0]);
        assert_equals_libtorch(&[2, 64, 7, 150], 32, [3, 1], [1, 1], [1, 0]);
        assert_equals_libtorch(&[1, 64, 4, 600], 64, [3, 1], [1, 1], [0, 0]);
        // Clips: causal, centred, halving, with two taps over time.
        assert_equals_libtorch(&[1, 32, 5, 14, 22], 64, [3, 3, 3], [1, 1, 1], [0, 1, 1]);
        assert_equals_libtorch(&[2, 64, 4, 12, 12], 32, [3, 3, 3], [1, 1, 1], [1, 1, 1]);
        assert_equals_libtorch(&[1, 64, 7, 18, 16], 64, [3, 3, 3], [2, 1, 1], [0, 1, 1]);
        assert_equals_libtorch(&[1, 64, 4, 14, 16], 64, [2, 3, 3], [1, 1, 1], [0, 0, 1]);
    }

    /// Only where our kernels run: libtorch's sums may depend on the number of threads.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn results_of_the_kernels_do_not_depend_on_the_number_of_threads() {
        if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
            return;
        }
        let has_gradient_kernel = !is_x86_feature_detected!("avx512f");
        tch::manual_seed(0);
        for channels in [16, 64] {
            let x = channels_last(&[4, channels, 32, 32], Kind::Float);
            let weight = Tensor::randn([channels, channels, 3, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let bias = Tensor::zeros([channels], (Kind::Float, Device::Cpu));
            let results = || {
                let y = convolution(&x, &CausalContext::NONE, &weight, Some(&bias), [1; 2], [1; 2]);
                let gradient = Tensor::run_backward(&[y.square().sum(Kind::Float)], &[&weight], false, false);
                (y, gradient)
            };
            let threads = tch::get_num_threads();
            let [one, two] = [1, 2].map(|count| {
                tch::set_num_threads(count);
                results()
            });
            tch::set_num_threads(threads);
            assert!(!has_gradient_kernel || one.1 == two.1);
            // With 16 channels, libtorch computes the value.
            assert!(channels == 16 || one.0 == two.0);
        }
    }
}
