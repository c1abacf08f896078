//! Between the public layout `[b, c, t, h, w]` and the inner one `[b, t, h, w, c]`, and sums in it.

use tch::Tensor;

/// `[b, c, t, h, w]` to contiguous `[b, t, h, w, c]`; copies only if `x` is not channels-last already.
pub fn to_channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 4, 1]).contiguous()
}

/// `[b, t, h, w, c]` to a `[b, c, t, h, w]` view.
pub fn from_channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 4, 1, 2, 3])
}

/// `x + y`, in the memory of `x` where no gradient is recorded. (Writing into a view, as every convolution's output is
/// one, would make autograd copy it.)
pub fn add(mut x: Tensor, y: &Tensor) -> Tensor {
    if x.requires_grad() || y.requires_grad() { x + y } else { x.g_add_(y) }
}
