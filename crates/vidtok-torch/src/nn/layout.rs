//! Conversion between the public layout `[b, c, t, h, w]` and channels-last `[b, t, h, w, c]`, and sums.

use tch::Tensor;

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
