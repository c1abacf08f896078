//! Conversion between the public layout `[b, c, t, h, w]` and channels-last `[b, t, h, w, c]`, and sums.

#![allow(unsafe_code)] // Calls of the shim.

use tch::Tensor;

use crate::nn::parameter::Parameter;
use crate::shim;

/// Turns `[b, c, t, h, w]` into contiguous `[b, t, h, w, c]`. Copies only if the memory of `x` is not channels-last.
pub fn to_channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 4, 1]).contiguous()
}

/// Views `[b, t, h, w, c]` as `[b, c, t, h, w]`.
pub fn from_channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 4, 1, 2, 3])
}

/// `x + y`. Reuses the memory of `x` if no gradient is recorded. (Every convolution's output is a view, and autograd
/// would copy a view on an in-place addition.)
pub fn add(mut x: Tensor, y: &Tensor) -> Tensor {
    if x.requires_grad() || y.requires_grad() { x + y } else { x.g_add_(y) }
}

/// `x + bias + y` over the last axis of `x`, where the bias may be missing, see
/// [`Conv2d::defer_bias`](crate::Conv2d::defer_bias). Reuses the memory of `x` like [`add`].
///
/// # Panics
/// If the shapes or devices differ.
pub fn add_biased(x: Tensor, bias: Option<&Parameter>, y: &Tensor) -> Tensor {
    let Some(bias) = bias else { return add(x, y) };
    // SAFETY: the tensors live during the call.
    shim::tensor(|out| unsafe { shim::vidtok_biased_sum(x.as_ptr(), bias.as_ptr(), y.as_ptr(), out) })
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn a_deferred_bias_is_added_with_and_without_gradients() {
        tch::manual_seed(0);
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let (x, y, bias) = (random(&[2, 3, 8]), random(&[2, 3, 8]), Parameter::from(random(&[8])));
        let expected = &x + &*bias + &y;
        let bias_with_gradient = Parameter::from(bias.copy().set_requires_grad(true));
        let with_gradients = add_biased(x.shallow_clone(), Some(&bias_with_gradient), &y);
        assert!(with_gradients.requires_grad());
        assert!((&with_gradients - &expected).abs().max().double_value(&[]) < 1e-6);
        let address = x.data_ptr();
        let in_place = add_biased(x, Some(&bias), &y);
        assert_eq!(in_place.data_ptr(), address);
        assert!((&in_place - &expected).abs().max().double_value(&[]) < 1e-6);
    }
}
